/** Parse and write numbers with the decimal point and digit grouping of the user’s language, as lists show them. */

import { Unparsed } from './edit.js';

/**
 * @typedef {{point: string, group: string | null, last: number, others: number,
 *   digits: Map<string, string>}} NumberFormat
 *   `last`: digits in the last group; `others`: digits in the groups before it; `digits`: native digit → ASCII digit
 */

/** @type {Map<string, NumberFormat>} */
const known = new Map();

// Direction marks, which some languages put around a sign.
const MARKS = /[\u200e\u200f\u061c]/g;
const SPACE = /\s/;
const APOSTROPHE = /['’]/;
const PLAIN = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?$/i;

/**
 * Return how a language writes numbers; by default the browser’s.
 * @param {string} [locale]
 * @returns {NumberFormat}
 */
function formatOf(locale) {
  const key = locale ?? '';
  const found = known.get(key);
  if (found) return found;
  const parts = new Intl.NumberFormat(locale).formatToParts(1234567890.5);
  const of = (/** @type {string} */ type) => parts.filter((part) => part.type === type).map((part) => part.value);
  const plain = new Intl.NumberFormat(locale, { useGrouping: false });
  const groups = of('integer');
  const made = {
    point: of('decimal')[0] ?? '.',
    group: of('group')[0] ?? null,
    last: groups.at(-1)?.length ?? 3,
    others: groups.at(-2)?.length ?? 3,
    digits: new Map(Array.from({ length: 10 }, (_, digit) => [plain.format(digit), String(digit)])),
  };
  known.set(key, made);
  return made;
}

/**
 * Convert localized text to a plain number with a decimal point. Return null if it is invalid or ambiguous.
 * @param {string} text
 * @param {string} [locale]
 * @returns {string | null}
 */
export function plainNumber(text, locale) {
  const { point, group, last, others, digits } = formatOf(locale);
  const ascii = [...text.replace(MARKS, '').trim().replace('−', '-')].map((char) => digits.get(char) ?? char).join('');
  const [, sign, body] = /** @type {RegExpExecArray} */ (/^([+-]?)(.*)$/s.exec(ascii));
  const at = Math.max(body.indexOf(point), point === ',' || group === '.' ? -1 : body.indexOf('.'));
  const whole = at < 0 ? body : body.slice(0, at);
  const rest = at < 0 ? '' : `.${body.slice(at + 1)}`;
  const ungrouped = group === null ? whole : withoutGroups(whole, group, last, others);
  if (ungrouped?.includes('.') !== false) return null;
  const plain = `${sign}${ungrouped}${rest}`;
  return PLAIN.test(plain) ? plain : null;
}

/**
 * @param {string} whole
 * @param {string} group
 * @param {number} last
 * @param {number} others
 * @returns {string | null} null if the groups are not the language’s
 */
function withoutGroups(whole, group, last, others) {
  // Users type a plain space for a no-break space, and either apostrophe.
  const alike = [SPACE, APOSTROPHE].find((one) => one.test(group));
  const groups = alike ? whole.split(alike) : whole.split(group);
  if (groups.length === 1) return whole;
  const proper = groups.every(
    (digits, index) =>
      /^\d+$/.test(digits) &&
      (index === 0 ? digits.length <= others : digits.length === (index === groups.length - 1 ? last : others)),
  );
  return proper ? groups.join('') : null;
}

/**
 * Write a number as users type it: with the language’s decimal point, without groups.
 * @param {number | string} value a number, or a decimal in its wire form
 * @param {string} [locale]
 * @returns {string}
 */
export function typedNumber(value, locale) {
  return formatOf(locale).point === ',' ? String(value).replace('.', ',') : String(value);
}

/**
 * Return the value of a number input: a number, a decimal in plain digits, '' for no text, or `Unparsed`.
 * @param {string} kind `integer`, `real` or `decimal`
 * @param {string} text
 * @param {string} [locale]
 * @returns {number | string | Unparsed}
 */
export function readNumber(kind, text, locale) {
  if (text.trim() === '') return '';
  const plain = plainNumber(text, locale);
  if (plain === null || !Number.isFinite(Number(plain))) return new Unparsed(text);
  return kind === 'decimal' ? plain : Number(plain);
}
