/** What a person chose for the list of a type — columns and sort — kept in this browser. No data, only names of fields. */

import { titleField } from '../forms/titles.js';
import { listColumns } from './query.js';

/**
 * @typedef {import('../../sdk/types.js').ObjectType} ObjectType
 * @typedef {import('./query.js').Sort} Sort
 * @typedef {{columns?: string[], sort?: Sort | null}} Chosen
 */

const SHOWN = 5;

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
    // A browser that keeps nothing forgets the choice, no more.
  }
}

/**
 * Return the columns to show: the chosen ones that still exist, otherwise the first few.
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
 * Return the sort to begin with: the chosen one, otherwise the title where that costs nothing.
 * @param {ObjectType} type
 * @returns {Sort | null}
 */
export function sortOf(type) {
  const { sort } = chosen(type.table_name);
  if (sort !== undefined) return sort;
  const title = type.fields.find((field) => field.name === titleField(type));
  return title && (title.indexed || title.unique) ? { field: title.name, descending: false } : null;
}
