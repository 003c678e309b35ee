/** What the user’s security profile allows. The server enforces it; the app only avoids offering what it rejects. */

import { display } from '../forms/display.js';
import { defaults } from '../forms/edit.js';
import { headFields } from '../forms/plan.js';
import { valuesOf } from './ops.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/index.js').Rights} Rights
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {import('../forms/plan.js').Rights} FormRights
 */

/**
 * Return what a form may show and change. A reference to a type that is not on this device stays as it is.
 * @param {Rights} rights
 * @param {ObjectType} type
 * @param {{isNew: boolean, types: Map<string, ObjectType>}} about `types` by table name
 * @returns {FormRights}
 */
export function formRights(rights, type, { isNew, types }) {
  const blind = new Set(
    type.fields
      .filter((field) => field.kind === 'reference' && !types.has(field.reference_table ?? ''))
      .map((field) => field.name),
  );
  return {
    readable: (field) => rights.canRead(field),
    writable: (field) => (isNew ? rights.canFill(field) : rights.canWrite(field)) && !blind.has(field),
    allowed: (field) => (isNew ? rights.allowed(field) : null),
  };
}

/**
 * Return whether the user can create a record that the server would accept and they could see.
 * @param {Rights} rights
 * @param {ObjectType} type
 */
export function canCreate(rights, type) {
  if (!rights.create) return false;
  const preset = defaults(type);
  const needed = [...headFields(type), ...type.fields].filter(
    (field) => field.required && preset[field.name] === undefined,
  );
  return (
    needed.every((field) => rights.canFill(field.name)) &&
    rights.rows.every(([key, values]) => reachable(key, values, rights, type, preset))
  );
}

/**
 * Return whether a new record can pass a row rule.
 * @param {string} key
 * @param {any[]} values
 * @param {Rights} rights
 * @param {ObjectType} type
 * @param {Record<string, any>} preset
 */
function reachable(key, values, rights, type, preset) {
  // No record refers to a new one yet, and its ID is unknown in advance.
  if (key.startsWith('<') || key === 'id' || !values.length) return false;
  const [name, hop] = key.split('.');
  if (hop !== undefined) return rights.canFill(name);
  if (!rights.canFill(name)) return values.includes(preset[name] ?? null);
  const choices = [...headFields(type), ...type.fields].find((field) => field.name === name)?.choices;
  return !choices?.length || choices.some((choice) => values.includes(choice.value)) || values.includes(null);
}

/**
 * Return the initial values of a new record: the defaults, or what a row rule requires instead. A required boolean
 * starts as No.
 * @param {Rights} rights
 * @param {ObjectType} type
 * @returns {Record<string, any>}
 */
export function startOf(rights, type) {
  const values = defaults(type);
  for (const field of [...headFields(type), ...type.fields]) {
    const allowed = rights.allowed(field.name);
    if (!allowed || allowed.includes(values[field.name] ?? null) || !rights.canFill(field.name)) continue;
    const offered = field.choices?.length
      ? field.choices.map((choice) => choice.value).filter((value) => allowed.includes(value))
      : allowed;
    if (offered.length && (offered.length === 1 || field.choices?.length)) values[field.name] = offered[0];
  }
  return { ...switchedOff(rights, type), ...values };
}

/**
 * Return No for every required boolean of a new record.
 * @param {Rights} rights
 * @param {ObjectType} type
 * @returns {Record<string, boolean>}
 */
export function switchedOff(rights, type) {
  const asked = type.fields.filter(
    ({ name, kind, required }) =>
      kind === 'boolean' && required && rights.canFill(name) && (rights.allowed(name) ?? [false]).includes(false),
  );
  return Object.fromEntries(asked.map(({ name }) => [name, false]));
}

/**
 * Return why the profile rejects values of a new record, by field.
 * @param {Rights} rights
 * @param {ObjectType} type
 * @param {Record<string, any>} values
 * @returns {Map<string, string>}
 */
export function rejectedValues(rights, type, values) {
  const fields = new Map([...headFields(type), ...type.fields].map((field) => [field.name, field]));
  return new Map(
    rights.unmet(values).map((name) => {
      const field = fields.get(name);
      const allowed =
        field && field.kind !== 'reference'
          ? (rights.allowed(name) ?? []).map((value) => display(field, value) || words.values.empty).join(', ')
          : '';
      return [name, allowed ? words.form.onlyAllowed(allowed) : words.form.notAllowed];
    }),
  );
}

/**
 * Return the fields an op sets against the profile.
 * @param {Rights} rights
 * @param {{op: string, payload: any}} op
 * @param {ObjectType} type
 * @returns {string[]}
 */
export function forbiddenFields(rights, op, type) {
  const preset = op.op === 'insert' ? defaults(type) : {};
  const may = (/** @type {string} */ name) => (op.op === 'insert' ? rights.canFill(name) : rights.canWrite(name));
  return Object.entries(valuesOf(op))
    .filter(
      ([name, value]) =>
        !['id', 'version'].includes(name) &&
        !may(name) &&
        !(op.op === 'insert' && (value === null || value === preset[name])),
    )
    .map(([name]) => name);
}

/**
 * Return whether a rejected op can be resent with other values.
 * @param {Rights} rights
 * @param {{op: string}} op
 */
export function canFix(rights, op) {
  return op.op === 'insert' ? rights.create : op.op === 'update' && rights.update;
}

/**
 * Return whether the profile allows an op as it is.
 * @param {Rights} rights
 * @param {{op: string, payload: any}} op
 * @param {ObjectType} type
 */
export function allows(rights, op, type) {
  const verb = { insert: rights.create, update: rights.update, delete: rights.delete }[op.op] ?? true;
  return verb && !forbiddenFields(rights, op, type).length;
}
