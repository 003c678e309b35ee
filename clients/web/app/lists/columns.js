/** The columns and sort a user chose for a list, stored in this browser: field names only, no data. */

import { headFields } from '../forms/plan.js';
import { titleField } from '../forms/titles.js';
import { listColumns } from './query.js';

/**
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('./query.js').Sort} Sort
 * @typedef {{columns?: string[], sort?: Sort | null}} Chosen
 * @typedef {{name: string, label: string, width: number, grow: number, number: boolean, sortable: boolean}} Column
 *   a column of a wide list; `width`: the minimum, in px
 */

const SHOWN = 6;
/** @type {Record<string, number>} px by kind; choices fit their longest label; other kinds get TEXT and grow */
const WIDTHS = { boolean: 92, integer: 92, real: 104, decimal: 104, date: 116, datetime: 172 };
const CHARACTER = 8;
const CHOICE = { edges: 44, least: 96, most: 190 };
const TEXT = 140;
const TITLE = 240;
const NUMBERS = new Set(['integer', 'real', 'decimal']);

/**
 * @param {string} table
 * @returns {Chosen}
 */
export function chosen(table) {
  try {
    return JSON.parse(localStorage.getItem(`moat.list.${table}`) ?? '{}');
  } catch {
    return {};
  }
}

/**
 * @param {string} table
 * @param {Chosen} choice
 */
export function choose(table, choice) {
  try {
    localStorage.setItem(`moat.list.${table}`, JSON.stringify({ ...chosen(table), ...choice }));
  } catch {
    // Without storage, the choice lasts until the page closes.
  }
}

/**
 * Return the columns to show: the chosen ones that still exist, or the first few.
 * @param {ObjectType} type
 * @param {(field: string) => boolean} readable
 * @returns {string[]}
 */
export function columnsOf(type, readable) {
  const all = listColumns(type, readable, Infinity);
  const wanted = chosen(type.table_name).columns?.filter((name) => all.includes(name));
  return wanted ? [...new Set([...all.filter((name) => name === titleField(type)), ...wanted])] : all.slice(0, SHOWN);
}

/**
 * Return the initial sort: the chosen one, or by title if it is indexed.
 * @param {ObjectType} type
 * @returns {Sort | null}
 */
export function sortOf(type) {
  const { sort } = chosen(type.table_name);
  if (sort !== undefined) return sort;
  const title = type.fields.find((field) => field.name === titleField(type));
  return title && (title.indexed || title.unique) ? { field: title.name, descending: false } : null;
}

/**
 * Return the columns that fit a wide list, title first. Columns are dropped from the end.
 * @param {ObjectType} type
 * @param {string[]} columns the chosen ones
 * @param {number} width px
 * @returns {Column[]}
 */
export function tableColumns(type, columns, width) {
  const fields = new Map([...headFields(type), ...type.fields].map((field) => [field.name, field]));
  const title = titleField(type) ?? 'id';
  /** @type {Column[]} */
  const out = [
    {
      name: title,
      label: fields.get(title)?.label || type.label,
      width: TITLE,
      grow: 2,
      number: false,
      sortable: true,
    },
  ];
  let left = width - TITLE;
  for (const name of columns) {
    const field = fields.get(name);
    if (!field || name === title) continue;
    const needed = widthOf(field);
    left -= needed;
    if (left < 0) break;
    out.push({
      name,
      label: field.label || name,
      width: needed,
      grow: field.kind === 'choice' || WIDTHS[field.kind] ? 0 : 1,
      number: NUMBERS.has(field.kind),
      sortable: field.kind !== 'reference',
    });
  }
  return out;
}

/** @param {import('../../sdk/index.js').Field} field */
function widthOf(field) {
  if (field.kind !== 'choice') return WIDTHS[field.kind] ?? TEXT;
  const longest = Math.max(field.label.length, ...(field.choices ?? []).map((choice) => choice.label.length));
  return Math.min(CHOICE.most, Math.max(CHOICE.least, CHOICE.edges + longest * CHARACTER));
}

/**
 * Return the value of `grid-template-columns` for columns.
 * @param {Column[]} columns
 */
export function gridOf(columns) {
  return columns.map(({ width, grow }) => (grow ? `minmax(${width}px, ${grow}fr)` : `${width}px`)).join(' ');
}
