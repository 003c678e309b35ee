/** The SQL of a record list: search, filters, and sort over the replica’s live views. Every value is a parameter. */

import { containing } from '../../sdk/index.js';
import { withPoint } from '../forms/display.js';
import { titleField } from '../forms/titles.js';

/**
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {{field: string, op: 'eq' | 'ne' | 'contains' | 'gte' | 'lte' | 'empty' | 'filled', value?: any}} Filter
 * @typedef {{field: string, descending: boolean}} Sort
 * @typedef {{search: string, filters: Filter[], sort: Sort | null}} ListState
 * @typedef {{sql: string, params: any[]}} Query
 */

const SEARCHABLE = new Set(['text', 'choice', 'uuid', 'date']);

/** Suffix of a reference’s title column: `customer` comes with `customer title`, which no field can be named. */
export const TITLE = ' title';

/** @param {string} name */
const quote = (name) => `"${name.replaceAll('"', '""')}"`;

/**
 * Return the default columns of a list: the title field, then status, subtype, and the first fields.
 * @param {ObjectType} type
 * @param {(field: string) => boolean} readable
 * @param {number} [limit]
 * @returns {string[]}
 */
export function listColumns(type, readable, limit = 6) {
  const fields = type.fields
    .filter((field) => field.kind !== 'json' && readable(field.name))
    .map((field) => field.name);
  const declared = titleField(type);
  const title = declared && fields.includes(declared) ? [declared] : [];
  const head = [type.statuses.length ? 'status' : '', type.subtypes.length ? 'object_type' : ''].filter(
    (name) => name && readable(name),
  );
  return [...new Set([...title, ...head, ...fields])].slice(0, limit);
}

/**
 * Return the SDK’s options for the list: which records, in which order, and which columns. `id` and `version` come
 * first, then `columns`. A reference adds the title of its record.
 * @param {ObjectType} type
 * @param {ListState} state
 * @param {{columns: string[], types: Map<string, ObjectType>}} page `types` by table name
 * @returns {import('../../sdk/index.js').ListOptions}
 */
export function listOptions(type, state, { columns, types }) {
  const names = [
    'id',
    'version',
    ...columns.filter((name) => known(type, name) && name !== 'id' && name !== 'version'),
  ].map((name) => `r.${quote(name)}`);
  for (const field of type.fields) {
    const target =
      columns.includes(field.name) && field.kind === 'reference' ? types.get(field.reference_table ?? '') : undefined;
    const title = titleField(target);
    if (target && title)
      names.push(
        `(SELECT t.${quote(title)} FROM ${quote(target.table_name)} t WHERE t."id" = r.${quote(field.name)}) ` +
          `AS ${quote(field.name + TITLE)}`,
      );
  }
  const order =
    state.sort && known(type, state.sort.field)
      ? { ...sortTerm(type, state.sort.field), descending: state.sort.descending }
      : null;
  return { table: type.table_name, where: where(type, state), order, select: { sql: names.join(', ') } };
}

/**
 * @param {ObjectType} type
 * @param {string} name
 */
function known(type, name) {
  return ['id', 'object_type', 'status', 'version'].includes(name) || type.fields.some((field) => field.name === name);
}

/**
 * Statuses sort in their declared order.
 * @param {ObjectType} type
 * @param {string} name
 * @returns {Query}
 */
function sortTerm(type, name) {
  const choices = name === 'status' ? type.statuses : name === 'object_type' ? type.subtypes : null;
  if (!choices?.length) return { sql: quote(name), params: [] };
  const whens = choices.map((_, at) => `WHEN ? THEN ${at}`).join(' ');
  return {
    sql: `CASE ${quote(name)} ${whens} ELSE ${choices.length} END`,
    params: choices.map((choice) => choice.value),
  };
}

/**
 * @param {ObjectType} type
 * @param {ListState} state
 * @returns {Query | null}
 */
function where(type, state) {
  /** @type {string[]} */
  const terms = [];
  /** @type {any[]} */
  const params = [];
  for (const word of state.search.trim().split(/\s+/).filter(Boolean)) {
    const found = searchTerm(type, word);
    terms.push(found.sql);
    params.push(...found.params);
  }
  for (const filter of state.filters) {
    if (!known(type, filter.field)) continue;
    const [term, values] = filterTerm(filter);
    terms.push(term);
    params.push(...values);
  }
  return terms.length ? { sql: terms.join(' AND '), params } : null;
}

/**
 * Return the condition that a record contains a search word. Decimals are compared as shown, with all decimal places.
 * Only words that look like numbers are searched in decimals, so that other words cost nothing extra.
 * @param {ObjectType} type
 * @param {string} word
 * @returns {Query}
 */
function searchTerm(type, word) {
  const texts = containing(
    ['id', ...type.fields.filter((field) => SEARCHABLE.has(field.kind)).map((field) => field.name)].map(quote),
    word,
  );
  const decimals = type.fields.filter((field) => field.kind === 'decimal');
  const shown = decimals.map(
    (field) =>
      `CASE WHEN ${quote(field.name)} IS NOT NULL THEN printf('%.${placesOf(field)}f', ${quote(field.name)}) END`,
  );
  const numbers = [...new Set([word, withPoint(word)])]
    .filter((number) => /^-?[\d.]+$/.test(number))
    .map((number) => containing(shown, number));
  const all = decimals.length ? [texts, ...numbers] : [texts];
  return { sql: `(${all.map(({ sql }) => sql).join(' OR ')})`, params: all.flatMap(({ params }) => params) };
}

/** @param {Field} field */
const placesOf = ({ decimal_places: places }) =>
  Number.isInteger(places) ? Math.min(Math.max(Number(places), 0), 30) : 2;

/**
 * @param {Filter} filter
 * @returns {[string, any[]]}
 */
function filterTerm({ field, op, value }) {
  const column = quote(field);
  const cell = typeof value === 'boolean' ? Number(value) : value;
  switch (op) {
    case 'ne':
      return [`${column} IS NOT ?`, [cell]];
    case 'contains': {
      const { sql, params } = containing([column], String(cell));
      return [sql, params];
    }
    case 'gte':
      return [`${column} >= ?`, [cell]];
    case 'lte':
      return [`${column} <= ?`, [cell]];
    case 'empty':
      return [`(${column} IS NULL OR ${column} = '')`, []];
    case 'filled':
      return [`(${column} IS NOT NULL AND ${column} <> '')`, []];
    // A box that was never ticked is null, and counts as not ticked.
    default:
      return value === false ? [`coalesce(${column}, 0) = 0`, []] : [`${column} IS ?`, [cell]];
  }
}
