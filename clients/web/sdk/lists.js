/** The long lists that applications have open, in whichever tab. */

import { MoatError } from './errors.js';
import { Listing } from './listing.js';

/** @typedef {import('./replica.js').Replica} Replica */
/** @typedef {import('./listing.js').ListOptions} ListOptions */
/** @typedef {import('./listing.js').ListNews & {type: 'list', list: string, turn: number}} ListMessage */

/** A tab that died never closes its lists: the one used least recently makes room. Its owner opens it again if it lives. */
const MOST = 12;

export class Lists {
  /** @type {Map<string, {listing: Listing, turn: number}>} the one used last stands last */
  #open = new Map();

  /**
   * @param {() => Replica} replica
   * @param {(message: ListMessage) => void} tell
   */
  constructor(replica, tell) {
    this.replica = replica;
    this.tell = tell;
  }

  /**
   * Open a list, or give an open one other options: what was being computed for it is given up.
   * @param {string} list
   * @param {ListOptions} options
   * @param {number} turn comes with what is told
   */
  open(list, options, turn) {
    this.close(list);
    if (this.#open.size >= MOST) this.close(String(this.#open.keys().next().value));
    this.#open.set(list, { turn, listing: new Listing(this.replica, options, (news) => this.tell({ type: 'list', list, turn, ...news })) });
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
    if (!open || open.turn !== turn) throw new MoatError('unknown_list', 'The list is not open here.');
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
    for (const list of [...this.#open.keys()]) this.close(list);
  }
}
