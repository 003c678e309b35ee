/** A live list of records: count and pages of rows for a search, filters, and sort. The SDK keeps it current. */

import { listOptions } from './query.js';

/**
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').ListNews} ListNews
 * @typedef {import('../../sdk/index.js').ListOptions} ListOptions
 * @typedef {import('./query.js').ListState} ListState
 * @typedef {Record<string, any> & {id: string}} Row
 * @typedef {{rows: (from: number, count: number) => Promise<(Record<string, any> | null)[]>,
 *   show: (options: ListOptions) => void, close: () => void}} List
 * @typedef {{
 *   open: (options: ListOptions, listener: (update: ListNews) => void) => List,
 *   changed: (how: {count: number, top: boolean}) => void,
 *   progress: (share: number | null) => void, failed: (error: {code: string, message: string}) => void
 * }} About
 *   `progress` receives how far a search or sort is; null when it is done
 */

export class LiveList {
  /** @type {List | null} */
  list = null;
  /** Whether nothing of the requested list has been shown yet. */
  fresh = false;

  /** @param {About} about */
  constructor(about) {
    this.about = about;
  }

  /**
   * Show another list from its first row. The previous rows stay visible until the new ones arrive.
   * @param {ObjectType} type
   * @param {ListState} state
   * @param {{columns: string[], types: Map<string, ObjectType>}} page
   */
  show(type, state, page) {
    const options = listOptions(type, state, page);
    this.fresh = true;
    if (this.list) this.list.show(options);
    else this.list = this.about.open(options, (update) => this.onUpdate(update));
  }

  /**
   * Return the rows starting at `offset`. A row that disappeared meanwhile has an empty ID.
   * @param {number} offset
   * @param {number} limit
   * @returns {Promise<Row[]>}
   */
  async rows(offset, limit) {
    const rows = (await this.list?.rows(offset, limit)) ?? [];
    return rows.map((row) => /** @type {Row} */ (row ?? { id: '' }));
  }

  stop() {
    this.list?.close();
    this.list = null;
  }

  /** @param {ListNews} update */
  onUpdate({ count, complete, progress, top, error }) {
    this.about.progress(complete ? null : (progress ?? 0));
    if (error) return this.about.failed(error);
    if (!count && !complete) return; // keep the previous rows visible until then
    this.about.changed({ count, top: top && this.fresh });
    this.fresh = false;
  }
}
