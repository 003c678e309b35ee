/**
 * Pure: the client side of `moat.v1` (docs/spec/protocol.md) as a state machine. `handle(event)` returns effects; the
 * caller performs them in order, each to its end, and reports back with events.
 *
 * Events: start · stop · wake · signed_in · open · close · frame · timer · ops · failed · confirmed · installed ·
 * download_failed · progress · verify · start_over
 *
 * Effects: connect · disconnect · send · timer · clear · welcomed · apply · upgrade · rows · adopt · install · repair ·
 * ack · settled · reset · verified · confirm
 *
 * `confirm` leads to `confirmed` if no step before it failed. A step that fails leads to `failed`, with the replica’s
 * actual state.
 */

import { backoff } from './backoff.js';
import { genesis } from './chain.js';
import { FINAL } from './connection.js';
import { Pushing } from './pushing.js';
import { Repairing } from './repairing.js';
import { Revisions } from './revisions.js';
import { words } from './words.js';

/** @typedef {import('./types.js').SyncState} SyncState */
/** @typedef {import('./types.js').Phase} Phase */
/** @typedef {import('./types.js').Envelope} Envelope */
/** @typedef {Record<string, any> & {on: string}} Event */
/** @typedef {Record<string, any> & {do: string}} Effect */
/** @typedef {import('./verify.js').Port & {pending: import('./pushing.js').Pending}} Port reads of the replica */

export const FULL_CHANNEL = 'full';

/** Errors that explain why the server closed the connection; a new connection resolves them at once. */
const RECONNECT = new Set(['access_changed']);

export class Engine extends Repairing {
  head = 0;
  /** @type {number | null} */
  progress = null;
  #failures = 0;
  /** @type {number | null} ref of a `subscribe` without a reply so far: frames belong to the previous stream */
  #subscribing = null;
  #catchUpFrom = 0;
  /** @type {{envelope: Envelope, lines: string[]}[]} frames that wait for a schema */
  #held = [];
  #revisions = new Revisions();
  #schemaRef = 0;
  /** What to do when the schema arrives: apply the held frames, subscribe again, or compare and repair. */
  /** @type {'apply' | 'subscribe' | 'repair'} */
  #upgradeFor = 'apply';
  /** The phase that an upgrade interrupted. */
  /** @type {Phase} */
  #interrupted = 'live';
  /** @type {{envelope: Envelope, frames: import('./replica.js').RowsFrame[], received: number} | null} */
  #rows = null;

  /**
   * @param {{
   *   state: SyncState, device: string | null, token: string | null, client: string, port: Port, random: () => number
   * }} options
   */
  constructor({ state, device, token, client, port, random }) {
    super(port, { state, device, token, client, random });
    this.pushing = new Pushing(port.pending);
  }

  /**
   * @param {Event} event
   * @param {number} now milliseconds on any steady clock
   * @returns {Effect[]}
   */
  handle(event, now) {
    this.now = now;
    const handler = this.#handlers[event.on];
    if (!handler) throw new Error(words.unknownEvent(event.on));
    try {
      handler(event);
    } catch (error) {
      // The frame violates the protocol. Dropping the connection also discards any half-done state.
      this.drain();
      this.problem = { code: 'malformed', message: String(error) };
      this.drop();
    }
    return this.drain();
  }

  /** @type {Record<string, (event: any) => void>} */
  #handlers = {
    start: () => this.start(),
    stop: () => this.stop(),
    wake: () => this.wake(),
    signed_in: ({ token, device }) => this.signedIn(token, device),
    open: () => this.hello(),
    close: ({ code, reason }) => this.closed(code, reason),
    frame: ({ envelope, lines }) => this.#frame(envelope, lines),
    timer: ({ name }) => this.timer(name),
    ops: () => this.#push(),
    failed: ({ code, message, state }) => this.#failed(code, message, state),
    installed: ({ state }) => this.#installed(state),
    download_failed: ({ code, message }) => this.#downloadFailed(code, message),
    confirmed: () => this.#confirmed(),
    progress: ({ share }) => { this.progress = share; },
    verify: () => this.verify(),
    start_over: () => this.#startOver(),
  };

  /**
   * The next connection brings held frames and pushed ops again.
   * @override
   */
  forget() {
    super.forget();
    this.#subscribing = null;
    this.#held = [];
    this.#revisions.clear();
    this.#schemaRef = 0;
    this.#rows = null;
    this.pushing.reset();
    this.out.push({ do: 'clear', name: 'push' });
  }

  /**
   * @override
   * @param {string} name
   */
  timer(name) {
    if (name !== 'push') return super.timer(name);
    this.pushing.resume();
    this.#push();
  }

  // Frames

  /**
   * @param {Envelope} envelope
   * @param {string[]} lines
   */
  #frame(envelope, lines) {
    if (!this.connected) return;
    this.lastReceived = this.now;
    const { verification } = this;
    if (verification?.owns(envelope) && (envelope.type === 'verify' || envelope.type === 'rows'))
      return this.verifying(verification, envelope, lines);
    switch (envelope.type) {
      case 'welcome': return this.#welcomed(envelope);
      case 'catch_up': return this.#catchUp(envelope);
      case 'changes': return this.#changes(envelope, lines);
      case 'live': return this.#live(envelope);
      case 'schema': return this.#schema(envelope);
      case 'rows': return this.#addRows(envelope, lines);
      case 'rows_end': return this.#endRows(envelope);
      case 'ack': return this.#acked(envelope);
      case 'settled': return void this.out.push({ do: 'settled', conflicts: [envelope] });
      case 'ping': return this.send({ type: 'pong', ref: envelope.ref, cursor: this.state.cursor });
      case 'error': return this.#error(envelope);
      case 'bye':
        this.retryAfter = envelope.retry_after ?? null;
        return this.drop();
      default: // pong, and messages of later servers
    }
  }

  /** @param {Envelope} envelope */
  #welcomed(envelope) {
    this.welcome = envelope;
    this.head = envelope.cursor;
    this.greeted();
    Object.assign(this.pushing.limits, envelope.limits);
    this.out.push({ do: 'welcomed', envelope });
    if (envelope.settled?.length) this.out.push({ do: 'settled', conflicts: envelope.settled });
    if (envelope.chain === 'epoch' || envelope.chain === 'ahead') return this.#restored(envelope.chain);
    const { tenant, channel, server_epoch } = envelope;
    if (this.state.tenant && this.state.tenant !== tenant)
      return this.giveUp('other_tenant', words.otherTenant(this.state.tenant, tenant));
    if (this.state.cursor === 0)
      this.adopt({
        tenant,
        channel,
        server_epoch,
        state_hash: genesis(server_epoch, tenant, channel === FULL_CHANNEL ? null : channel),
      });
    this.subscribe();
  }

  /** @param {string} chain */
  #restored(chain) {
    this.giveUp(chain, words.restored);
  }

  /**
   * Subscribe from the replica’s cursor. Revisions that have arrived count as known: they run where the log or the rows
   * reach them.
   * @override
   */
  subscribe() {
    const { schema_version, cursor, state_hash, channel } = this.state;
    this.#subscribing = this.nextRef();
    this.#held = [];
    this.#rows = null;
    this.#schemaRef = 0;
    this.enter('catching_up');
    this.send({
      type: 'subscribe',
      schema_version: this.#revisions.newest(schema_version),
      cursor,
      state_hash: state_hash || null,
      ...(channel ? { channel } : {}),
      ref: this.#subscribing,
    });
  }

  /** @param {Envelope} envelope */
  #catchUp(envelope) {
    // Without a ref the server restarts catch-up by itself: the log was pruned while this client was reading it.
    if (envelope.ref !== undefined && envelope.ref !== this.#subscribing) return;
    this.#subscribing = null;
    this.#catchUpFrom = this.state.cursor;
    this.progress = null;
    switch (envelope.mode) {
      case 'log':
        this.head = envelope.to;
        return this.enter('catching_up');
      case 'rows':
        this.head = envelope.to;
        if (envelope.schema_version > this.#revisions.newest(this.state.schema_version)) return this.#upgradeFirst();
        this.enter('catching_up');
        this.#rows = { envelope, frames: [], received: 0 };
        return undefined;
      case 'snapshot':
        this.enter('downloading');
        this.progress = 0;
        return void this.out.push({ do: 'install', manifest: envelope.manifest });
      case 'repair':
        return this.#repair();
      default:
        return this.drop();
    }
  }

  /**
   * @param {Envelope} envelope
   * @param {string[]} lines
   */
  #changes(envelope, lines) {
    if (this.#subscribing !== null || this.phase === 'downloading' || this.phase === 'repairing' || this.#rows) return;
    if (this.phase === 'upgrading') return void this.#held.push({ envelope, lines });
    const { from, to, state_hash, schema_version } = envelope;
    if (from !== this.state.cursor) return this.subscribe();
    const revisions = this.#revisions.between(this.state.schema_version, schema_version);
    if (!revisions) {
      this.#held.push({ envelope, lines });
      return this.#askSchema('apply');
    }
    this.out.push({ do: 'apply', frame: { schema_version, from, to, state_hash, lines, revisions } });
    Object.assign(this.state, {
      cursor: to,
      state_hash,
      schema_version: Math.max(schema_version, this.state.schema_version),
    });
    this.head = Math.max(this.head, to);
    if (this.phase === 'catching_up')
      this.progress = this.head > this.#catchUpFrom ? (to - this.#catchUpFrom) / (this.head - this.#catchUpFrom) : 1;
  }

  /** @param {Envelope} envelope */
  #live(envelope) {
    if (this.#subscribing !== null) return;
    if (this.phase === 'upgrading') return void this.#held.push({ envelope, lines: [] });
    if (envelope.cursor !== this.state.cursor) return this.subscribe();
    if (this.state.state_hash && envelope.state_hash !== this.state.state_hash) return this.#repair();
    this.progress = null;
    this.head = envelope.cursor;
    this.enter('live');
    this.out.push({ do: 'confirm' });
    this.#next();
  }

  /** Do what was waiting for the replica to be live. */
  #next() {
    this.#push();
    if (this.wantVerify && this.phase === 'live') this.beginVerification();
  }

  /** Note that the replica’s actual state matches this machine’s. */
  #confirmed() {
    this.#failures = 0;
    this.attempt = 0;
    this.problem = null;
  }

  // Schema

  /** @param {'apply' | 'subscribe' | 'repair'} purpose */
  #askSchema(purpose) {
    this.#upgradeFor = purpose;
    this.#interrupted = this.phase;
    this.enter(purpose === 'repair' ? 'repairing' : 'upgrading');
    this.#schemaRef = this.nextRef();
    this.send({ type: 'schema', from: this.state.schema_version, ref: this.#schemaRef });
  }

  #upgradeFirst() {
    this.#held = [];
    this.#askSchema('subscribe');
  }

  /** Start a repair. Rows use the server’s columns, so a repair needs the server’s schema first. */
  #repair() {
    this.#held = [];
    this.#askSchema('repair');
  }

  /** @param {Envelope} envelope */
  #schema(envelope) {
    if (envelope.ref !== this.#schemaRef) return;
    this.#revisions.add({ from: this.state.schema_version, to: envelope.to, revisions: envelope.revisions });
    this.#schemaRef = 0;
    if (this.#upgradeFor === 'subscribe') return this.subscribe();
    if (this.#upgradeFor === 'repair') return this.#upgradedForRepair(envelope.to);
    this.enter(this.#interrupted);
    const held = this.#held;
    this.#held = [];
    // The first held frame is the one that needed the schema.
    if (held[0].envelope.schema_version > this.#revisions.newest(this.state.schema_version)) return this.drop();
    for (const { envelope: frame, lines } of held) {
      if (frame.type === 'live') this.#live(frame);
      else this.#changes(frame, lines);
    }
    return this.#next();
  }

  /** @param {number} version */
  #upgradedForRepair(version) {
    const revisions = /** @type {import('./types.js').Revision[]} */ (
      this.#revisions.between(this.state.schema_version, version)
    );
    if (revisions.length) this.out.push({ do: 'upgrade', revisions });
    this.state.schema_version = Math.max(version, this.state.schema_version);
    this.beginVerification();
  }

  // Rows

  /**
   * @param {Envelope} envelope
   * @param {string[]} lines
   */
  #addRows({ table, columns, deleted }, lines) {
    if (!this.#rows) return;
    this.#rows.frames.push({ table, columns, deleted, lines });
    this.#rows.received += lines.length;
    this.progress = this.#rows.envelope.total ? Math.min(1, this.#rows.received / this.#rows.envelope.total) : null;
  }

  /** @param {Envelope} envelope */
  #endRows({ from, to, state_hash, schema_version }) {
    const rows = this.#rows;
    this.#rows = null;
    if (!rows) return;
    if (from !== this.state.cursor) return this.subscribe();
    const revisions = this.#revisions.between(this.state.schema_version, schema_version);
    if (!revisions) return this.#upgradeFirst();
    this.out.push({ do: 'rows', frames: rows.frames, end: { to, state_hash, revisions } });
    const reached = Math.max(schema_version, this.state.schema_version);
    Object.assign(this.state, { cursor: to, state_hash, schema_version: reached });
  }

  // Snapshot

  /** @param {SyncState} state */
  #installed(state) {
    this.state = { ...state };
    this.progress = null;
    if (this.ready) this.subscribe();
    else if (this.phase === 'downloading') this.enter('offline');
  }

  /**
   * @param {string} code
   * @param {string} message
   */
  #downloadFailed(code, message) {
    if (this.phase !== 'downloading') return;
    if (code === 'snapshot_gone' && this.connected && this.#failures++ < 3) return this.subscribe();
    this.problem = { code, message };
    this.enter('offline');
    this.drop();
  }

  #startOver() {
    this.disconnect();
    this.problem = null;
    this.out.push({ do: 'reset' });
    this.state = { tenant: '', channel: '', cursor: 0, state_hash: '', schema_version: 0, server_epoch: '' };
    this.start();
  }

  // Push

  #push() {
    // Push only after catching up: by then the replica knows which of its ops the server has accepted, even under an
    // earlier device.
    if (this.phase !== 'live') return;
    const ref = this.nextRef();
    const ops = this.pushing.next(ref);
    if (!ops) return;
    const { schema_version, cursor, state_hash } = this.state;
    this.out.push({
      do: 'send',
      envelope: { type: 'push', schema_version, cursor, state_hash: state_hash || null, ref },
      lines: ops,
    });
  }

  /** @param {Envelope} envelope */
  #acked(envelope) {
    if (envelope.ref !== this.pushing.inFlight?.ref) return;
    this.#pushed(this.pushing.acknowledged(envelope.results), null);
  }

  /**
   * @param {{results: import('./types.js').OpResult[], wait: boolean}} outcome
   * @param {number | null} retryAfter
   */
  #pushed({ results, wait }, retryAfter) {
    if (results.length) this.out.push({ do: 'ack', results });
    if (wait) this.out.push({ do: 'timer', name: 'push', ms: backoff(this.pushing.failures, this.random, retryAfter) });
    // Until the replica has processed the `ack`, these ops still look pending there; the caller sends `ops` afterwards.
    else if (!results.length) this.#push();
  }

  // Trouble

  /** @param {Envelope} envelope */
  #error({ code, message, ref, retry_after: retryAfter = null }) {
    if (code === 'ahead' || code === 'epoch') return this.#restored(code);
    if (FINAL[code] && !(code === 'forbidden' && this.ready)) return this.giveUp(code, message);
    if (ref !== undefined && ref === this.pushing.inFlight?.ref)
      return this.#pushed(this.pushing.rejected(code, message), retryAfter);
    if (this.verification?.owns({ ref })) return this.endVerification({ code, message });
    if (code === 'schema_behind') return this.#upgradeFirst();
    if (code === 'snapshot_gone') return this.subscribe();
    this.retryAfter = retryAfter;
    if (!RECONNECT.has(code)) this.problem = { code, message };
    // In every other case a new connection requests exactly what the replica lacks.
    return this.drop();
  }

  /**
   * Handle a failed step; `state` is the replica’s actual state.
   * @param {string} code
   * @param {string} message
   * @param {SyncState} state
   */
  #failed(code, message, state) {
    this.state = { ...state };
    if (this.verification) this.verified(this.verification, { code, message });
    if (!this.connected || this.#subscribing !== null) return;
    this.#failures++;
    if (this.#failures === 1) return this.subscribe();
    this.problem = { code, message };
    if (this.#failures === 2) return this.#repair();
    return this.drop();
  }
}
