/** List filters: the conditions each kind of field offers, and how controls show and read values. */

import { fromLocalInput, toLocalInput } from '../forms/display.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {import('./query.js').Filter} Filter
 * @typedef {{key: number, field: string, op: Filter['op'], value: any}} FilterRow
 *   `key` identifies it while others come and go
 */

const w = words.filters;

/** @type {Record<string, [Filter['op'], string][]>} */
const OPERATORS = {
  text: [
    ['contains', w.contains],
    ['eq', w.is],
    ['ne', w.isNot],
    ['empty', w.isEmpty],
    ['filled', w.isNotEmpty],
  ],
  number: [
    ['gte', w.atLeast],
    ['lte', w.atMost],
    ['eq', w.is],
    ['empty', w.isEmpty],
    ['filled', w.isNotEmpty],
  ],
  time: [
    ['gte', w.onOrAfter],
    ['lte', w.onOrBefore],
    ['empty', w.isEmpty],
    ['filled', w.isNotEmpty],
  ],
  choice: [
    ['eq', w.is],
    ['ne', w.isNot],
    ['empty', w.isEmpty],
    ['filled', w.isNotEmpty],
  ],
};

/** @type {Record<string, string>} */
const GROUP = {
  integer: 'number',
  real: 'number',
  decimal: 'number',
  date: 'time',
  datetime: 'time',
  choice: 'choice',
  boolean: 'choice',
};

/** @type {Record<string, string>} */
const INPUTS = { date: 'date', datetime: 'datetime-local', integer: 'number', real: 'number', decimal: 'number' };

let keys = 0;

/** @param {Field} field */
export function operatorsOf(field) {
  const all = OPERATORS[GROUP[field.kind] ?? 'text'];
  return field.kind === 'boolean' ? all.slice(0, 1) : all;
}

/**
 * Return the initial filter of a field. A boolean starts as Yes, because it has no empty choice.
 * @param {Field} field
 * @param {number} [key]
 * @returns {FilterRow}
 */
export function filterOf(field, key = ++keys) {
  return { key, field: field.name, op: operatorsOf(field)[0][0], value: field.kind === 'boolean' ? true : '' };
}

/**
 * Return whether a filter is active: one without a value does nothing yet.
 * @param {FilterRow} row
 */
export function isSet({ op, value }) {
  return !needsValue(op) || (value !== '' && value !== null && value !== undefined);
}

/** @param {Filter['op']} op */
export const needsValue = (op) => op !== 'empty' && op !== 'filled';

/** @param {Field} field */
export const inputType = (field) => INPUTS[field.kind] ?? 'text';

/**
 * Return the control’s text for a filter’s value.
 * @param {Field} field
 * @param {any} value
 * @returns {string}
 */
export function shownValue(field, value) {
  if (field.kind === 'boolean') return value ? 'true' : '';
  if (field.kind === 'datetime') return toLocalInput(value);
  return String(value ?? '');
}

/**
 * Return the filter’s value for a control’s text.
 * @param {Field} field
 * @param {string} text
 * @returns {any}
 */
export function valueOf(field, text) {
  if (field.kind === 'boolean') return text === 'true';
  if (text === '') return '';
  if (field.kind === 'datetime') return fromLocalInput(text) ?? '';
  return inputType(field) === 'number' ? Number(text) : text;
}
