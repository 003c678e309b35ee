/** The long lists that are open in all tabs. */

import { MoatError } from './errors.js';
import { Listing } from './listing.js';
import { words } from './words.js';

/** @typedef {import('./replica.js').Replica} Replica */
/** @typedef {import('./listing.js').ListOptions} ListOptions */
/**
 * @typedef {import('./listing.js').ListUpdate & {type: 'list', list: string, turn: number}} ListReport
 * @typedef {{type: 'list', list: string, turn: number, asked: 'alive' | 'again'}} ListRequest what the owner must do:
 *   prove that it is alive by reading rows, or open the list again
 * @typedef {ListReport | ListRequest} ListMessage
 */

/**
 * A tab that died never closes its lists. Beyond this many, all owners must prove that they are alive, and the lists of
 * those that do not respond are closed.
 */
const MOST = 12;
const ANSWER_MS = 5000;

export class Lists {
  /** @type {Map<string, {listing: Listing, turn: number, asked: boolean}>} least recently used first */
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
   * Open a list, or replace the options of an open one; computing the previous one stops.
   * @param {string} list
   * @param {ListOptions} options
   * @param {number} turn included in every message about the list
   */
  open(list, options, turn) {
    this.close(list);
    if (this.#open.size >= MOST) this.#ask();
    this.#open.set(list, {
      turn,
      asked: false,
      listing: new Listing(this.replica, options, (update) => this.send({ type: 'list', list, turn, ...update })),
    });
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

  /**
   * Close the lists whose owners did not respond. A tab that was asleep gets the message when it wakes, and opens its
   * list again.
   */
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
   * Return the rows of a window. Throws `unknown_list` if the list must be opened again: another tab became leader, or
   * the list was closed to make room.
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

  /** Compute all lists again: the replica or its tables were replaced. */
  replaced() {
    for (const { listing } of this.#open.values()) listing.replaced();
  }

  stop() {
    clearTimeout(this.#asking);
    for (const list of [...this.#open.keys()]) this.close(list);
  }
}
