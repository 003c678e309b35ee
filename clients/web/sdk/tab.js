/**
 * One tab’s access to the replica.
 *
 * All tabs of a replica name request one Web Lock. Its holder is the leader; the others send it requests over a
 * BroadcastChannel. When it closes, another tab becomes leader and open requests are sent again. Each request has an
 * ID, so that a write that was carried out before its reply was lost is not repeated.
 */

import { MoatError } from './errors.js';

/** @typedef {import('./leader.js').Leader} Leader */
/** @typedef {import('./leader.js').LeaderMessage} LeaderMessage */
/**
 * @typedef {{
 *   method: string, args: any[], resolve: (value: any) => void, reject: (error: MoatError) => void
 * }} OpenRequest a request without a reply so far
 */
/**
 * @typedef {{
 *   name: string,
 *   lead: (emit: (message: LeaderMessage) => void) => Promise<Leader>,
 *   notify: (message: LeaderMessage) => void,
 *   failed: (error: MoatError) => void
 * }} TabOptions `lead` opens the replica; it is called when this tab becomes the leader
 */

export class Tab {
  #id = crypto.randomUUID();
  #number = 0;
  /** @type {Map<string, OpenRequest>} */
  #open = new Map();
  /** @type {Leader | null} */
  leader = null;
  #channel;
  #release = () => {};
  #closed = false;

  /** @param {TabOptions} options */
  constructor(options) {
    this.options = options;
    this.#channel = new BroadcastChannel(`moat:${options.name}`);
    this.#channel.onmessage = ({ data }) => void this.#onMessage(data);
    navigator.locks.request(`moat:${options.name}`, () => this.#lead()).catch((error) => this.#fail(error));
  }

  /**
   * Send a request to the leader, in this tab or another.
   * @param {string} method
   * @param {any[]} args
   * @returns {Promise<any>}
   */
  call(method, args) {
    const request = `${this.#id}:${++this.#number}`;
    return new Promise((resolve, reject) => {
      const open = { method, args, resolve, reject };
      this.#open.set(request, open);
      if (this.leader) void this.#own(request, open);
      else this.#channel.postMessage({ type: 'request', from: this.#id, request, method, args });
    });
  }

  /** Close; a leader releases the replica first. */
  async close() {
    this.#closed = true;
    const leader = this.leader;
    this.leader = null;
    await leader?.close();
    this.#release();
    this.#channel.close();
  }

  /** Runs while this tab holds the lock. */
  async #lead() {
    if (this.#closed) return;
    const leader = await this.options.lead((message) => {
      this.options.notify(message);
      this.#channel.postMessage(message);
    });
    this.leader = leader;
    const released = new Promise((resolve) => { this.#release = () => resolve(undefined); });
    this.#channel.postMessage({ type: 'leader' });
    this.options.notify({ type: 'leader' });
    for (const [request, open] of this.#open) void this.#own(request, open);
    await released;
  }

  /**
   * @param {string} request
   * @param {OpenRequest} open
   */
  async #own(request, open) {
    const answer = await answerOf(/** @type {Leader} */ (this.leader), open.method, open.args, request);
    this.#answered(request, answer);
  }

  /** @param {any} message */
  async #onMessage(message) {
    if (message.type === 'request' && this.leader) {
      const answer = await answerOf(this.leader, message.method, message.args, message.request);
      if (!this.#closed)
        this.#channel.postMessage({ type: 'answer', to: message.from, request: message.request, answer });
    } else if (message.type === 'answer' && message.to === this.#id) {
      this.#answered(message.request, message.answer);
    } else if (message.type === 'leader') {
      this.options.notify({ type: 'leader' });
      for (const [request, { method, args }] of this.#open)
        this.#channel.postMessage({ type: 'request', from: this.#id, request, method, args });
    } else if (message.type === 'changed' || message.type === 'list') {
      this.options.notify(message);
    } else if (message.type === 'status') {
      this.options.notify({ type: 'status', status: { ...message.status, leader: false } });
    }
  }

  /**
   * @param {string} request
   * @param {{value?: any, error?: any}} answer
   */
  #answered(request, { value, error }) {
    const open = this.#open.get(request);
    if (!open) return;
    this.#open.delete(request);
    if (error) open.reject(new MoatError(error.code, error.message, error));
    else open.resolve(open.method === 'status' && !this.leader ? { ...value, leader: false } : value);
  }

  /** @param {unknown} error */
  #fail(error) {
    const reason = MoatError.from(error);
    for (const { reject } of this.#open.values()) reject(reason);
    this.#open.clear();
    this.options.failed(reason);
  }
}

/**
 * @param {Leader} leader
 * @param {string} method
 * @param {any[]} args
 * @param {string} request
 */
async function answerOf(leader, method, args, request) {
  try {
    return { value: await leader.call(method, args, request) };
  } catch (error) {
    return { error: MoatError.from(error).toJSON() };
  }
}
