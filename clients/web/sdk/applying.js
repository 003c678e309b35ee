/** Write changes and rows from the server to the base tables, inside a transaction of the replica. */

import { quote } from './ddl.js';
import { MoatError } from './errors.js';
import { Folded, foldChanges } from './fold.js';
import { parseChanges } from './lines.js';
import { fromCell, toCell } from './values.js';
import { words } from './words.js';

/** @typedef {import('./replica.js').Replica} Replica */
/** @typedef {import('./replica.js').RowsFrame} RowsFrame */
/** @typedef {import('./overlays.js').Touched} Touched */
/** @typedef {import('./schema.js').Table} Table */
/** @typedef {import('./types.js').RecordValues} RecordValues */

/**
 * Apply change lines. Lines of a table that was retired since are skipped.
 * @param {Replica} replica
 * @param {string[]} lines
 * @param {boolean} replaying whether a repair may have fetched some of them already
 * @param {Touched} touched
 */
export function applyLines(replica, lines, replaying, touched) {
  const changes = parseChanges(lines);
  for (const { op_id, device } of changes)
    if (op_id !== undefined && replica.devices.has(device ?? '')) replica.overlays.dropOwn(op_id, touched);
  for (const [name, folded] of foldChanges(changes, jsonOf(replica), replaying ? versionOf(replica) : null)) {
    const table = replica.schema.tables.get(name);
    if (table) writeFolded(replica, table, folded, touched);
  }
}

/**
 * @param {Replica} replica
 * @param {RowsFrame} frame
 * @param {Touched} touched
 */
export function applyRows(replica, frame, touched) {
  const table = replica.schema.tables.get(frame.table);
  const unknown = table ? frame.columns.find((column) => !table.columns.includes(column)) : frame.table;
  if (!table || unknown) throw new MoatError('schema', words.otherSchema(String(unknown)));
  const folded = new Folded();
  for (const line of frame.lines) {
    const values = JSON.parse(line);
    /** @type {RecordValues} */
    const record = {};
    frame.columns.forEach((column, i) => { record[column] = values[i]; });
    folded.rows.set(record.id, record);
  }
  for (const id of frame.deleted ?? []) folded.gone.add(id);
  writeFolded(replica, table, folded, touched);
}

/**
 * Write a table’s folded changes, each record once. Pending ops of a deleted record keep its last values.
 * @param {Replica} replica
 * @param {Table} table
 * @param {Folded} folded
 * @param {Touched} touched
 */
export function writeFolded({ sql, overlays }, table, folded, touched) {
  if (folded.gone.size) overlays.rememberLast(table, folded.gone);
  for (const id of folded.gone) sql.run(table.sql.remove, [id]);
  for (const record of folded.rows.values()) sql.run(table.sql.upsert, table.toRow(record));
  /** @type {Map<string, {sql: string, codecs: import('./schema.js').Codec[]}>} */
  const updates = new Map();
  for (const [id, patch] of folded.patches) {
    const names = Object.keys(patch), key = names.join();
    let update = updates.get(key);
    if (!update) updates.set(key, update = updateOf(table, names));
    const values = update.codecs.map((field) => toCell(field, patch[field.name]));
    values.push(id);
    if (sql.run(update.sql, values) !== 1) throw new MoatError('diverged', words.changedButMissing(table.name, id));
  }
  const ids = touched.of(table.name);
  for (const id of folded.gone) ids.add(id);
  for (const id of folded.rows.keys()) ids.add(id);
  for (const id of folded.patches.keys()) ids.add(id);
}

/**
 * @param {Table} table
 * @param {string[]} names of fields; some may be retired since
 */
function updateOf(table, names) {
  const codecs = table.codecs.filter((field) => names.includes(field.name));
  const sets = codecs.map((field) => `${quote(field.name)} = ?`).join(', ');
  return { sql: `UPDATE main.${quote(table.name)} SET ${sets} WHERE "id" = ?`, codecs };
}

/**
 * @param {Replica} replica
 * @returns {import('./fold.js').Current}
 */
const jsonOf = ({ sql, schema }) => (name, id, field) => {
  const codec = schema.tables.get(name)?.byName.get(field);
  if (!codec) return undefined;
  const row = sql.first(`SELECT ${quote(field)} FROM main.${quote(name)} WHERE "id" = ?`, [id]);
  if (!row) throw new MoatError('diverged', words.changedButMissing(name, id));
  return fromCell(codec, row[0]);
};

/**
 * @param {Replica} replica
 * @returns {import('./fold.js').Known}
 */
const versionOf =
  ({ sql, schema }) =>
  (name, id) =>
    schema.tables.has(name) ? sql.value(`SELECT "version" FROM main.${quote(name)} WHERE "id" = ?`, [id]) : null;
