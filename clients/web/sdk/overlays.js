/**
 * The `overlays` table, which is the op queue of this client: unconfirmed ops, what the user sees with them applied,
 * and how replies of the server change them.
 */

import { quote } from './ddl.js';
import { patched, touchedFields } from './overlay.js';
import { words } from './words.js';

/** @typedef {import('./types.js').Overlay} Overlay */
/** @typedef {import('./types.js').OpResult} OpResult */
/** @typedef {import('./types.js').RecordState} RecordState */
/** @typedef {import('./sql.js').Sql} Sql */
/** @typedef {import('./schema.js').Schema} Schema */

const COLUMNS =
  'op_id, tx, table_name, record_id, op, payload, base_version, schema_version, created_at, state, acked_cursor, ' +
  'settles, code, message, details';
const VISIBLE = `"state" IN ('pending','acked')`;
const json = (/** @type {string | null} */ text) => (text === null ? null : JSON.parse(text));
const text = (/** @type {unknown} */ value) => (value === null || value === undefined ? null : JSON.stringify(value));

/**
 * @param {any[]} row
 * @returns {Overlay}
 */
function fromRow(row) {
  const [
    op_id,
    tx,
    table,
    id,
    op,
    payload,
    base_version,
    schema_version,
    created_at,
    state,
    acked_cursor,
    settles,
    code,
    message,
    details,
  ] = row;
  return {
    op_id,
    tx,
    table,
    id,
    op,
    payload: json(payload),
    base_version,
    schema_version,
    created_at,
    state,
    acked_cursor,
    settles,
    code,
    message,
    details: json(details),
  };
}

/** Collects the records that changed, to notify listeners. */
export class Touched {
  /** @type {Map<string, Set<string>>} */
  tables = new Map();
  /** Whether tables were created, changed, or dropped. */
  rebuilt = false;

  /**
   * @param {string} table
   * @param {string} id
   */
  add(table, id) {
    this.of(table).add(id);
  }

  /**
   * Return the set of changed IDs of a table; callers may add to it.
   * @param {string} table
   * @returns {Set<string>}
   */
  of(table) {
    let ids = this.tables.get(table);
    if (!ids) this.tables.set(table, ids = new Set());
    return ids;
  }
}

export class Overlays {
  /**
   * @param {Sql} sql
   * @param {() => Schema} schema
   */
  constructor(sql, schema) {
    this.sql = sql;
    this.schema = schema;
  }

  /**
   * Return overlays in op order.
   * @param {string} [where] SQL on the table's columns
   * @param {import('./sql.js').Value[]} [values]
   * @returns {Overlay[]}
   */
  list(where = '1', values = []) {
    return this.sql.rows(`SELECT ${COLUMNS} FROM main."overlays" WHERE ${where} ORDER BY "op_id"`, values).map(fromRow);
  }

  /**
   * @param {number} opId
   * @returns {Overlay | null}
   */
  get(opId) {
    const row = this.sql.first(`SELECT ${COLUMNS} FROM main."overlays" WHERE "op_id" = ?`, [opId]);
    return row && fromRow(row);
  }

  /**
   * Add an op. The caller rebuilds its record.
   * @param {Overlay} op
   */
  add(op) {
    this.sql.run(`INSERT INTO main."overlays" (${COLUMNS}) VALUES (${Array(15).fill('?').join(', ')})`, [
      op.op_id,
      op.tx,
      op.table,
      op.id,
      op.op,
      text(op.payload),
      op.base_version,
      op.schema_version,
      op.created_at,
      op.state,
      op.acked_cursor,
      op.settles,
      op.code,
      op.message,
      text(op.details),
    ]);
  }

  /**
   * @param {number} opId
   */
  remove(opId) {
    this.sql.run('DELETE FROM main."overlays" WHERE "op_id" = ?', [opId]);
  }

  /** Count the overlays in each state. */
  counts() {
    const counts = { pending: 0, acked: 0, conflict: 0, rejected: 0, parked: 0 };
    this.sql.each('SELECT "state", count(*) FROM main."overlays" GROUP BY 1', [], ([state, count]) => {
      counts[/** @type {keyof typeof counts} */ (state)] = count;
    });
    return counts;
  }

  /** Return the tables whose live view includes pending ops. */
  visibleTables() {
    return new Set(
      this.sql.rows(`SELECT DISTINCT "table_name" FROM main."overlays" WHERE ${VISIBLE}`).map(([table]) => table),
    );
  }

  /**
   * Update `_patched_` for one record, in the transaction that changed its base row or its overlays.
   * @param {string} tableName
   * @param {string} id
   */
  rebuild(tableName, id) {
    const table = this.schema().tables.get(tableName);
    if (!table || table.system) return;
    const ops = this.sql
      .rows(
        `SELECT "op", "payload" FROM main."overlays" WHERE "table_name" = ? AND "record_id" = ? AND ${VISIBLE} ` +
          `ORDER BY "op_id"`,
        [tableName, id],
      )
      .map(([op, payload]) => ({ op, payload: json(payload) }));
    const row = ops.length ? this.sql.first(table.sql.get, [id]) : null;
    const record = ops.length ? patched(id, row && table.toRecord(row), ops, table.columns) : null;
    if (record) this.sql.run(table.sql.upsertPatched, table.toRow(record));
    else this.sql.run(table.sql.removePatched, [id]);
  }

  /** Update `_patched_` for all records, after a new base was installed. */
  rebuildAll() {
    for (const table of this.schema().types) this.sql.run(`DELETE FROM main.${quote(`_patched_${table.name}`)}`);
    for (const [table, id] of this.sql.rows(
      `SELECT DISTINCT "table_name", "record_id" FROM main."overlays" WHERE ${VISIBLE}`,
    ))
      this.rebuild(table, id);
  }

  /**
   * Drop accepted ops whose changes the replica now contains.
   * @param {number} cursor
   * @param {Touched} touched
   */
  dropReached(cursor, touched) {
    const where = `"state" = 'acked' AND "acked_cursor" <= ?`;
    for (const [table, id] of this.sql.rows(`SELECT "table_name", "record_id" FROM main."overlays" WHERE ${where}`, [
      cursor,
    ]))
      touched.add(table, id);
    this.sql.run(`DELETE FROM main."overlays" WHERE ${where}`, [cursor]);
  }

  /**
   * Drop an op whose own change arrived.
   * @param {number} opId
   * @param {Touched} touched
   */
  dropOwn(opId, touched) {
    const own = this.get(opId);
    if (!own) return;
    touched.add(own.table, own.id);
    if (own.settles) this.#dropSettled(own.settles, touched);
    this.remove(opId);
  }

  /**
   * Apply the server’s results to their ops.
   *
   * A result may arrive twice, because a push is sent again after a lost connection. An op that is gone was confirmed
   * by its own change; one that is in conflict or rejected has its result already, and keeps it.
   * @param {OpResult[]} results
   * @param {number} cursor the replica's
   * @param {Touched} touched
   */
  acknowledge(results, cursor, touched) {
    for (const result of results) {
      const own = this.get(result.op_id);
      if (!own || own.state === 'conflict' || own.state === 'rejected') continue;
      touched.add(own.table, own.id);
      if (result.status === 'conflict')
        this.#fail(own, 'conflict', result.code ?? 'conflict', result.message ?? null, result);
      else if (result.status === 'rejected') this.#reject(own, result);
      else this.#accept(own, result.cursor ?? 0, cursor, touched);
    }
  }

  /**
   * Drop the op behind a conflict that was resolved elsewhere.
   * @param {string} conflict
   * @param {Touched} touched
   */
  settled(conflict, touched) {
    this.#dropSettled(conflict, touched);
  }

  /**
   * Park ops whose table or field was retired; the user still sees them in the outbox.
   * @param {Record<string, any>[]} commands schema commands that were just run
   * @param {Touched} touched
   */
  park(commands, touched) {
    for (const { command, table, field } of commands) {
      if (command !== 'retire_table' && command !== 'retire_column') continue;
      for (const overlay of this.list(`"table_name" = ? AND "state" <> 'parked'`, [table])) {
        if (command === 'retire_column' && !touchedFields(overlay).includes(field)) continue;
        this.#fail(
          overlay,
          'parked',
          'retired',
          command === 'retire_table' ? words.typeRetired(table) : words.fieldRetired(field),
          overlay.details,
        );
        touched.add(overlay.table, overlay.id);
      }
    }
  }

  /**
   * Store the last values of records about to be deleted with their pending ops, as `details.last`.
   * @param {import('./schema.js').Table} table
   * @param {Set<string>} ids
   * @param {Sql} [source] file that holds the records, if another one
   */
  rememberLast(table, ids, source = this.sql) {
    for (const overlay of this.list(`"table_name" = ? AND ${VISIBLE}`, [table.name])) {
      const row = ids.has(overlay.id) && !overlay.details?.last ? source.first(table.sql.get, [overlay.id]) : null;
      if (row)
        this.sql.run('UPDATE main."overlays" SET "details" = ? WHERE "op_id" = ?', [
          text({ ...overlay.details, last: table.toRecord(row) }),
          overlay.op_id,
        ]);
    }
  }

  /**
   * @param {Overlay} own
   * @param {number} reached cursor of its change
   * @param {number} cursor the replica's
   * @param {Touched} touched
   */
  #accept(own, reached, cursor, touched) {
    if (own.settles) this.#dropSettled(own.settles, touched);
    if (own.op === 'settle' || reached <= cursor) this.remove(own.op_id);
    else
      this.sql.run(`UPDATE main."overlays" SET "state" = 'acked', "acked_cursor" = ? WHERE "op_id" = ?`, [
        reached,
        own.op_id,
      ]);
  }

  /**
   * @param {Overlay} own
   * @param {OpResult} result
   */
  #reject(own, result) {
    // A rejected settle op means that its conflict is gone: nothing is left for the user to decide.
    if (own.op === 'settle') this.remove(own.op_id);
    else
      this.#fail(
        own,
        result.code === 'retired' ? 'parked' : 'rejected',
        result.code ?? 'rejected',
        result.message ?? null,
        result,
      );
  }

  /**
   * @param {Overlay} own
   * @param {string} state
   * @param {string} code
   * @param {string | null} message
   * @param {any} details
   */
  #fail(own, state, code, message, details) {
    const kept = own.details?.last ? { ...details, last: own.details.last } : details;
    this.sql.run('UPDATE main."overlays" SET "state" = ?, "code" = ?, "message" = ?, "details" = ? WHERE "op_id" = ?', [
      state,
      code,
      message,
      text(kept),
      own.op_id,
    ]);
  }

  /**
   * @param {string} conflict
   * @param {Touched} touched
   */
  #dropSettled(conflict, touched) {
    for (const overlay of this.list(`"state" = 'conflict'`)) {
      if (overlay.details?.conflict !== conflict) continue;
      touched.add(overlay.table, overlay.id);
      this.remove(overlay.op_id);
    }
  }
}
