/**
 * Pure: the life cycle of the connection: connect, hello, heartbeat, give up, retry. `Engine` adds what is sent on it.
 */

import { backoff } from './backoff.js';
import { words } from './words.js';

/** @typedef {import('./types.js').SyncState} SyncState */
/** @typedef {import('./types.js').Phase} Phase */
/** @typedef {Record<string, any> & {on: string}} Event */
/** @typedef {Record<string, any> & {do: string}} Effect */

export const PROTOCOL = 'moat.v1';
const HEARTBEAT_MS = 20_000;
const SILENCE_MS = 45_000;
const ANSWER_MS = 20_000;
/** How long a connection has, after the device woke up, to prove that it is alive. */
const WAKE_MS = 4_000;

/** Errors after which an automatic retry is pointless, and the phase each leads to. */
/** @type {Record<string, Phase>} */
export const FINAL = {
  bad_token: 'signed_out',
  revoked: 'signed_out',
  forbidden: 'signed_out',
  protocol: 'halted',
  insecure: 'halted',
  replaced: 'halted',
  ahead: 'halted',
  epoch: 'halted',
};

/** The error each close code stands for, in case the `error` frame before it was lost. */
/** @type {Record<number, [string, string]>} */
const CLOSED = {
  4401: ['bad_token', words.unknownDevice], 4403: ['forbidden', words.noAccess],
  4409: ['replaced', words.replaced], 4426: ['protocol', words.oldVersion],
  4427: ['insecure', words.insecure],
};

export class Connection {
  /** @type {Phase} */
  phase = 'closed';
  /** @type {{code: string, message: string} | null} */
  problem = null;
  /** @type {number | null} time of the next attempt, on the clock of `now` */
  retryAt = null;
  connected = false;
  /** `welcome` arrived on this connection. */
  ready = false;
  /** @type {Effect[]} effects to perform */
  out = [];
  /** The `ref` of the last request. */
  #ref = 0;
  /** Attempts since the replica was last live. */
  attempt = 0;
  /** @type {number | null} seconds the server requested to wait */
  retryAfter = null;
  now = 0;
  lastReceived = 0;
  /** When the current attempt started. */
  #begun = 0;
  /** @type {number | null} when `wake` sent a ping to check the connection */
  #asked = null;

  /**
   * @param {{
   *   state: SyncState, device: string | null, token: string | null, client: string, random: () => number
   * }} options
   */
  constructor({ state, device, token, client, random }) {
    this.state = { ...state };
    this.device = device;
    this.token = token;
    this.client = client;
    this.random = random;
  }

  start() {
    if (!this.token) this.enter('signed_out');
    else this.connect();
  }

  stop() {
    if (this.connected) this.send({ type: 'bye', reason: 'closed' });
    this.disconnect();
    this.enter('closed');
    this.out.push({ do: 'clear', name: 'retry' });
  }

  /**
   * @param {string | null} token
   * @param {string | null} device
   */
  signedIn(token, device) {
    this.token = token;
    this.device = device;
    this.problem = null;
    this.attempt = 0;
    this.disconnect();
    this.start();
  }

  connect() {
    this.enter('connecting');
    this.retryAt = null;
    this.retryAfter = null;
    this.#begun = this.now;
    this.out.push({ do: 'clear', name: 'retry' }, { do: 'connect' }, { do: 'timer', name: 'answer', ms: ANSWER_MS });
  }

  hello() {
    const { schema_version, cursor, state_hash, server_epoch, channel } = this.state;
    this.connected = true;
    this.lastReceived = this.now;
    this.send({
      type: 'hello',
      protocol: PROTOCOL,
      token: this.token,
      device: this.device,
      schema_version,
      cursor,
      state_hash: state_hash || null,
      ...(server_epoch ? { server_epoch } : {}),
      ...(channel ? { channel } : {}),
      client: this.client,
    });
  }

  /**
   * Handle a closed socket: schedule a retry unless it is pointless.
   * @param {number} [code]
   * @param {string} [reason]
   */
  closed(code, reason) {
    this.forget();
    if (this.phase === 'closed' || this.phase === 'signed_out' || this.phase === 'halted') return;
    const final = CLOSED[code ?? 0];
    if (final) return this.giveUp(final[0], reason || final[1]);
    if (this.phase !== 'downloading') this.enter('offline');
    const ms = backoff(this.attempt++, this.random, this.retryAfter);
    this.retryAt = this.now + ms;
    this.out.push({ do: 'timer', name: 'retry', ms });
  }

  /** Drop all state that belongs to the current connection. */
  forget() {
    this.connected = this.ready = false;
    this.#asked = null;
    this.out.push({ do: 'clear', name: 'heartbeat' }, { do: 'clear', name: 'answer' }, { do: 'clear', name: 'wake' });
  }

  disconnect() {
    this.forget();
    this.out.push({ do: 'disconnect' });
  }

  /**
   * @param {string} code
   * @param {string} message
   */
  giveUp(code, message) {
    this.problem = { code, message };
    this.disconnect();
    this.enter(FINAL[code] ?? 'halted');
  }

  /** @param {string} name */
  timer(name) {
    if (name === 'retry' && (this.phase === 'offline' || this.phase === 'downloading')) this.connect();
    else if (name === 'answer') this.drop();
    else if (name === 'wake') this.#outlived();
    else if (name === 'heartbeat' && this.connected) this.#heartbeat();
  }

  /**
   * Handle a wake-up: the device slept, its network changed, or the page is visible again. Pending retries run now. A
   * socket that has been silent for too long is replaced without a check; any other must respond soon.
   */
  wake() {
    this.attempt = 0;
    const waits = !this.connected && (this.phase === 'offline' || this.phase === 'downloading');
    if (waits || (this.phase === 'halted' && this.problem?.code === 'replaced')) return this.connect();
    if (this.phase === 'connecting' && this.now - this.#begun >= WAKE_MS) return this.#again();
    if (!this.ready || this.#asked !== null) return undefined;
    if (this.now - this.lastReceived > SILENCE_MS) return this.#again();
    this.#asked = this.now;
    this.send({ type: 'ping', ref: this.nextRef() });
    return void this.out.push({ do: 'timer', name: 'wake', ms: WAKE_MS });
  }

  #outlived() {
    const asked = this.#asked;
    this.#asked = null;
    if (asked !== null && this.lastReceived < asked) this.#again();
  }

  /** Replace the connection at once. */
  #again() {
    this.disconnect();
    this.connect();
  }

  /** Ping after a period of silence; a socket that stays silent is dead, whatever state it reports. */
  #heartbeat() {
    const silence = this.now - this.lastReceived;
    if (silence > SILENCE_MS) return this.drop();
    if (silence >= HEARTBEAT_MS / 2) this.send({ type: 'ping', ref: this.nextRef() });
    this.out.push({ do: 'timer', name: 'heartbeat', ms: HEARTBEAT_MS });
  }

  /** Mark the connection as established: `welcome` arrived. */
  greeted() {
    this.ready = true;
    this.out.push({ do: 'clear', name: 'answer' }, { do: 'timer', name: 'heartbeat', ms: HEARTBEAT_MS });
  }

  /** Close a useless socket and continue as if it had closed. */
  drop() {
    this.out.push({ do: 'disconnect' });
    this.closed();
  }

  nextRef() {
    return ++this.#ref;
  }

  /** Return the pending effects and clear them. */
  drain() {
    return this.out.splice(0);
  }

  /** @param {Record<string, any>} envelope */
  send(envelope) {
    this.out.push({ do: 'send', envelope, lines: [] });
  }

  /** @param {Phase} phase */
  enter(phase) {
    this.phase = phase;
  }
}
