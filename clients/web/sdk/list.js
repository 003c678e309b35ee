/** A long list as an application holds it: its length, and any window of its rows. Created by `Moat.list`. */

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
   * Show another list instead; computing the previous one stops.
   * @param {ListOptions} [options]
   */
  show(options = this.#options) {
    this.#options = options;
    this.#turn += 1;
    void this.#open();
  }

  /**
   * Return `count` rows starting at `from`, as SQLite stores them. Null stands for a row deleted meanwhile.
   * @param {number} from
   * @param {number} count
   * @returns {Promise<(Record<string, any> | null)[]>}
   */
  async rows(from, count) {
    const turn = this.#turn;
    try {
      return await this.#call('listRows', this.id, turn, from, count);
    } catch (error) {
      // Another tab became leader, or the list was closed to make room: opening it again sends a new update.
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
      if (!this.#closed)
        this.listener({ count: 0, complete: true, progress: null, top: true, error: { code, message } });
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
