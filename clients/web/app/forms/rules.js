/** Rules of JSON Forms: an effect that applies while a condition on a value of the record is true. */

import { fieldOf } from './resolve.js';

/** @typedef {import('./resolve.js').Element} Element */

/**
 * Return whether an element is visible and enabled for a record’s values.
 * @param {Element} element
 * @param {Record<string, any>} values
 * @returns {{visible: boolean, enabled: boolean}}
 */
export function evaluate(element, values) {
  const rule = element.rule;
  if (!rule) return { visible: true, enabled: true };
  const holds = conditionHolds(rule.condition, values);
  switch (rule.effect) {
    case 'SHOW':
      return { visible: holds, enabled: true };
    case 'HIDE':
      return { visible: !holds, enabled: true };
    case 'ENABLE':
      return { visible: true, enabled: holds };
    case 'DISABLE':
      return { visible: true, enabled: !holds };
    default:
      return { visible: true, enabled: true };
  }
}

/**
 * @param {any} condition
 * @param {Record<string, any>} values
 * @returns {boolean}
 */
function conditionHolds(condition, values) {
  const field = fieldOf(condition?.scope);
  if (field === null) return true;
  const value = values[field] ?? null;
  if (value === null && condition.failWhenUndefined) return false;
  return matches(condition.schema ?? {}, value);
}

/** @type {Record<string, (wanted: any, value: any) => boolean>} */
const KEYWORDS = {
  const: (wanted, value) => same(wanted, value),
  enum: (wanted, value) => wanted.some((/** @type {any} */ one) => same(one, value)),
  type: (wanted, value) => isType(wanted, value),
  minimum: (wanted, value) => isNumber(value) && Number(value) >= wanted,
  maximum: (wanted, value) => isNumber(value) && Number(value) <= wanted,
  exclusiveMinimum: (wanted, value) => isNumber(value) && Number(value) > wanted,
  exclusiveMaximum: (wanted, value) => isNumber(value) && Number(value) < wanted,
  minLength: (wanted, value) => typeof value === 'string' && [...value].length >= wanted,
  maxLength: (wanted, value) => typeof value === 'string' && [...value].length <= wanted,
  not: (wanted, value) => !matches(wanted, value),
  allOf: (wanted, value) => wanted.every((/** @type {any} */ one) => matches(one, value)),
  anyOf: (wanted, value) => wanted.some((/** @type {any} */ one) => matches(one, value)),
};

/**
 * Return whether a value satisfies the JSON Schema keywords that rules use. Unknown keywords are ignored.
 * @param {Record<string, any>} schema
 * @param {any} value
 * @returns {boolean}
 */
export function matches(schema, value) {
  return Object.entries(schema).every(([keyword, wanted]) => KEYWORDS[keyword]?.(wanted, value) ?? true);
}

/**
 * Decimals arrive as text and are compared as numbers.
 * @param {any} value
 */
function isNumber(value) {
  return (
    typeof value === 'number' || (typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value)))
  );
}

/**
 * @param {any} a
 * @param {any} b
 */
function same(a, b) {
  return a === b || (isNumber(a) && isNumber(b) && typeof a !== typeof b && Number(a) === Number(b));
}

/**
 * @param {string} type
 * @param {any} value
 */
function isType(type, value) {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return value !== null && typeof value === 'object' && !Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
