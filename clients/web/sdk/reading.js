/** Read the replica for an application: records as wire values, from the live views. */

import { quote } from './ddl.js';
import { MoatError } from './errors.js';
import { containing } from './likeness.js';
import { words } from './words.js';

/** @typedef {import('./replica.js').Replica} Replica */
/** @typedef {import('./schema.js').Table} Table */
/** @typedef {import('./types.js').RecordValues} RecordValues */
/** @typedef {import('./types.js').FindOptions} FindOptions */
/** @typedef {import('./types.js').Overlay} Overlay */
/** @typedef {import('./sql.js').Value} Value */

const OPERATORS = new Set(['=', '!=', '<', '<=', '>', '>=', 'like']);
const SEARCHED = new Set(['text', 'choice', 'uuid', 'date']);
/** States from best to worst: a record shows the worst one of its ops. */
const SEVERITY = ['synced', 'acked', 'pending', 'parked', 'rejected', 'conflict'];

/**
 * @param {Replica} replica
 * @param {string} name
 * @returns {Table}
 */
function tableOf(replica, name) {
  const table = replica.schema.tables.get(name);
  if (!table) throw new MoatError('unknown_table', words.unknownTable(name));
  return table;
}

/**
 * @param {Table} table
 * @param {string} column
 */
function columnOf(table, column) {
  const index = table.columns.indexOf(column);
  if (index < 0) throw new MoatError('unknown_field', words.unknownField(table.name, column), { field: column });
  return table.codecs[index];
}

/**
 * Return the SQL of find options, on the live view.
 * @param {Replica} replica
 * @param {FindOptions} options
 * @returns {{table: Table, sql: string, values: Value[]}}
 */
export function findSql(replica, { table: name, where = {}, search = '', order = [], limit = 100, offset = 0 }) {
  const table = tableOf(replica, name);
  /** @type {Value[]} */
  const values = [];
  const conditions = Object.entries(where).map(([column, wanted]) => condition(table, column, wanted, values));
  if (search.trim()) {
    const columns = table.system
      ? []
      : table.codecs.filter((field) => SEARCHED.has(field.kind) && field.name !== 'id').map((field) => field.name);
    const found = containing(columns.map(quote), search.trim());
    conditions.push(found.sql);
    values.push(...found.params);
  }
  const orders = [order].flat().filter(Boolean).map((key) => {
    const down = key.startsWith('-'), column = key.replace(/^[-+]/, '');
    columnOf(table, column);
    return `${quote(column)}${down ? ' DESC' : ''}`;
  });
  const sql =
    `SELECT ${table.columns.map(quote).join(', ')} FROM ${quote(name)}` +
    `${conditions.length ? ` WHERE ${conditions.join(' AND ')}` : ''}` +
    ` ORDER BY ${[...orders, '"id"'].join(', ')} LIMIT ? OFFSET ?`;
  return { table, sql, values: [...values, limit, offset] };
}

/**
 * @param {Table} table
 * @param {string} column
 * @param {any} wanted
 * @param {Value[]} values
 * @returns {string}
 */
function condition(table, column, wanted, values) {
  const field = columnOf(table, column), name = quote(column);
  const bind = (/** @type {any} */ value) => void values.push(bound(field, value));
  if (wanted === null || wanted === undefined) return `${name} IS NULL`;
  if (Array.isArray(wanted)) {
    wanted.forEach(bind);
    return `${name} IN (${wanted.map(() => '?').join(', ')})`;
  }
  if (typeof wanted !== 'object') {
    bind(wanted);
    return `${name} = ?`;
  }
  // A Date has no own keys: without this check it would match every record.
  const operators = Object.entries(wanted);
  if (!operators.length) throw notAFilter(field);
  return operators.map(([operator, value]) => {
    if (!OPERATORS.has(operator)) throw new MoatError('bad_filter', words.unknownOperator(operator), { field: column });
    if (value === null) return `${name} IS ${operator === '!=' ? 'NOT ' : ''}NULL`;
    bind(value);
    return `${name} ${operator} ?`;
  }).join(' AND ');
}

/**
 * @param {Table['codecs'][number]} field
 * @param {any} value
 * @returns {Value}
 */
function bound(field, value) {
  if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) throw notAFilter(field);
  if (typeof value === 'boolean') return Number(value);
  return field.kind === 'decimal' && value !== null ? Number(value) : value;
}

/** @param {{name: string}} field */
const notAFilter = ({ name }) => new MoatError('bad_filter', words.badFilter(name), { field: name });

/**
 * @param {Replica} replica
 * @param {FindOptions} options
 * @returns {{records: RecordValues[], tables: string[]}}
 */
export function find(replica, options) {
  const { table, sql, values } = findSql(replica, options);
  const { rows } = replica.sql.query(sql, values);
  return { records: rows.map((row) => table.toRecord(row)), tables: [table.name] };
}

/**
 * @param {Replica} replica
 * @param {string} name
 * @param {string} id
 * @returns {RecordValues | null}
 */
export function get(replica, name, id) {
  return find(replica, { table: name, where: { id }, limit: 1 }).records[0] ?? null;
}

/**
 * Run an application’s SQL. Rows are objects with values as SQLite stores them.
 * @param {Replica} replica
 * @param {string} sql
 * @param {Value[] | Record<string, Value>} [params]
 */
export function query(replica, sql, params) {
  const { columns, rows, tables } = replica.sql.query(sql, params);
  return { rows: rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]]))), tables };
}

/**
 * Return the sync state of records that are not synced.
 * @param {Replica} replica
 * @param {string} table
 * @returns {Record<string, import('./types.js').RecordState>}
 */
export function states(replica, table) {
  /** @type {Record<string, any>} */
  const worst = {};
  replica.sql.each(
    'SELECT "record_id", "state" FROM main."overlays" WHERE "table_name" = ? AND "op" <> \'settle\'',
    [table],
    ([id, state]) => {
      if (SEVERITY.indexOf(state) > SEVERITY.indexOf(worst[id] ?? 'synced')) worst[id] = state;
    },
  );
  for (const id of Object.keys(worst)) if (worst[id] === 'acked') worst[id] = 'pending';
  return worst;
}

/**
 * Return the conflicts that a person must resolve.
 * @param {Replica} replica
 */
export function conflicts(replica) {
  const settling = new Set(
    replica.overlays.list(`"settles" IS NOT NULL AND "state" IN ('pending','acked')`).map((overlay) => overlay.settles),
  );
  return replica.overlays
    .list(`"state" = 'conflict'`)
    .filter((overlay) => !settling.has(overlay.details?.conflict))
    .map((overlay) => ({
      op_id: overlay.op_id,
      table: overlay.table,
      id: overlay.id,
      op: overlay.op,
      payload: overlay.payload,
      created_at: overlay.created_at,
      ...pickConflict(overlay.details ?? {}),
    }));
}

/** @param {any} details */
const pickConflict = ({ conflict, version, base, mine, theirs, fields, by, at }) => ({
  conflict,
  version,
  base,
  mine,
  theirs,
  fields,
  by,
  at,
});

/**
 * Return the object types, sorted by label.
 * @param {Replica} replica
 */
export function objects(replica) {
  return [...replica.objects.values()].sort((a, b) => a.label_plural.localeCompare(b.label_plural));
}

/**
 * @param {Replica} replica
 * @param {string | null} objectName null: all
 */
export function layouts(replica, objectName) {
  return find(replica, { table: 'layout_definition', where: objectName ? { object_name: objectName } : {}, limit: -1 })
    .records;
}

/**
 * Return the ops to push next: in op order, whole transactions, within the limits but at least one.
 * @param {Replica} replica
 * @param {number} maxOps
 * @param {number} maxBytes
 * @returns {import('./pushing.js').WireOp[]}
 */
export function pendingOps(replica, maxOps, maxBytes) {
  const overlays = replica.overlays.list(
    `"state" = 'pending' AND "op_id" <= (SELECT max("op_id") FROM ` +
      `(SELECT "op_id" FROM main."overlays" WHERE "state" = 'pending' ORDER BY "op_id" LIMIT ?))`,
    [maxOps + 1],
  );
  /** @type {import('./pushing.js').WireOp[]} */
  const out = [];
  let bytes = 0;
  for (const unit of units(overlays.slice(0, Math.max(maxOps + 1, 1)))) {
    // The last transaction may have more ops than were read.
    const tx = unit[0].tx;
    const whole = tx === null ? unit : replica.overlays.list(`"tx" = ? AND "state" = 'pending'`, [tx]);
    const wire = whole.map(toWire);
    const size = JSON.stringify(wire).length * 2;
    if (out.length && (out.length + whole.length > maxOps || bytes + size > maxBytes)) break;
    bytes += size;
    whole.forEach(({ op_id }, i) => out.push({ op_id, tx, wire: wire[i] }));
  }
  return out;
}

/**
 * @param {Overlay[]} overlays
 * @returns {Overlay[][]}
 */
function units(overlays) {
  /** @type {Overlay[][]} */
  const out = [];
  for (const overlay of overlays) {
    const last = out[out.length - 1];
    if (last && overlay.tx !== null && last[0].tx === overlay.tx) last.push(overlay);
    else out.push([overlay]);
  }
  return out;
}

/**
 * @param {Overlay} overlay
 * @returns {Record<string, any>}
 */
export function toWire({ op_id, tx, table, id, op, payload, base_version, created_at, settles }) {
  const wire = {
    op_id,
    ...(tx === null ? {} : { tx }),
    table,
    id,
    op,
    base_version,
    ...(op === 'delete' ? {} : { payload }),
    at: created_at,
  };
  return settles !== null && op !== 'settle' ? { ...wire, settles } : wire;
}
