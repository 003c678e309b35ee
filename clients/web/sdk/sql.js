/**
 * A SQLite connection for the replica: cached prepared statements, plain arrays in and out, one transaction at a time.
 * It calls the wasm exports directly, because the library’s wrappers take three times as long per row.
 */

import { Cells, STATIC } from './cells.js';
import { MoatError } from './errors.js';
import { words } from './words.js';

/** @typedef {import('@sqlite.org/sqlite-wasm').Sqlite3Static} Sqlite3 */
/** @typedef {import('@sqlite.org/sqlite-wasm').Database} Database */
/** @typedef {string | number | null | Uint8Array} Value */

const ROW = 100, DONE = 101, DENY = 1;
const MAX_STATEMENTS = 256;
/** Error codes for SQLite’s result codes; all others become `sql`. */
/** @type {Record<number, string>} */
const CODES = { 10: 'storage_failed', 11: 'damaged', 13: 'storage_failed', 23: 'not_allowed', 26: 'damaged' };

/** The result of an application’s query; `tables` decides when to run it again. */
/** @typedef {{columns: string[], rows: any[][], tables: string[]}} QueryResult */

/**
 * @typedef {{
 *   next: (most: number, visit: (row: any[]) => void) => boolean, close: () => void
 * }} Scan `next` returns whether there are more rows
 */

export class Sql {
  #wasm;
  #exports;
  #capi;
  /** @type {Map<string, number>} */
  #statements = new Map();
  /** @type {Set<number>} statements of scans that are not at their end */
  #scans = new Set();
  #cells;
  /** @type {Set<string> | null} set while an application's statement is compiled */
  #reads = null;
  inTransaction = false;

  /**
   * @param {Sqlite3} sqlite3
   * @param {Database} db
   */
  constructor(sqlite3, db) {
    this.sqlite3 = sqlite3;
    this.db = db;
    this.#capi = /** @type {any} */ (sqlite3.capi);
    this.#wasm = /** @type {any} */ (sqlite3.wasm);
    this.#exports = this.#wasm.exports;
    this.#cells = new Cells(sqlite3);
    // Never removed: removing an authorizer expires every prepared statement.
    this.#capi.sqlite3_set_authorizer(db.pointer, this.#authorize.bind(this), 0);
  }

  /**
   * Run a statement; returns the number of rows it changed.
   * @param {string} sql
   * @param {Value[]} [values]
   * @returns {number}
   */
  run(sql, values = []) {
    const statement = this.#prepare(sql);
    this.#cells.bind(statement, values, STATIC);
    try {
      for (
        let code = this.#exports.sqlite3_step(statement);
        code !== DONE;
        code = this.#exports.sqlite3_step(statement)
      ) {
        if (code !== ROW) throw this.#error(code, sql);
      }
    } finally {
      this.#exports.sqlite3_reset(statement);
    }
    return this.#exports.sqlite3_changes(this.db.pointer);
  }

  /**
   * Return all rows as arrays.
   * @param {string} sql
   * @param {Value[]} [values]
   * @returns {any[][]}
   */
  rows(sql, values = []) {
    /** @type {any[][]} */
    const out = [];
    const statement = this.#prepare(sql);
    this.#cells.bind(statement, values);
    this.#collect(statement, sql, (row) => out.push(row));
    return out;
  }

  /**
   * Return the first row, or null.
   * @param {string} sql
   * @param {Value[]} [values]
   * @returns {any[] | null}
   */
  first(sql, values = []) {
    const statement = this.#prepare(sql);
    this.#cells.bind(statement, values, STATIC);
    try {
      const code = this.#exports.sqlite3_step(statement);
      if (code === ROW) return this.#cells.row(statement);
      if (code !== DONE) throw this.#error(code, sql);
      return null;
    } finally {
      this.#exports.sqlite3_reset(statement);
    }
  }

  /**
   * Return the first column of the first row, or null.
   * @param {string} sql
   * @param {Value[]} [values]
   * @returns {any}
   */
  value(sql, values = []) {
    return this.first(sql, values)?.[0] ?? null;
  }

  /**
   * Call `visit` with each row, as a new array.
   * @param {string} sql
   * @param {Value[]} values
   * @param {(row: any[]) => void} visit
   */
  each(sql, values, visit) {
    const statement = this.#prepare(sql);
    this.#cells.bind(statement, values);
    this.#collect(statement, sql, visit);
  }

  /**
   * Run several statements that return nothing.
   * @param {string[]} statements
   */
  script(statements) {
    for (const sql of statements) {
      const statement = this.#compile(sql, true);
      try {
        this.#collect(statement, sql, () => {});
      } finally {
        this.#exports.sqlite3_finalize(statement);
      }
    }
  }

  /**
   * Run `work` in one transaction: if it throws, nothing is changed. `work` must not wait.
   * @template T
   * @param {() => T} work
   * @returns {T}
   */
  transaction(work) {
    if (this.inTransaction) throw new Error(words.transactionOpen);
    this.run('BEGIN IMMEDIATE');
    this.inTransaction = true;
    try {
      const result = work();
      this.run('COMMIT');
      return result;
    } catch (error) {
      // After some errors (disk full) SQLite has rolled back already, and ROLLBACK would fail.
      if (!this.#exports.sqlite3_get_autocommit(this.db.pointer)) this.run('ROLLBACK');
      throw error;
    } finally {
      this.inTransaction = false;
    }
  }

  /**
   * Run an application’s query: one read-only statement on the live views.
   * @param {string} sql
   * @param {Value[] | Record<string, Value>} [params]
   * @returns {QueryResult}
   */
  query(sql, params = []) {
    const { statement, reads } = this.#prepareQuery(sql);
    try {
      this.#cells.bind(statement, Array.isArray(params) ? params : this.#byName(statement, params));
      /** @type {any[][]} */
      const rows = [];
      const columns = [];
      this.#collect(statement, sql, (row) => rows.push(row));
      const count = this.#exports.sqlite3_column_count(statement);
      for (let i = 0; i < count; i++) columns.push(this.#capi.sqlite3_column_name(statement, i));
      return { columns, rows, tables: [...reads] };
    } finally {
      this.#exports.sqlite3_finalize(statement);
    }
  }

  /**
   * Start an application’s query whose rows are read in steps, so that other work runs in between.
   * @param {string} sql
   * @param {Value[]} params
   * @returns {Scan}
   */
  scan(sql, params) {
    const { statement } = this.#prepareQuery(sql);
    this.#cells.bind(statement, params);
    this.#scans.add(statement);
    const open = () => { if (!this.#scans.has(statement)) throw new MoatError('aborted', words.schemaChanged); };
    return {
      next: (most, visit) => {
        open();
        for (let taken = 0; taken < most; taken++) {
          const code = this.#exports.sqlite3_step(statement);
          if (code === DONE) return false;
          if (code !== ROW) throw this.#error(code, sql);
          visit(this.#cells.row(statement));
        }
        return true;
      },
      close: () => { if (this.#scans.delete(statement)) this.#exports.sqlite3_finalize(statement); },
    };
  }

  /** Abort every scan, because tables cannot be rebuilt during one. Reading on throws `aborted`. */
  abortScans() {
    for (const statement of this.#scans) this.#exports.sqlite3_finalize(statement);
    this.#scans.clear();
  }

  /** Release everything. */
  close() {
    this.abortScans();
    for (const statement of this.#statements.values()) this.#exports.sqlite3_finalize(statement);
    this.#statements.clear();
    this.#cells.close();
    this.db.close();
  }

  /**
   * @param {string} sql
   * @returns {{statement: number, reads: Set<string>}}
   */
  #prepareQuery(sql) {
    const reads = new Set();
    this.#reads = reads;
    try {
      const statement = this.#compile(sql, true);
      return { statement, reads };
    } finally {
      this.#reads = null;
    }
  }

  /**
   * @param {unknown} _context
   * @param {number} action
   * @param {string | 0} first
   * @param {string | 0} second
   * @param {string | 0} schema
   * @param {string | 0} view
   * @returns {number}
   */
  #authorize(_context, action, first, second, schema, view) {
    if (!this.#reads) return 0;
    const capi = this.#capi;
    if (action === capi.SQLITE_READ) {
      if (first === 'device_state') return DENY;
      // A live view’s own access to the overlays is not a read by the application.
      if (schema === 'main' && !(first === 'overlays' && view))
        this.#reads.add(String(first).replace(/^_patched_/, ''));
      return 0;
    }
    const harmless = [capi.SQLITE_SELECT, capi.SQLITE_FUNCTION, capi.SQLITE_RECURSIVE];
    return harmless.includes(action) && second !== 'load_extension' ? 0 : DENY;
  }

  /**
   * @param {string} sql
   * @returns {number}
   */
  #prepare(sql) {
    let statement = this.#statements.get(sql);
    if (statement) return statement;
    if (this.#statements.size >= MAX_STATEMENTS) {
      const [oldest, pointer] = /** @type {[string, number]} */ (this.#statements.entries().next().value);
      this.#exports.sqlite3_finalize(pointer);
      this.#statements.delete(oldest);
    }
    statement = this.#compile(sql, false);
    this.#statements.set(sql, statement);
    return statement;
  }

  /**
   * @param {string} sql
   * @param {boolean} single reject text after the first statement
   * @returns {number}
   */
  #compile(sql, single) {
    const wasm = this.#wasm;
    const scope = wasm.scopedAllocPush();
    try {
      const [text, length] = wasm.scopedAllocCString(sql, true);
      const [out, tail] = wasm.scopedAllocPtr(2);
      const code = this.#exports.sqlite3_prepare_v2(this.db.pointer, text, length + 1, out, tail);
      if (code) throw this.#error(code, sql);
      const statement = wasm.peekPtr(out);
      if (!statement) throw new MoatError('sql', words.emptyStatement);
      const rest = wasm.cstrToJs(wasm.peekPtr(tail)) ?? '';
      if (single && rest.replace(/--.*|\/\*[^]*?\*\//g, '').trim()) {
        this.#exports.sqlite3_finalize(statement);
        throw new MoatError('sql', words.oneStatement);
      }
      return statement;
    } finally {
      wasm.scopedAllocPop(scope);
    }
  }

  /**
   * @param {number} statement
   * @param {Record<string, Value>} params
   * @returns {Value[]}
   */
  #byName(statement, params) {
    const values = Array(this.#exports.sqlite3_bind_parameter_count(statement)).fill(null);
    for (const [name, value] of Object.entries(params)) {
      const names = /^[:@$]/.test(name) ? [name] : [`:${name}`, `@${name}`, `$${name}`];
      const index = names.map((each) => this.#capi.sqlite3_bind_parameter_index(statement, each)).find(Boolean);
      if (!index) throw new MoatError('sql', words.unknownParameter(name));
      values[index - 1] = value;
    }
    return values;
  }

  /**
   * @param {number} statement
   * @param {string} sql
   * @param {(row: any[]) => void} visit
   */
  #collect(statement, sql, visit) {
    const step = () => this.#exports.sqlite3_step(statement);
    try {
      for (let code = step(); code !== DONE; code = step()) {
        if (code !== ROW) throw this.#error(code, sql);
        visit(this.#cells.row(statement));
      }
    } finally {
      this.#exports.sqlite3_reset(statement);
    }
  }

  /**
   * @param {number} code
   * @param {string} sql
   */
  #error(code, sql) {
    const message = this.#capi.sqlite3_errmsg(this.db.pointer);
    const named = CODES[code & 0xff] ?? 'sql';
    return new MoatError(named, `${message} (${sql.slice(0, 200)})`, { details: { sqlite: code } });
  }
}
