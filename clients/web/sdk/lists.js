/** The long lists that applications have open, in whichever tab. */

import { MoatError } from './errors.js';
import { Listing } from './listing.js';
import { words } from './words.js';

/** @typedef {import('./replica.js').Replica} Replica */
/** @typedef {import('./listing.js').ListOptions} ListOptions */
/**
 * @typedef {import('./listing.js').ListUpdate & {type: 'list', list: string, turn: number}} ListReport
 * @typedef {{type: 'list', list: string, turn: number, asked: 'alive' | 'again'}} ListRequest what its owner is to do: say that it lives, by asking for
 *   rows, or open the list again
 * @typedef {ListReport | ListRequest} ListMessage
 */

/** A tab that died never closes its lists. Beyond so many, the owners of all are asked whether they live, and those that do not answer make room. */
const MOST = 12;
const ANSWER_MS = 5000;

export class Lists {
  /** @type {Map<string, {listing: Listing, turn: number, asked: boolean}>} the one used last stands last */
  #open = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #asking = undefined;

  /**
   * @param {() => Replica} replica
   * @param {(message: ListMessage) => void} send
   */
  constructor(replica, send) {
    this.replica = replica;
    this.send = send;
  }

  /**
   * Open a list, or give an open one other options: what was being computed for it is given up.
   * @param {string} list
   * @param {ListOptions} options
   * @param {number} turn comes with what is told
   */
  open(list, options, turn) {
    this.close(list);
    if (this.#open.size >= MOST) this.#ask();
    this.#open.set(list, { turn, asked: false, listing: new Listing(this.replica, options, (update) => this.send({ type: 'list', list, turn, ...update })) });
  }

  #ask() {
    if (this.#asking !== undefined) return;
    this.#asking = setTimeout(() => this.#makeRoom(), ANSWER_MS);
    /** @type {any} */ (this.#asking).unref?.();
    for (const [list, open] of [...this.#open]) {
      open.asked = true;
      this.send({ type: 'list', list, turn: open.turn, asked: 'alive' });
    }
  }

  /** A tab that only slept hears of it when it wakes, and opens its list again. */
  #makeRoom() {
    this.#asking = undefined;
    for (const [list, { asked, turn }] of [...this.#open]) {
      if (this.#open.size <= MOST) break;
      if (!asked) continue;
      this.close(list);
      this.send({ type: 'list', list, turn, asked: 'again' });
    }
  }

  /**
   * Return the rows of a window. Throws `unknown_list` when it has to be opened again: another tab leads now, or it made room.
   * @param {string} list
   * @param {number} turn
   * @param {number} from
   * @param {number} count
   */
  rows(list, turn, from, count) {
    const open = this.#open.get(list);
    if (!open || open.turn !== turn) throw new MoatError('unknown_list', words.listNotOpen);
    open.asked = false;
    this.#open.delete(list);
    this.#open.set(list, open);
    return open.listing.rows(from, count);
  }

  /** @param {string} list */
  close(list) {
    this.#open.get(list)?.listing.stop();
    this.#open.delete(list);
  }

  /**
   * @param {Map<string, Set<string>>} tables and the ids that changed in them
   */
  changed(tables) {
    for (const { listing } of this.#open.values()) listing.changed(tables);
  }

  /** The replica was replaced, or its tables were. */
  replaced() {
    for (const { listing } of this.#open.values()) listing.replaced();
  }

  stop() {
    clearTimeout(this.#asking);
    for (const list of [...this.#open.keys()]) this.close(list);
  }
}
