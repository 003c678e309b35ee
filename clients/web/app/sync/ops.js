/** Describe edits: which fields an op sets, and to what. For the outbox, the undo list, and a record’s history. */

import { display } from '../forms/display.js';
import { headFields } from '../forms/plan.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {{field: string, label: string, before: any, after: any, text: string, was: string}} FieldChange
 *   `text` and `was`: the values as shown; `before` is undefined when unknown
 */

/**
 * Return what an op did, in one word.
 * @param {string} op
 */
export function verb(op) {
  return words.ops.verbs[op] ?? op;
}

/**
 * Return the fields of a type by name, including `object_type` and `status`.
 * @param {ObjectType | undefined} type
 * @returns {Map<string, Field>}
 */
export function fieldsOf(type) {
  return new Map(type ? [...headFields(type), ...type.fields].map((field) => [field.name, field]) : []);
}

/**
 * Return what an op sets, field by field.
 * @param {ObjectType | undefined} type
 * @param {{op: string, payload: any}} op
 * @param {Record<string, any> | null} [before] the record before the op, when known
 * @returns {FieldChange[]}
 */
export function fieldChanges(type, { op, payload }, before = null) {
  const after = valuesOf({ op, payload }, before);
  const fields = fieldsOf(type);
  return Object.keys(after).map((name) => {
    const field = fields.get(name) ?? /** @type {Field} */ ({ name, kind: 'json', label: name });
    const old = before === null ? undefined : (before[name] ?? null);
    return {
      field: name,
      label: field.label || name,
      before: old,
      after: after[name],
      text: shown(field, after[name]),
      was: old === undefined ? '' : shown(field, old),
    };
  });
}

/**
 * Return why an edit was rejected, without the field name that the server puts in front.
 * @param {ObjectType | undefined} type
 * @param {{message: string | null, code: string | null, details: any}} rejected
 * @returns {{text: string, field: string | null}} `field`: the field it concerns, which `text` does not name
 */
export function reason(type, { message, code, details }) {
  const field = fieldsOf(type).get(details?.field);
  const said = message ?? code ?? '';
  const text = field && said.startsWith(`${field.name}: `) ? said.slice(field.name.length + 2) : said;
  return { text: text.charAt(0).toUpperCase() + text.slice(1), field: field?.name ?? null };
}

/**
 * Return the values an op sets, by field; undefined where only part of an unknown value changed.
 * @param {{op: string, payload: any}} op
 * @param {Record<string, any> | null} [before]
 * @returns {Record<string, any>}
 */
export function valuesOf({ op, payload }, before = null) {
  if (op === 'insert') return { ...payload };
  if (op !== 'update' || !Array.isArray(payload)) return {};
  /** @type {Record<string, any>} */
  const out = {};
  for (const step of payload) {
    const [name, ...inside] = step.path.slice(1).split('/').map(unescaped);
    if (!inside.length) out[name] = step.op === 'remove' ? null : (step.value ?? null);
    else
      out[name] = name in out || before ? changedInside(out[name] ?? before?.[name] ?? null, inside, step) : undefined;
  }
  return out;
}

/**
 * Return a record after an op, for histories.
 * @param {Record<string, any> | null} before
 * @param {{op: string, payload: any}} op
 */
export function after(before, op) {
  return op.op === 'delete' ? before : { ...before, ...valuesOf(op, before) };
}

/**
 * @param {Field} field
 * @param {any} value
 */
function shown(field, value) {
  if (value === undefined) return words.values.partlyChanged;
  return display(field, value) || words.values.empty;
}

/**
 * @param {any} whole
 * @param {string[]} path
 * @param {{op: string, value?: any}} step
 * @returns {any}
 */
function changedInside(whole, [key, ...rest], step) {
  if (whole === null || typeof whole !== 'object') return whole;
  const copy = Array.isArray(whole) ? [...whole] : { ...whole };
  const at = Array.isArray(copy) && key === '-' ? copy.length : key;
  if (rest.length) copy[at] = changedInside(copy[at], rest, step);
  else if (step.op === 'remove') Array.isArray(copy) ? copy.splice(Number(at), 1) : delete copy[at];
  else if (Array.isArray(copy) && step.op === 'add') copy.splice(Number(at), 0, step.value);
  else copy[at] = step.value;
  return copy;
}

/** @param {string} part */
function unescaped(part) {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}
