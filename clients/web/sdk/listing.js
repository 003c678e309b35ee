/**
 * The leader’s side of one long list. It computes the keys of all rows in order once and then updates them with each
 * change, so that reading a window takes a few lookups.
 *
 * A key is the rowid of a base row, or minus the rowid of a patched row if the record has pending ops. Work runs in
 * slices: reading a window or starting a new search never waits for a scan of the whole table.
 */

import { quote } from './ddl.js';
import { MoatError } from './errors.js';
import { Sorter, compare, compareStored } from './sorting.js';
import { words } from './words.js';

/** @typedef {import('./replica.js').Replica} Replica */
/** @typedef {import('./sql.js').Value} Value */
/** @typedef {import('./sorting.js').Sortable} Sortable */
/** @typedef {{sql: string, params?: Value[]}} Fragment a piece of SQL on the columns of the table */
/**
 * @typedef {{
 *   table: string, where?: Fragment | null, order?: (Fragment & {descending?: boolean}) | null, select?: Fragment
 * }} ListOptions `where`: a condition · `order`: an expression, by default the ID · `select`: what a window returns of
 *   each row, from the table as `r`
 */
/**
 * @typedef {{
 *   count: number, complete: boolean, progress: number | null, top: boolean, error?: {code: string, message: string}
 * }} ListUpdate
 */

const SLICE_MS = 8;
const REPORT_MS = 100;
const STEPS = 512;
const SCREEN = 200;
const FIRST_SPAN = 4096;
/** With more changes than this, computing the list again is cheaper. */
const MOST_CHANGES = 50;
/** Wait at least this many times the last computing time before computing a list again. */
const REST = 4;
const MOST_REST_MS = 3000;
const VISIBLE = `"state" IN ('pending','acked')`;

/** Let pending messages run. A timer would wait four milliseconds. */
const yieldToMessages = (() => {
  const { port1, port2 } = new MessageChannel();
  /** @type {(() => void)[]} */
  const waiting = [];
  port1.onmessage = () => waiting.shift()?.();
  /** @type {any} */ (port1).unref?.();
  return () => new Promise((resolve) => {
    waiting.push(() => resolve(undefined));
    port2.postMessage(null);
  });
})();

export class Listing {
  /** @type {Float64Array<ArrayBuffer>} */
  keys = new Float64Array(0);
  #count = 0;
  complete = false;
  /** @type {number | null} */
  #progress = null;
  /** Incremented whenever the current computation becomes obsolete. */
  #turn = 0;
  #running = false;
  #dirty = false;
  #took = 0;
  #finished = 0;
  #compare = compare;
  #reportedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer = undefined;
  /** @type {Set<string>} tables whose changes matter to the rows shown */
  #reads = new Set();

  /**
   * @param {() => Replica} replica
   * @param {ListOptions} options
   * @param {(update: ListUpdate) => void} send
   */
  constructor(replica, options, send) {
    this.replica = replica;
    this.options = options;
    this.send = send;
    void this.#compute(true);
  }

  stop() {
    this.#turn++;
    clearTimeout(this.#timer);
  }

  /**
   * Return the rows of a window, in order; null for a row deleted meanwhile.
   * @param {number} from
   * @param {number} count
   * @returns {(Record<string, any> | null)[]}
   */
  rows(from, count) {
    const { table, select = { sql: 'r.*' } } = this.options;
    const keys = [...this.keys.subarray(from, Math.min(this.#count, from + count))];
    /** @type {Map<number, Record<string, any>>} */
    const found = new Map();
    for (const sign of [1, -1]) {
      const some = keys.filter((key) => key * sign > 0);
      if (!some.length) continue;
      const { columns, rows, tables } = this.replica().sql.query(
        `SELECT ${sign} * r.rowid, ${select.sql} FROM ${sign > 0 ? base(table) : patched(table)} r ` +
          `WHERE r.rowid IN (${some.map(() => '?').join()})`,
        [...(select.params ?? []), ...some.map((key) => key * sign)],
      );
      for (const [key, ...row] of rows)
        found.set(key, Object.fromEntries(row.map((value, i) => [columns[i + 1], value])));
      this.#reads = new Set(tables);
    }
    return keys.map((key) => found.get(key) ?? null);
  }

  /**
   * Update the list after a change of its own table or of another one.
   * @param {Map<string, Set<string> | null>} tables IDs that changed; null if there are many
   */
  changed(tables) {
    const { table } = this.options;
    if (!tables.has(table)) {
      if ([...tables.keys()].some((name) => this.#reads.has(name))) this.#report(false);
      return;
    }
    const ids = tables.get(table);
    if (this.#running || this.#dirty) this.#dirty = true;
    else if (ids && ids.size <= MOST_CHANGES && this.#moved(ids)) this.#report(false);
    else this.#later();
  }

  /** @param {Set<string>} ids */
  #moved(ids) {
    try {
      return this.#move(ids);
    } catch {
      return false; // the write itself succeeded; compute the list again instead
    }
  }

  /** Compute everything again: the replica or its tables were replaced. */
  replaced() {
    this.#turn++;
    this.#running = false;
    void this.#compute(true);
  }

  #later() {
    this.#dirty = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#dirty = false;
      void this.#compute(false);
    }, Math.max(0, Math.min(MOST_REST_MS, this.#took * REST) - (performance.now() - this.#finished)));
  }

  /**
   * @param {boolean} top whether this is a different list, shown from the top while it is being computed
   * @param {boolean} [again] keep the rows shown so far
   */
  async #compute(top, again = false) {
    const turn = ++this.#turn, begun = performance.now();
    this.#running = true;
    if (top && !again) {
      this.#count = 0;
      this.complete = false;
    }
    try {
      if (!this.replica().schema.types.some(({ name }) => name === this.options.table))
        throw new MoatError('unknown_table', words.unknownTable(this.options.table));
      const indexed = this.#indexed();
      this.#compare = indexed ? compareStored : compare;
      const keys = indexed && !this.options.where ? await this.#scan(turn, top) : await this.#sort(turn, top);
      if (!keys || turn !== this.#turn) return;
      this.keys = keys;
      this.#count = keys.length;
      this.complete = true;
      this.#progress = null;
      this.#report(top);
    } catch (error) {
      if (turn !== this.#turn) return;
      const { code, message } = MoatError.from(error);
      if (code === 'aborted') {
        // A failed change, such as a rejected write, aborted the scan, and no other notification will follow. A stopped
        // list has another turn.
        this.#dirty = false;
        return void this.#compute(top, true);
      }
      this.send({ count: 0, complete: true, progress: null, top, error: { code, message } });
    }
    this.#running = false;
    this.#finished = performance.now();
    this.#took = this.#finished - begun;
    if (this.#dirty) this.#later();
  }

  /** @param {boolean} top */
  #report(top) {
    this.#reportedAt = performance.now();
    this.send({ count: this.#count, complete: this.complete, progress: this.#progress, top });
  }

  /** Return whether an index provides this order. Then the list uses the index’s order, whatever the condition. */
  #indexed() {
    const { sql, params } = this.#orderedSql();
    return !this.replica()
      .sql.query(`EXPLAIN QUERY PLAN ${sql}`, params)
      .rows.some((row) => String(row[3]).includes('TEMP B-TREE'));
  }

  #orderedSql() {
    const { table, order } = this.options;
    return {
      sql: `SELECT rowid FROM ${base(table)} ORDER BY ${order?.sql ?? '"id"'} ${order?.descending ? 'DESC' : 'ASC'}`,
      params: order?.params ?? [],
    };
  }

  /**
   * Read the keys in index order and show them from the first on.
   * @param {number} turn
   * @param {boolean} top
   * @returns {Promise<Float64Array<ArrayBuffer> | null>}
   */
  async #scan(turn, top) {
    const { sql, params } = this.#orderedSql(), overlaid = this.#overlaid();
    const scan = this.replica().sql.scan(sql, params);
    let keys = new Float64Array(4096), count = 0;
    try {
      for (let more = true; more;) {
        const until = performance.now() + SLICE_MS;
        do {
          if (count + STEPS > keys.length) keys = doubled(keys);
          more = scan.next(STEPS, ([key]) => { if (!overlaid.has(key)) keys[count++] = key; });
        } while (more && performance.now() < until);
        if (top && more) this.#show(keys, count);
        await yieldToMessages();
        if (turn !== this.#turn) return null;
      }
    } finally {
      scan.close();
    }
    return this.#inserted(keys.slice(0, count), this.#patched().map(([key, value]) => ({ key, value })));
  }

  /**
   * Read the table in rowid order, keep the rows that match, and sort them.
   * @param {number} turn
   * @param {boolean} top
   * @returns {Promise<Float64Array<ArrayBuffer> | null>}
   */
  async #sort(turn, top) {
    const { table, order } = this.options, { sql } = this.replica();
    const last = sql.value(`SELECT max(rowid) FROM ${base(table)}`) ?? 0;
    const overlaid = this.#overlaid();
    const sorter = new Sorter();
    for (let from = 1, span = FIRST_SPAN; from <= last; from += span) {
      const begun = performance.now();
      if (from > 1) span = this.#span(span);
      const { sql: text, params } = this.#matching('rowid', base(table), 'rowid BETWEEN ? AND ?', [
        from,
        from + span - 1,
      ]);
      for (const [key, value] of this.replica().sql.query(`${text} ORDER BY rowid`, params).rows)
        if (!overlaid.has(key)) sorter.add(key, value);
      this.#sliceMs = performance.now() - begun;
      this.#progress = Math.min(1, (from + span) / last);
      if (top && performance.now() - this.#reportedAt > REPORT_MS) this.#report(top);
      await yieldToMessages();
      if (turn !== this.#turn) return null;
    }
    for (const [key, value] of this.#patched()) sorter.add(key, value);
    return sorter.sorted(order?.descending ? -1 : 1, this.#compare);
  }

  /** Return the rowids of base rows hidden by pending ops. @returns {Set<number>} */
  #overlaid() {
    return new Set(this.replica().sql.rows(overlaidRows(this.options.table)).map(([rowid]) => rowid));
  }

  /** Return the patched rows of the list, with their values. @returns {[number, Sortable][]} */
  #patched() {
    const { sql, params } = this.#matching('-rowid', patched(this.options.table), '1', []);
    return /** @type {any} */ (this.replica().sql.query(sql, params).rows);
  }

  #sliceMs = 0;

  /** @param {number} span rows of the last slice; the next one should take SLICE_MS */
  #span(span) {
    return Math.max(256, Math.min(span * 2, Math.round((span * SLICE_MS) / Math.max(this.#sliceMs, 0.5))));
  }

  /**
   * @param {string} key
   * @param {string} from
   * @param {string} which
   * @param {Value[]} values
   */
  #matching(key, from, which, values) {
    const { where, order } = this.options;
    return {
      sql: `SELECT ${key}, ${order?.sql ?? '"id"'} FROM ${from} WHERE ${which}${where ? ` AND (${where.sql})` : ''}`,
      params: [...(order?.params ?? []), ...values, ...(where?.params ?? [])],
    };
  }

  /**
   * Show the rows found so far, the first screen at once. A restarted scan shows nothing until it has passed the
   * previous one.
   * @param {Float64Array<ArrayBuffer>} keys
   * @param {number} count
   */
  #show(keys, count) {
    if (count < SCREEN || count <= this.#count || (this.#count && performance.now() - this.#reportedAt < REPORT_MS))
      return;
    const first = this.#count === 0;
    this.keys = keys;
    this.#count = count;
    this.#report(first);
  }

  // Changes

  /**
   * Update the list for some records: remove them, then insert those that belong to it at their places. Returns false
   * if one was deleted, because its key is then unknown.
   * @param {Set<string>} ids
   */
  #move(ids) {
    const { table } = this.options, { sql } = this.replica(), list = [...ids];
    const marks = list.map(() => '?').join();
    const found = sql.rows(
      `SELECT "id", rowid FROM ${base(table)} WHERE "id" IN (${marks}) UNION ALL ` +
        `SELECT "id", -rowid FROM ${patched(table)} WHERE "id" IN (${marks})`,
      [...list, ...list],
    );
    if (new Set(found.map(([id]) => id)).size < ids.size) return false;
    const idOf = new Map(found.map(([id, key]) => [key, id]));
    const left = new Set(sql.rows(`SELECT -rowid FROM ${patched(table)}`).map(([key]) => key));
    const hidden = this.#overlaid();
    /** @type {Map<string, number>} their old positions among the rows that stay */
    const stood = new Map();
    const kept = new Float64Array(this.#count);
    let count = 0;
    for (const key of this.keys.subarray(0, this.#count)) {
      if (!idOf.has(key) && (key > 0 || left.has(key))) kept[count++] = key;
      // A missing patched row belonged to the one record that was confirmed.
      else stood.set(idOf.get(key) ?? list[0], count);
    }
    const arriving = [
      ...this.#values(base(table), 'rowid', list).filter(([key]) => !hidden.has(key)),
      ...this.#values(patched(table), '-rowid', list),
    ];
    this.keys = this.#inserted(
      kept.slice(0, count),
      arriving.map(([key, value]) => ({ key, value, stood: stood.get(idOf.get(key)) })),
    );
    this.#count = this.keys.length;
    return true;
  }

  /**
   * @param {string} from
   * @param {string} key
   * @param {string[]} ids
   * @returns {[number, Sortable][]}
   */
  #values(from, key, ids) {
    const { sql, params } = this.#matching(key, from, `"id" IN (${ids.map(() => '?').join()})`, ids);
    return /** @type {any} */ (this.replica().sql.query(sql, params).rows);
  }

  /**
   * @param {Float64Array<ArrayBuffer>} kept in order
   * @param {{key: number, value: Sortable, stood?: number}[]} arriving
   */
  #inserted(kept, arriving) {
    const direction = this.options.order?.descending ? -1 : 1;
    const places = arriving
      .map((one) => ({ ...one, at: this.#place(kept, one, direction) }))
      .sort((a, b) => a.at - b.at || this.#compare(a.value, b.value, direction));
    const out = new Float64Array(kept.length + places.length);
    let from = 0, to = 0;
    for (const { key, at } of places) {
      out.set(kept.subarray(from, at), to);
      to += at - from;
      from = at;
      out[to++] = key;
    }
    out.set(kept.subarray(from), to);
    return out;
  }

  /**
   * Return the index for a row: its old one if it still fits there, so that rows of equal value do not jump.
   * @param {Float64Array} kept
   * @param {{value: Sortable, stood?: number}} row
   * @param {number} direction
   */
  #place(kept, { value, stood }, direction) {
    const versus = (/** @type {number} */ at) => this.#compare(this.#valueOf(kept[at]), value, direction);
    if (stood !== undefined && (stood === 0 || versus(stood - 1) <= 0) && (stood === kept.length || versus(stood) >= 0))
      return stood;
    let low = 0, high = kept.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (versus(middle) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Return the value a row is sorted by. The order’s SQL was authorized when the list was computed, so a cached
   * statement is as safe, and ten times as fast.
   * @param {number} key
   * @returns {Sortable}
   */
  #valueOf(key) {
    const { table, order } = this.options;
    const sql = `SELECT ${order?.sql ?? '"id"'} FROM ${key > 0 ? base(table) : patched(table)} WHERE rowid = ?`;
    return this.replica().sql.value(sql, [...(order?.params ?? []), Math.abs(key)]);
  }
}

const base = (/** @type {string} */ table) => `main.${quote(table)}`;
const patched = (/** @type {string} */ table) => `main.${quote(`_patched_${table}`)}`;

/** The name of a table contains no quotes. */
const overlaidRows = (/** @type {string} */ table) =>
  `SELECT rowid FROM ${base(table)} WHERE "id" IN ` +
  `(SELECT "record_id" FROM main."overlays" WHERE "table_name" = '${table}' AND ${VISIBLE})`;

/** @param {Float64Array<ArrayBuffer>} keys */
function doubled(keys) {
  const out = new Float64Array(keys.length * 2);
  out.set(keys);
  return out;
}
