/** A list that follows the replica: the order of its ids, asked for again when something changed, and its rows page by page. */

import { idsQuery, pageQuery } from './query.js';

/**
 * @typedef {import('../../sdk/types.js').ObjectType} ObjectType
 * @typedef {import('./query.js').ListState} ListState
 * @typedef {Record<string, any> & {id: string}} Row
 * @typedef {{query: (sql: string, params: any[]) => Promise<Record<string, any>[]>, changed: (how: {count: number, top: boolean}) => void, failed: (error: unknown) => void, now?: () => number}} About
 */

// A long list is not asked for again more often than this many times as long as its query takes.
const REST = 4;
const MAX_REST_MS = 3000;

export class LiveList {
  /** @param {About} about */
  constructor(about) {
    this.about = about;
    /** @type {string[]} */
    this.ids = [];
    this.loaded = false;
    this.turn = 0;
    this.took = 0;
    this.finished = 0;
    this.running = false;
    /** @type {'top' | 'same' | null} */
    this.wanted = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /**
   * Show another list: at once, from its first row.
   * @param {ObjectType} type
   * @param {ListState} state
   * @param {{columns: string[], types: Map<string, ObjectType>}} page
   */
  show(type, state, page) {
    this.type = type;
    this.state = state;
    this.page = page;
    this.turn += 1;
    this.wanted = 'top';
    clearTimeout(this.timer);
    this.timer = undefined;
    if (!this.running) void this.run();
  }

  /** Something may have changed: look again, soon. */
  refresh() {
    if (!this.type) return;
    this.wanted ??= 'same';
    if (this.running || this.timer !== undefined) return;
    const wait = Math.min(MAX_REST_MS, this.took * REST) - (this.now() - this.finished);
    if (wait <= 0) void this.run();
    else this.timer = setTimeout(() => { this.timer = undefined; void this.run(); }, wait);
  }

  /**
   * Return the rows from `offset` on, in order; a row that is gone is left as its id alone.
   * @param {number} offset
   * @param {number} limit
   * @returns {Promise<Row[]>}
   */
  async rows(offset, limit) {
    const ids = this.ids.slice(offset, offset + limit);
    if (!ids.length || !this.type || !this.page) return [];
    const { sql, params } = pageQuery(this.type, { ...this.page, ids });
    const rows = await this.about.query(sql, params);
    const byId = new Map(rows.map((row) => [row.id, /** @type {Row} */ (row)]));
    return ids.map((id) => byId.get(id) ?? { id });
  }

  stop() {
    this.turn += 1;
    this.wanted = null;
    clearTimeout(this.timer);
  }

  now() {
    return this.about.now?.() ?? performance.now();
  }

  async run() {
    this.running = true;
    while (this.wanted && this.type && this.state) {
      const { turn } = this;
      const top = this.wanted === 'top';
      this.wanted = null;
      const began = this.now();
      try {
        const { sql, params } = idsQuery(this.type, this.state);
        const [{ ids }] = /** @type {[{ids: string}]} */ (await this.about.query(sql, params));
        if (turn === this.turn) {
          this.ids = JSON.parse(ids);
          this.loaded = true;
          this.about.changed({ count: this.ids.length, top });
        }
      } catch (error) {
        if (turn === this.turn) this.about.failed(error);
      }
      this.finished = this.now();
      this.took = this.finished - began;
    }
    this.running = false;
  }
}
