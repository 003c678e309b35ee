/** Format values for display, in the browser’s language and time zone. */

import { summary } from './json.js';
import { words } from '../words/index.js';

/** @typedef {import('../../sdk/index.js').Field} Field */

/**
 * Return the text of a value, or an empty string for null. A reference shows its ID: the caller knows the title.
 * @param {Field} field
 * @param {any} value a wire value
 * @param {{locale?: string, timeZone?: string}} [where]
 * @returns {string}
 */
export function display(field, value, where = {}) {
  if (value === null || value === undefined) return '';
  switch (field.kind) {
    case 'boolean':
      return value ? words.values.yes : words.values.no;
    case 'integer':
    case 'real':
      return new Intl.NumberFormat(where.locale, { maximumFractionDigits: 10 }).format(value);
    case 'decimal':
      return formatDecimal(String(value), where.locale);
    case 'date':
      return formatDate(String(value), where.locale);
    case 'datetime':
      return new Intl.DateTimeFormat(where.locale, {
        dateStyle: 'medium',
        timeStyle: 'short',
        timeZone: where.timeZone,
      }).format(new Date(value));
    case 'choice':
      return field.choices?.find((choice) => choice.value === value)?.label ?? String(value);
    case 'json':
      return summary(value);
    default:
      return String(value);
  }
}

/**
 * @param {string} text
 * @param {string} [locale]
 */
function formatDecimal(text, locale) {
  const digits = text.includes('.') ? text.length - text.indexOf('.') - 1 : 0;
  return new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(
    Number(text),
  );
}

/**
 * Rewrite a localized number, or part of one, with a decimal point and without digit groups.
 * @param {string} text
 * @param {string} [locale]
 * @returns {string}
 */
export function withPoint(text, locale) {
  const parts = new Intl.NumberFormat(locale).formatToParts(-1234567.5);
  const sign = (/** @type {string} */ type) => parts.find((part) => part.type === type)?.value ?? '';
  return text
    .replaceAll(sign('group') || ' ', '')
    .replace(sign('decimal') || '.', '.')
    .replace(sign('minusSign') || '-', '-');
}

/**
 * @param {string} text YYYY-MM-DD
 * @param {string} [locale]
 */
function formatDate(text, locale) {
  const day = new Date(`${text}T00:00:00Z`);
  return Number.isNaN(day.getTime())
    ? text
    : new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeZone: 'UTC' }).format(day);
}

/**
 * Convert a wire datetime to the local time of an `<input type="datetime-local">`.
 * @param {string | null | undefined} value
 * @returns {string}
 */
export function toLocalInput(value) {
  if (!value) return '';
  const moment = new Date(value);
  if (Number.isNaN(moment.getTime())) return '';
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const year = String(moment.getFullYear()).padStart(4, '0');
  const day = `${year}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  return `${day}T${two(moment.getHours())}:${two(moment.getMinutes())}`;
}

/**
 * Convert the value of an `<input type="datetime-local">` to a wire datetime; null when empty.
 * @param {string} text
 * @returns {string | null}
 */
export function fromLocalInput(text) {
  if (!text) return null;
  const moment = new Date(text);
  return Number.isNaN(moment.getTime()) ? text : moment.toISOString().replace(/\.(\d{3})Z$/, '.$1000Z');
}

/**
 * Return how long ago a moment was, for badges and histories.
 * @param {string} at ISO datetime
 * @param {number} now ms since the epoch
 * @param {string} [locale]
 * @returns {string}
 */
export function ago(at, now, locale) {
  const seconds = Math.round((new Date(at).getTime() - now) / 1000);
  const format = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  /** @type {[Intl.RelativeTimeFormatUnit, number][]} */
  const units = [
    ['day', 86400],
    ['hour', 3600],
    ['minute', 60],
  ];
  for (const [unit, size] of units)
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  return Math.abs(seconds) < 10 ? words.values.justNow : format.format(seconds, 'second');
}
