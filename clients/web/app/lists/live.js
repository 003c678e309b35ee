/** The list of a type: how many rows it has, and its rows page by page, as a person searches, filters and sorts. The SDK keeps it up to date. */

import { listOptions } from './query.js';

/**
 * @typedef {import('../../sdk/types.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/listing.js').ListNews} ListNews
 * @typedef {import('../../sdk/listing.js').ListOptions} ListOptions
 * @typedef {import('./query.js').ListState} ListState
 * @typedef {Record<string, any> & {id: string}} Row
 * @typedef {{rows: (from: number, count: number) => Promise<(Record<string, any> | null)[]>, show: (options: ListOptions) => void, close: () => void}} List
 * @typedef {{
 *   open: (options: ListOptions, listener: (update: ListNews) => void) => List, changed: (how: {count: number, top: boolean}) => void,
 *   progress: (share: number | null) => void, failed: (error: {code: string, message: string}) => void
 * }} About `progress` hears how far a search or a sort is, null when it is done
 */

export class LiveList {
  /** @type {List | null} */
  list = null;
  /** Nothing of the list that was asked for last has been shown yet. */
  fresh = false;

  /** @param {About} about */
  constructor(about) {
    this.about = about;
  }

  /**
   * Show another list, from its first row. Rows of the one before stay on the screen until there is something to show.
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
   * Return the rows from `offset` on, in order; a row that went away meanwhile has an empty id.
   * @param {number} offset
   * @param {number} limit
   * @returns {Promise<Row[]>}
   */
  async rows(offset, limit) {
    const rows = await this.list?.rows(offset, limit) ?? [];
    return rows.map((row) => /** @type {Row} */ (row ?? { id: '' }));
  }

  stop() {
    this.list?.close();
    this.list = null;
  }

  /** @param {ListNews} update */
  onUpdate({ count, complete, progress, top, error }) {
    this.about.progress(complete ? null : progress ?? 0);
    if (error) return this.about.failed(error);
    if (!count && !complete) return; // what is on the screen stays until then
    this.about.changed({ count, top: top && this.fresh });
    this.fresh = false;
  }
}
