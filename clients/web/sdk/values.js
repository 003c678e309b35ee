/**
 * Pure: values of fields: on the wire, in SQLite, and as given by users and programs (docs/spec/protocol.md §2,
 * replica.md).
 */

import { canonical } from './canonical.js';
import { MoatError } from './errors.js';
import { words } from './words.js';

/** @typedef {import('./types.js').Field} Field */
/** @typedef {string | number | null} Cell what SQLite holds */

const MAX_DIGITS = 15;
const MAX_DEPTH = 32;

/**
 * Return what SQLite stores for a wire value.
 * @param {Pick<Field, 'kind'>} field
 * @param {any} value
 * @returns {Cell}
 */
export function toCell(field, value) {
  if (value === null || value === undefined) return null;
  switch (field.kind) {
    case 'boolean': return value ? 1 : 0;
    case 'json': return canonical(value);
    case 'integer':
    case 'real': return Number(value);
    default: return String(value);
  }
}

/**
 * Return the wire value of what SQLite stores.
 * @param {Pick<Field, 'kind' | 'decimal_places'>} field
 * @param {any} cell
 * @returns {any}
 */
export function fromCell(field, cell) {
  if (cell === null || cell === undefined) return null;
  switch (field.kind) {
    case 'boolean': return cell !== 0;
    case 'json': return JSON.parse(String(cell));
    case 'decimal': return Number(cell).toFixed(field.decimal_places ?? 2);
    case 'integer':
    case 'real': return Number(cell);
    default: return String(cell);
  }
}

/**
 * Return the wire form of a value from an application. Looser spellings are accepted if nothing is lost.
 *
 * Throws `bad_value` with the field’s name.
 * @param {Field} field
 * @param {any} value
 * @returns {any}
 */
export function clean(field, value) {
  if (value === null || value === undefined) return null;
  const result = CLEANERS[field.kind]?.(value, field);
  if (result === undefined)
    throw new MoatError('bad_value', words.badValue(field.label || field.name, field.kind), { field: field.name });
  return result;
}

/** @type {Record<string, (value: any, field: Field) => any>} undefined means rejected */
const CLEANERS = {
  text: cleanText,
  integer: (value) => (Number.isSafeInteger(value) ? value + 0 : undefined),
  real: (value) => (typeof value === 'number' && Number.isFinite(value) ? value + 0 : undefined),
  decimal: (value, field) => cleanDecimal(value, field.decimal_places ?? 2),
  boolean: (value) => (typeof value === 'boolean' ? value : undefined),
  date: cleanDate,
  datetime: cleanDatetime,
  uuid: cleanUuid,
  json: (value) => {
    try {
      return depth(value) <= MAX_DEPTH ? JSON.parse(canonical(value)) : undefined;
    } catch {
      return undefined;
    }
  },
  choice: (value, field) =>
    typeof value === 'string' && (field.choices ?? []).some((c) => c.value === value) ? value : undefined,
  reference: (value) => (isRecordId(value) ? value : undefined),
};

/**
 * Return whether a value can be the ID of a record.
 * @param {unknown} value
 * @returns {value is string}
 */
export function isRecordId(value) {
  return (
    typeof value === 'string' &&
    value.length >= 1 &&
    [...value].length <= 128 &&
    !/[\u0000-\u001f\u007f-\u009f]/.test(value) &&
    value.isWellFormed()
  );
}

/** @param {any} value */
function cleanText(value) {
  return typeof value === 'string' && !value.includes('\0') && value.isWellFormed() ? value : undefined;
}

/**
 * @param {any} value
 * @param {number} places
 */
function cleanDecimal(value, places) {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : '';
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,3}))?$/i.exec(text);
  if (!match || !(match[2] || match[3])) return undefined;
  const [whole, fraction] = shifted(match[2], match[3] ?? '', Number(match[4] ?? 0));
  if (/[1-9]/.test(fraction.slice(places))) return undefined;
  const digits = fraction.slice(0, places).padEnd(places, '0');
  const all = (whole + digits).replace(/^0+/, '');
  if (all.length > MAX_DIGITS) return undefined;
  return `${match[1] === '-' && all ? '-' : ''}${whole.replace(/^0+(?=\d)/, '') || '0'}${places ? `.${digits}` : ''}`;
}

/**
 * Move the decimal point by an exponent.
 * @param {string} whole
 * @param {string} fraction
 * @param {number} exponent
 */
function shifted(whole, fraction, exponent) {
  const point = whole.length + exponent;
  const digits = '0'.repeat(Math.max(0, -point)) + whole + fraction;
  const at = Math.max(0, point);
  return [digits.slice(0, at).padEnd(at, '0'), digits.slice(at)];
}

/**
 * @param {number} year
 * @param {number} month
 * @param {number} day
 */
function isDay(year, month, day) {
  return (
    year >= 1 &&
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate()
  );
}

/** @param {any} value */
function cleanDate(value) {
  const match = typeof value === 'string' ? /^(\d{4})-(\d\d)-(\d\d)$/.exec(value) : null;
  return match && isDay(Number(match[1]), Number(match[2]), Number(match[3])) ? value : undefined;
}

/** @param {any} value */
function cleanDatetime(value) {
  if (value instanceof Date)
    return Number.isNaN(value.getTime()) ? undefined : value.toISOString().replace('Z', '000Z');
  if (typeof value !== 'string') return undefined;
  const match = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(Z|[+-]\d\d:?\d\d)$/i.exec(value);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0));
  if (!isDay(year, month, day) || hour > 23 || minute > 59 || second > 59) return undefined;
  const offset =
    match[8].toUpperCase() === 'Z'
      ? 0
      : Number(`${match[8][0]}1`) * (Number(match[8].slice(1, 3)) * 60 + Number(match[8].slice(-2)));
  const moment = new Date(0);
  moment.setUTCFullYear(year, month - 1, day);
  moment.setUTCHours(hour, minute - offset, second);
  if (moment.getUTCFullYear() < 1 || moment.getUTCFullYear() > 9999) return undefined;
  return `${moment.toISOString().slice(0, 19)}.${(match[7] ?? '').padEnd(6, '0')}Z`;
}

/** @param {any} value */
function cleanUuid(value) {
  if (typeof value !== 'string') return undefined;
  const hex = value.toLowerCase().replace(/^urn:uuid:/, '').replace(/[{}-]/g, '');
  return /^[0-9a-f]{32}$/.test(hex) ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') : undefined;
}

/**
 * Return the nesting depth of a JSON value; Infinity for what must not be stored (an unsafe integer, the key
 * `__proto__`).
 * @param {any} value
 * @returns {number}
 */
function depth(value) {
  // From 1e21 on, canonical text has an exponent: such a number is a real, not an integer that lost digits.
  if (typeof value === 'number')
    return Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21 ? Infinity : 0;
  if (value === null || typeof value !== 'object') return 0;
  if (Object.hasOwn(value, '__proto__')) return Infinity;
  let deepest = 0;
  for (const item of Object.values(value)) deepest = Math.max(deepest, depth(item));
  return deepest + 1;
}
