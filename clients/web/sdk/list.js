/** A long list as an application holds it: how many rows there are, and any window of them. Made by `Moat.list`. */

import { MoatError } from './errors.js';
import { uuid7 } from './ids.js';

/** @typedef {import('./listing.js').ListOptions} ListOptions */
/** @typedef {import('./listing.js').ListUpdate} ListUpdate */

export class List {
  id = uuid7();
  #turn = 0;
  #closed = false;
  /** @type {ListOptions} */
  #options;
  #call;

  /**
   * @param {(method: string, ...args: any[]) => Promise<any>} call
   * @param {ListOptions} options
   * @param {(update: ListUpdate) => void} listener
   */
  constructor(call, options, listener) {
    this.#call = call;
    this.#options = options;
    this.listener = listener;
    this.show(options);
  }

  /**
   * Show another list in its place; what is still being computed for the one before is given up.
   * @param {ListOptions} [options]
   */
  show(options = this.#options) {
    this.#options = options;
    this.#turn += 1;
    void this.#open();
  }

  /**
   * Return the rows from `from` on, in order, as SQLite stores them; null stands for one that went away meanwhile.
   * @param {number} from
   * @param {number} count
   * @returns {Promise<(Record<string, any> | null)[]>}
   */
  async rows(from, count) {
    const turn = this.#turn;
    try {
      return await this.#call('listRows', this.id, turn, from, count);
    } catch (error) {
      // Another tab leads now, or the list made room for others: its news will come again.
      if (MoatError.from(error).code === 'unknown_list' && turn === this.#turn && !this.#closed) void this.#open();
      throw error;
    }
  }

  close() {
    this.#closed = true;
    void this.#call('listClose', this.id).catch(() => {});
  }

  async #open() {
    try {
      await this.#call('listOpen', this.id, this.#options, this.#turn);
    } catch (error) {
      const { code, message } = MoatError.from(error);
      if (!this.#closed) this.listener({ count: 0, complete: true, progress: null, top: true, error: { code, message } });
    }
  }

  /**
   * @param {import('./lists.js').ListMessage} message
   */
  onMessage({ turn, ...message }) {
    if (turn !== this.#turn || this.#closed) return;
    if (!('asked' in message)) {
      const { count, complete, progress, top, error } = message;
      this.listener({ count, complete, progress, top, ...(error ? { error } : {}) });
    } else if (message.asked === 'again') {
      void this.#open();
    } else {
      void this.rows(0, 0).catch(() => {});
    }
  }
}
