/** The SQL of a record list: search, filters, sort. Runs on the live views of the local replica; every value is a parameter. */

/**
 * @typedef {import('../../sdk/types.js').ObjectType} ObjectType
 * @typedef {{field: string, op: 'eq' | 'ne' | 'contains' | 'gte' | 'lte' | 'empty' | 'filled', value?: any}} Filter
 * @typedef {{search: string, filters: Filter[], sort: {field: string, descending: boolean} | null}} ListState
 * @typedef {{sql: string, params: any[]}} Query
 */

const SEARCHABLE = new Set(['text', 'choice', 'uuid', 'decimal', 'date']);

/** @param {string} name */
const quote = (name) => `"${name.replaceAll('"', '""')}"`;

/**
 * Return the columns a list shows: the title field, then status, subtype and the first fields, `limit` in all.
 * @param {ObjectType} type
 * @param {(field: string) => boolean} readable
 * @param {number} [limit]
 * @returns {string[]}
 */
export function listColumns(type, readable, limit = 6) {
  const fields = type.fields.filter((field) => field.kind !== 'json' && readable(field.name)).map((field) => field.name);
  const title = fields.includes(type.title_field) ? [type.title_field] : [];
  const head = [type.statuses.length ? 'status' : '', type.subtypes.length ? 'object_type' : ''].filter((name) => name && readable(name));
  return [...new Set([...title, ...head, ...fields])].slice(0, limit);
}

/**
 * Return the query of one window of a list. `id` and `version` come first, then `columns`.
 * @param {ObjectType} type
 * @param {ListState} state
 * @param {{columns: string[], limit: number, offset: number}} window
 * @returns {Query}
 */
export function windowQuery(type, state, { columns, limit, offset }) {
  const { sql, params } = where(type, state);
  const names = ['id', 'version', ...columns].map(quote).join(', ');
  const direction = state.sort?.descending ? 'DESC' : 'ASC';
  const order = state.sort && known(type, state.sort.field) ? `${quote(state.sort.field)} ${direction}, "id" ${direction}` : `"id" ${direction}`;
  return { sql: `SELECT ${names} FROM ${quote(type.table_name)}${sql} ORDER BY ${order} LIMIT ? OFFSET ?`, params: [...params, limit, offset] };
}

/**
 * Return the query that counts a list.
 * @param {ObjectType} type
 * @param {ListState} state
 * @returns {Query}
 */
export function countQuery(type, state) {
  const { sql, params } = where(type, state);
  return { sql: `SELECT count(*) AS "count" FROM ${quote(type.table_name)}${sql}`, params };
}

/**
 * @param {ObjectType} type
 * @param {string} name
 */
function known(type, name) {
  return ['id', 'object_type', 'status', 'version'].includes(name) || type.fields.some((field) => field.name === name);
}

/**
 * @param {ObjectType} type
 * @param {ListState} state
 * @returns {Query}
 */
function where(type, state) {
  /** @type {string[]} */
  const terms = [];
  /** @type {any[]} */
  const params = [];
  for (const word of state.search.trim().split(/\s+/).filter(Boolean)) {
    const columns = ['id', ...type.fields.filter((field) => SEARCHABLE.has(field.kind)).map((field) => field.name)];
    terms.push(`(${columns.map((name) => `${quote(name)} LIKE ? ESCAPE '\\'`).join(' OR ')})`);
    params.push(...columns.map(() => `%${escapeLike(word)}%`));
  }
  for (const filter of state.filters) {
    if (!known(type, filter.field)) continue;
    const [term, values] = filterTerm(filter);
    terms.push(term);
    params.push(...values);
  }
  return { sql: terms.length ? ` WHERE ${terms.join(' AND ')}` : '', params };
}

/** @param {string} text */
function escapeLike(text) {
  return text.replace(/[\\%_]/g, '\\$&');
}

/**
 * @param {Filter} filter
 * @returns {[string, any[]]}
 */
function filterTerm({ field, op, value }) {
  const column = quote(field);
  const cell = typeof value === 'boolean' ? Number(value) : value;
  switch (op) {
    case 'ne': return [`${column} IS NOT ?`, [cell]];
    case 'contains': return [`${column} LIKE ? ESCAPE '\\'`, [`%${escapeLike(String(cell))}%`]];
    case 'gte': return [`${column} >= ?`, [cell]];
    case 'lte': return [`${column} <= ?`, [cell]];
    case 'empty': return [`(${column} IS NULL OR ${column} = '')`, []];
    case 'filled': return [`(${column} IS NOT NULL AND ${column} <> '')`, []];
    default: return [`${column} IS ?`, [cell]];
  }
}
