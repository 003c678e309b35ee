/** Turn a layout, a type, values, and rights into the tree a form shows. Uses no DOM, so tests need none. */

import { fieldOf } from './resolve.js';
import { evaluate } from './rules.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('./resolve.js').Element} Element
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {{readable: (field: string) => boolean, writable: (field: string) => boolean,
 *   allowed?: (field: string) => any[] | null}} Rights
 *   `allowed`: the only values a field accepts; null for any
 *
 * @typedef {{kind: 'control', key: string, field: Field, label: string, visible: boolean, enabled: boolean,
 *   fixed: boolean, options: Record<string, any>}} ControlPlan
 *   `enabled`: can be changed now; `fixed`: never can, because the layout or the profile says so
 * @typedef {{kind: 'label', key: string, text: string, visible: boolean}} LabelPlan
 * @typedef {{kind: 'column' | 'row' | 'group' | 'tabs' | 'tab', key: string, label: string, visible: boolean,
 *   children: Plan[]}} BoxPlan
 * @typedef {ControlPlan | LabelPlan | BoxPlan} Plan
 */

/** @type {Record<string, BoxPlan['kind']>} */
const BOXES = {
  VerticalLayout: 'column',
  HorizontalLayout: 'row',
  Group: 'group',
  Categorization: 'tabs',
  Category: 'tab',
};

/** @type {Rights} */
export const ALL_RIGHTS = { readable: () => true, writable: () => true };

/**
 * Return `object_type` and `status` as fields of kind choice.
 * @param {ObjectType} type
 * @returns {Field[]}
 */
export function headFields(type) {
  /** @type {Field[]} */
  const head = [];
  if (type.subtypes.length)
    head.push({
      name: 'object_type',
      kind: 'choice',
      label: words.values.type,
      choices: type.subtypes,
      required: true,
    });
  if (type.statuses.length)
    head.push({ name: 'status', kind: 'choice', label: words.values.status, choices: type.statuses, required: true });
  return head;
}

/**
 * Plan a form. Controls for unknown or unreadable fields are left out. A box with no visible children is invisible.
 * A rule that disables a box disables everything in it.
 * @param {Element} layout
 * @param {ObjectType} type
 * @param {Record<string, any>} values
 * @param {Rights} [rights]
 * @returns {Plan | null}
 */
export function planForm(layout, type, values, rights = ALL_RIGHTS) {
  const fields = new Map([...headFields(type), ...type.fields].map((field) => [field.name, field]));
  return planElement(layout, { fields, values, rights }, 'r', true);
}

/**
 * @param {Element} element
 * @param {{fields: Map<string, Field>, values: Record<string, any>, rights: Rights}} about
 * @param {string} key
 * @param {boolean} enabledAbove
 * @returns {Plan | null}
 */
function planElement(element, about, key, enabledAbove) {
  const { visible, enabled } = evaluate(element, about.values);
  if (element.type === 'Label') return { kind: 'label', key, text: String(element.text ?? ''), visible };
  if (element.type === 'Control') return planControl(element, about, key, visible, enabled && enabledAbove);
  const kind = BOXES[element.type];
  if (!kind) return null;
  const children = (element.elements ?? [])
    .map((child, index) => planElement(child, about, `${key}.${index}`, enabled && enabledAbove))
    .filter((child) => child !== null);
  return {
    kind,
    key,
    label: String(element.label ?? ''),
    visible: visible && children.some((child) => child.visible),
    children,
  };
}

/**
 * @param {Element} element
 * @param {{fields: Map<string, Field>, rights: Rights}} about
 * @param {string} key
 * @param {boolean} visible
 * @param {boolean} enabled
 * @returns {ControlPlan | null}
 */
function planControl(element, { fields, rights }, key, visible, enabled) {
  const known = fields.get(fieldOf(element.scope) ?? '');
  if (!known || !rights.readable(known.name)) return null;
  const allowed = rights.allowed?.(known.name);
  const field =
    allowed && known.choices?.length
      ? { ...known, choices: known.choices.filter((choice) => allowed.includes(choice.value)) }
      : known;
  const options = element.options ?? {};
  const label =
    typeof element.label === 'string' ? element.label : element.label === false ? '' : field.label || field.name;
  const fixed = Boolean(options.readonly) || !rights.writable(field.name);
  return {
    kind: 'control',
    key: `${key}:${field.name}`,
    field,
    label,
    visible,
    enabled: enabled && !fixed,
    fixed,
    options,
  };
}

/**
 * Return every control of a plan, in reading order.
 * @param {Plan | null} plan
 * @returns {ControlPlan[]}
 */
export function controls(plan) {
  if (!plan || plan.kind === 'label') return [];
  return plan.kind === 'control' ? [plan] : plan.children.flatMap(controls);
}
