/** Choose how to edit a JSON value: as a checklist, a list of words, name-value pairs, or plain text. */

import { words } from '../words/index.js';

/**
 * @typedef {{shape: 'checklist', text: string, done: string} | {shape: 'words'} | {shape: 'pairs'}
 *   | {shape: 'text'}} Shape
 */

const TEXT_KEYS = ['text', 'label', 'title', 'name'];
// As JSON writes numbers. Not 0x10, which is text.
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const DONE_KEYS = ['done', 'checked', 'complete', 'completed'];

/**
 * Return the shape of a value. No shape loses data: parts it does not show stay unchanged.
 * @param {any} value
 * @returns {Shape}
 */
export function shapeOf(value) {
  if (Array.isArray(value) && value.length) {
    if (isTexts(value)) return same(wordsOf(value.join(', ')), value) ? { shape: 'words' } : { shape: 'text' };
    const text = TEXT_KEYS.find((key) => value.every((item) => typeof item?.[key] === 'string'));
    const done = DONE_KEYS.find((key) => value.every((item) => typeof item?.[key] === 'boolean'));
    if (text && done) return { shape: 'checklist', text, done };
  } else if (isObject(value) && Object.keys(value).length && Object.values(value).every(isScalar)) {
    return { shape: 'pairs' };
  }
  return { shape: 'text' };
}

/**
 * Return a short text for a value, for lists and histories.
 * @param {any} value
 * @returns {string}
 */
export function summary(value) {
  const shape = shapeOf(value);
  if (isTexts(value)) return value.join(', ');
  if (shape.shape === 'checklist')
    return words.values.checklist(value.filter((/** @type {any} */ item) => item[shape.done]).length, value.length);
  if (shape.shape === 'pairs')
    return Object.entries(value)
      .map(([key, one]) => `${key}: ${one ?? words.values.none}`)
      .join(', ');
  return JSON.stringify(value);
}

/**
 * Split comma-separated text into words; null when there are none.
 * @param {string} text
 * @returns {string[] | null}
 */
export function wordsOf(text) {
  const words = text
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean);
  return words.length ? words : null;
}

/**
 * Parse a typed scalar. It keeps its previous type where the text allows.
 * @param {any} before
 * @param {string} text
 * @returns {any}
 */
export function scalarOf(before, text) {
  if (typeof before === 'number' && NUMBER.test(text.trim()) && Number.isFinite(Number(text))) return Number(text);
  if (before === null && text === '') return null;
  return text;
}

/**
 * Compare words. Text with a comma in it or spaces around it does not survive splitting.
 * @param {string[] | null} a
 * @param {string[]} b
 */
function same(a, b) {
  return a !== null && a.length === b.length && a.every((word, at) => word === b[at]);
}

/** @param {any} value */
function isTexts(value) {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string');
}

/** @param {any} value */
function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** @param {any} value */
function isScalar(value) {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
