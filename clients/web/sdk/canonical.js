/** Pure: canonical JSON (RFC 8785, JCS). ECMAScript’s own forms of numbers and strings are the canonical ones. */

import { words } from './words.js';

/** A lone surrogate, which UTF-8 cannot encode. */
const LONE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/**
 * Return the canonical text of a JSON value. Throws TypeError if JSON cannot hold it.
 * @param {unknown} value
 * @returns {string}
 */
export function canonical(value) {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(words.notFinite);
    return JSON.stringify(value);
  }
  if (typeof value === 'string') {
    if (LONE.test(value)) throw new TypeError(words.loneSurrogate);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object') throw new TypeError(words.notJson(typeof value));
  const object = /** @type {Record<string, unknown>} */ (value);
  const keys = Object.keys(object).filter((key) => object[key] !== undefined).sort();
  return `{${keys.map((key) => `${canonical(key)}:${canonical(object[key])}`).join(',')}}`;
}

/**
 * Return whether two JSON values are equal.
 * @param {unknown} a
 * @param {unknown} b
 * @returns {boolean}
 */
export function same(a, b) {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const x = /** @type {Record<string, unknown>} */ (a), y = /** @type {Record<string, unknown>} */ (b);
  const keys = Object.keys(x);
  return keys.length === Object.keys(y).length && keys.every((key) => Object.hasOwn(y, key) && same(x[key], y[key]));
}
