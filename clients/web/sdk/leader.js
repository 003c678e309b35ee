/**
 * The leader: the one tab per browser and replica name that owns the replica and the socket (see `worker.js`). It
 * performs the engine’s effects, serves the calls of all tabs, and notifies them of changes.
 */

import { requestHistory } from './account.js';
import { Engine } from './engine.js';
import { MoatError } from './errors.js';
import { fetchSnapshot, moveLocal, openNewest } from './installing.js';
import { Lists } from './lists.js';
import * as reading from './reading.js';
import { SigningIn } from './signing-in.js';
import { Socket } from './socket.js';
import { diagnosticsOf, statusOf } from './status.js';
import { Writing } from './writing.js';
import { Timers } from './timers.js';
import { words } from './words.js';

/** @typedef {import('./types.js').Status} Status */
/** @typedef {import('./engine.js').Event} Event */
/** @typedef {import('./engine.js').Effect} Effect */
/** @typedef {import('./replica.js').Replica} Replica */
/** @typedef {import('./overlays.js').Touched} Touched */
/** @typedef {Record<string, string[] | null>} Changed tables and ids that changed; null: many */
/**
 * @typedef {{type: 'changed', tables: Changed} | {type: 'status', status: Status}} DataMessage
 * @typedef {DataMessage | import('./lists.js').ListMessage | {type: 'leader'}} LeaderMessage
 */
/**
 * @typedef {{
 *   server: string, client: string, storage: import('./storage/types.js').Storage,
 *   parts: import('./storage/parts.js').PartStore,
 *   emit: (message: LeaderMessage) => void, WebSocket?: typeof WebSocket, fetch?: typeof fetch, now?: () => Date
 * }} LeaderOptions
 */

const STATUS_MS = 30;
const MANY = 500;
const KEPT_ANSWERS = 100;
const JOURNAL = 100;

export class Leader {
  /** @type {Replica} */
  replica;
  /** @type {Engine} */
  engine;
  #file = '';
  /** @type {Event[]} */
  #events = [];
  #pumping = false;
  #failed = false;
  #timers = new Timers((name) => this.event({ on: 'timer', name }));
  /** @type {{snapshot: string, abort: AbortController} | null} */
  #download = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #statusTimer = null;
  #lastStatus = '';
  /** @type {((result: any) => void)[]} */
  #verifying = [];
  /** @type {string | null} */
  #storageProblem = null;
  #closed = false;
  /** @type {Record<string, number> | null} milliseconds the last snapshot took */
  #installTook = null;
  /** @type {string[]} recent events, for `diagnostics` */
  #journal = [];
  /** @type {Set<number>} ops sent without a reply so far: the server may have accepted them */
  #unanswered;
  #account = new SigningIn(this);

  /**
   * Open the newest replica and start to sync.
   * @param {LeaderOptions} options
   * @returns {Promise<Leader>}
   */
  static async open(options) {
    const { replica, file } = await openNewest(options.storage);
    await options.storage.flush();
    return new Leader(options, replica, file);
  }

  /**
   * @param {LeaderOptions} options
   * @param {Replica} replica
   * @param {string} file
   */
  constructor(options, replica, file) {
    this.options = options;
    this.replica = replica;
    this.#file = file;
    this.#unanswered = new Set(replica.local('unanswered') ?? []);
    this.lists = new Lists(
      () => this.replica,
      (message) => options.emit(message),
    );
    this.engine = new Engine({
      state: replica.state,
      device: replica.local('device'),
      token: replica.local('token'),
      client: options.client,
      port: this.#port(),
      random: Math.random,
    });
    this.socket = new Socket((event) => this.event(event), options.WebSocket);
    this.event({ on: 'start' });
  }

  /** The origin of the server: the one given to `open`, or else the one of the last sign-in. */
  get server() {
    return this.options.server || (this.replica.local('server') ?? '');
  }

  /**
   * Handle a call of an application. Writes are durable when this returns.
   * @param {string} method
   * @param {any[]} args
   * @param {string | null} [request] id of a request that may arrive twice: the second gets the first one’s result
   * @returns {Promise<any>}
   */
  async call(method, args, request = null) {
    const known = request && this.replica.local('answers')?.find((/** @type {any[]} */ [id]) => id === request);
    if (known) return known[1];
    const handler = this.#methods[method];
    if (!handler) throw new MoatError('unknown_method', words.unknownMethod(method));
    return handler(...args, request);
  }

  /**
   * Queue an event for the engine.
   * @param {Event} event
   */
  event(event) {
    this.#events.push(event);
    if (!this.#pumping) void this.#pump();
  }

  /** Close the connection and release the replica and its storage. */
  async close() {
    this.event({ on: 'stop' });
    this.#closed = true;
    this.#download?.abort.abort();
    this.lists.stop();
    this.#timers.clearAll();
    if (this.#statusTimer) clearTimeout(this.#statusTimer);
    await this.options.storage.flush().catch(() => {});
    this.replica.sql.close();
    // Close even if the flush failed, or no other tab can become leader.
    await this.options.storage.close().catch(() => {});
  }

  /** @returns {import('./engine.js').Port} */
  #port() {
    return {
      digest: (table, range) => this.replica.digest(table, range),
      cuts: (table, range, pieces) => this.replica.cuts(table, range, pieces),
      tables: () => [...this.replica.schema.tables.keys()],
      pending: (maxOps, maxBytes) => reading.pendingOps(this.replica, maxOps, maxBytes),
    };
  }

  // Requests

  /** @type {Record<string, (...args: any[]) => any>} */
  #methods = {
    query: (sql, params) => reading.query(this.replica, sql, params),
    find: (options) => reading.find(this.replica, options),
    get: (table, id) => reading.get(this.replica, table, id),
    listOpen: (list, options, turn) => this.lists.open(list, options, turn),
    listRows: (list, turn, from, count) => this.lists.rows(list, turn, from, count),
    listClose: (list) => this.lists.close(list),
    objects: () => reading.objects(this.replica),
    layouts: (objectName) => reading.layouts(this.replica, objectName),
    states: (table) => reading.states(this.replica, table),
    conflicts: () => reading.conflicts(this.replica),
    overlays: (state) => this.replica.overlays.list(state ? '"state" = ?' : '1', state ? [state] : []),
    write: (edits, tx, request) =>
      this.#write(
        (writing) => writing.write(edits, tx),
        request,
        (opIds) => this.#withdraw(new Set(opIds), request),
      ),
    resolve: (opId, choice, values, tx, request) =>
      this.#write((writing) => writing.resolve(opId, choice, values, tx), request),
    discard: (opId, request) => this.#write((writing) => writing.discard(opId, this.#unanswered), request),
    retry: (opId, values, request) => this.#write((writing) => writing.retry(opId, values), request),
    history: (table, id, page) =>
      requestHistory(this.server, this.replica.local('token'), { ...page, table, id }, this.options.fetch),
    status: () => this.status(),
    login: (credentials) => this.#account.login(credentials),
    logout: (options) => this.#account.logout(options),
    startOver: () => this.event({ on: 'start_over' }),
    wake: () => this.event({ on: 'wake' }),
    verify: () => this.#verify(),
    diagnostics: () =>
      diagnosticsOf(this.#reported(), { file: this.#file, install: this.#installTook, journal: [...this.#journal] }),
  };

  /**
   * @template T
   * @param {(writing: Writing) => T} work
   * @param {string | null} request
   * @param {(result: T) => void} [undo] reverts the write if it cannot be made durable: the caller will repeat it
   * @returns {Promise<T>}
   */
  async #write(work, request, undo) {
    /** @type {any} */
    let result;
    const touched = this.replica.change((touched_) => {
      result = work(new Writing(this.replica, touched_, this.options.now ?? (() => new Date())));
      if (request)
        this.replica.setLocal(
          'answers',
          [...(this.replica.local('answers') ?? []), [request, result]].slice(-KEPT_ANSWERS),
        );
    });
    this.#changed(touched);
    try {
      await this.flush();
    } catch (error) {
      undo?.(result);
      throw error;
    }
    // Only now: the server must never know an op that a crash could make this browser forget.
    this.event({ on: 'ops' });
    return result;
  }

  /**
   * Remove edits that could not be stored.
   * @param {Set<number | null>} opIds
   * @param {string | null} request
   */
  #withdraw(opIds, request) {
    this.#changed(
      this.replica.change((touched) => {
        for (const { op_id: opId, table, id } of this.replica.overlays
          .list()
          .filter((overlay) => opIds.has(overlay.op_id))) {
          this.replica.overlays.remove(opId);
          touched.add(table, id);
        }
        this.replica.setLocal(
          'answers',
          (this.replica.local('answers') ?? []).filter((/** @type {any[]} */ [id]) => id !== request),
        );
      }),
    );
  }

  /** Make everything committed durable; the status shows a failure. */
  async flush() {
    try {
      await this.options.storage.flush();
      this.#storageProblem = null;
    } catch (error) {
      this.#storageProblem = MoatError.from(error).message;
      throw error;
    } finally {
      this.#showStatus();
    }
  }

  /**
   * Store the ops the server may have, so that a restart knows them: after a lost connection this holds until the next
   * reply.
   */
  #keepUnanswered() {
    const kept = [...this.#unanswered];
    if (kept.length || this.replica.local('unanswered')) this.replica.setLocal('unanswered', kept.length ? kept : null);
  }

  /** Empty the replica. Pending edits stay. */
  reset() {
    // A download in progress belongs to the previous state.
    this.#download?.abort.abort();
    this.#download = null;
    const gone = [...this.replica.schema.tables.keys()];
    this.replica.reset();
    this.#changedAll(gone);
  }

  /** @returns {Promise<any>} */
  #verify() {
    return new Promise((resolve) => {
      this.#verifying.push(resolve);
      this.event({ on: 'verify' });
    });
  }

  // Messages to the tabs

  /** @returns {Status} */
  status() {
    return statusOf(this.#reported());
  }

  /** @returns {import('./status.js').Reported} */
  #reported() {
    const { engine, replica, options, server } = this;
    return { engine, replica, options, server, storageProblem: this.#storageProblem };
  }

  #showStatus() {
    this.#statusTimer ??= setTimeout(() => {
      this.#statusTimer = null;
      if (this.#closed) return;
      const status = this.status();
      const text = JSON.stringify(status);
      if (text === this.#lastStatus) return;
      this.#lastStatus = text;
      this.options.emit({ type: 'status', status });
    }, STATUS_MS);
  }

  /** @param {Touched} touched */
  #changed(touched) {
    if (!touched.tables.size) return;
    if (touched.rebuilt) this.lists.replaced();
    else this.lists.changed(touched.tables);
    /** @type {Changed} */
    const tables = {};
    for (const [table, ids] of touched.tables) tables[table] = ids.size > MANY ? null : [...ids];
    this.options.emit({ type: 'changed', tables: { ...tables, overlays: null } });
    this.#showStatus();
  }

  /** @param {Iterable<string>} [gone] tables that existed until now */
  #changedAll(gone = []) {
    this.lists.replaced();
    this.options.emit({
      type: 'changed',
      tables: Object.fromEntries(
        [...gone, ...this.replica.schema.tables.keys(), 'overlays', 'sync_state'].map((name) => [name, null]),
      ),
    });
    this.#showStatus();
  }

  // The engine

  async #pump() {
    this.#pumping = true;
    for (let event = this.#events.shift(); event && !this.#closed; event = this.#events.shift()) {
      this.#note(event);
      if (event.on === 'close') this.#keepUnanswered();
      for (const effect of this.engine.handle(event, Date.now())) await this.#perform(effect);
      this.#showStatus();
    }
    this.#pumping = false;
  }

  /** @param {Event} event */
  #note({ on, envelope = {}, ...rest }) {
    const { type, mode, schema_version, from, to, cursor, code, ref } = envelope;
    const about = JSON.stringify({
      type,
      mode,
      schema_version,
      from,
      to,
      cursor,
      ref,
      code: code ?? rest.code,
      message: rest.message,
      name: rest.name,
    });
    this.#journal.push(`${new Date().toISOString()} ${this.engine.phase} ${on} ${about}`);
    if (this.#journal.length > JOURNAL) this.#journal.shift();
  }

  /** @param {Effect} effect */
  async #perform(effect) {
    const step = this.#effects[effect.do];
    if (!step) throw new Error(words.unknownEffect(effect.do));
    try {
      await step(effect);
    } catch (error) {
      const { code, message } = MoatError.from(error);
      this.#failed = true;
      this.#events.unshift({ on: 'failed', code, message, state: { ...this.replica.state } });
    }
  }

  /** @type {Record<string, (effect: any) => void | Promise<void>>} */
  #effects = {
    connect: () => this.socket.connect(`${this.server.replace(/^http/, 'ws')}/ws/sync`),
    disconnect: () => {
      this.#keepUnanswered();
      this.socket.disconnect();
    },
    send: ({ envelope, lines }) => this.#send(envelope, lines),
    timer: ({ name, ms }) => this.#timers.set(name, ms),
    clear: ({ name }) => this.#timers.clear(name),
    welcomed: ({ envelope: { profile = null, access = null } }) => {
      this.replica.setLocal('profile', profile);
      this.replica.setLocal('access', access);
    },
    apply: ({ frame }) => this.#changed(this.replica.applyChanges(frame)),
    upgrade: ({ revisions }) => this.#changed(this.replica.upgrade(revisions)),
    rows: ({ frames, end }) => this.#changed(this.replica.applyRows(frames, end)),
    repair: ({ frames }) => this.#changed(this.replica.repair(frames)),
    adopt: ({ state, replayUntil }) => this.replica.adopt(state, replayUntil),
    reset: () => this.reset(),
    ack: ({ results }) => {
      for (const { op_id: opId } of results) this.#unanswered.delete(opId);
      if (this.replica.local('unanswered')) this.#keepUnanswered();
      this.#changed(
        this.replica.change((touched) =>
          this.replica.overlays.acknowledge(results, this.replica.state.cursor, touched),
        ),
      );
      this.#events.push({ on: 'ops' });
    },
    settled: ({ conflicts }) =>
      this.#changed(
        this.replica.change((touched) => {
          for (const { conflict } of conflicts) this.replica.overlays.settled(conflict, touched);
        }),
      ),
    confirm: () => {
      if (!this.#failed) this.#events.unshift({ on: 'confirmed' });
      this.#failed = false;
    },
    install: ({ manifest }) => {
      void this.#install(manifest);
    },
    verified: (result) => {
      for (const resolve of this.#verifying.splice(0)) resolve(result);
    },
  };

  /**
   * @param {any} envelope
   * @param {unknown[]} lines
   */
  async #send(envelope, lines) {
    if (envelope.type === 'push') {
      try {
        // The server must never know an op that a crash could make this browser forget.
        await this.flush();
      } catch (error) {
        const { message } = MoatError.from(error);
        return void this.#events.push({
          on: 'frame',
          envelope: { type: 'error', code: 'unavailable', message, ref: envelope.ref },
          lines: [],
        });
      }
      for (const op of this.engine.pushing.inFlight?.ops ?? []) this.#unanswered.add(op.op_id);
    }
    this.socket.send(envelope, lines);
  }

  /** @param {import('./types.js').Manifest} manifest */
  async #install(manifest) {
    if (this.#download?.snapshot === manifest.snapshot) return;
    this.#download?.abort.abort();
    const abort = new AbortController();
    const download = (this.#download = { snapshot: manifest.snapshot, abort });
    try {
      const installed = await fetchSnapshot(this.options.storage, this.#file, {
        manifest,
        server: this.server,
        token: this.replica.local('token') ?? '',
        parts: this.options.parts,
        signal: abort.signal,
        fetch: this.options.fetch,
        progress: (share) => {
          if (this.#download === download) this.event({ on: 'progress', share });
        },
      });
      if (this.#download !== download || this.#closed) return installed.replica.sql.close();
      await this.#switch(installed);
      this.event({ on: 'installed', state: { ...this.replica.state } });
    } catch (error) {
      const { code, message } = MoatError.from(error);
      if (this.#download === download) this.event({ on: 'download_failed', code, message });
    } finally {
      if (this.#download === download) this.#download = null;
    }
  }

  /** @param {import('./installing.js').Installed} installed */
  async #switch(installed) {
    const old = { replica: this.replica, file: this.#file },
      begun = performance.now();
    moveLocal(old.replica, installed.replica);
    this.#installTook = { ...installed.took, move: Math.round(performance.now() - begun) };
    this.replica = installed.replica;
    this.#file = installed.file;
    this.#changedAll(old.replica.schema.tables.keys());
    // Keep the old file until the new one is durable.
    await this.options.storage.flush();
    old.replica.sql.close();
    await this.options.storage.remove(old.file);
    await this.options.parts.clear();
  }
}
