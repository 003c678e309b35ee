/**
 * Moat’s SDK for browsers: a local SQLite replica, live and offline. The only module that applications import. See
 * docs/guides/sdk.md.
 *
 * const moat = await open({ server: 'https://moat.example' });
 * await moat.login({ tenant: 'acme', user: 'olga', password: '…' });
 * moat.watch({ table: 'jobs', where: { status: 'open' } }, (jobs) => draw(jobs));
 * await moat.update('jobs', id, { status: 'done' });
 */

import { rightsOf } from './access.js';
import { MoatError } from './errors.js';
import { uuid7 } from './ids.js';
import { List as OpenList } from './list.js';
import { pageOrigin, watchPage } from './page.js';
import { watch } from './watching.js';
import { words } from './words.js';

/**
 * @typedef {import('./types.js').Access} Access
 * @typedef {import('./types.js').Choice} Choice
 * @typedef {import('./types.js').Field} Field
 * @typedef {import('./types.js').FindOptions} FindOptions
 * @typedef {import('./types.js').Layout} Layout
 * @typedef {import('./types.js').ObjectType} ObjectType
 * @typedef {import('./types.js').Overlay} Overlay
 * @typedef {import('./types.js').OverlayState} OverlayState
 * @typedef {import('./types.js').PatchOp} PatchOp
 * @typedef {import('./types.js').Phase} Phase
 * @typedef {import('./types.js').RecordState} RecordState
 * @typedef {import('./types.js').RecordValues} RecordValues
 * @typedef {import('./types.js').Status} Status
 * @typedef {import('./access.js').Rights} Rights
 * @typedef {import('./list.js').List} List
 * @typedef {import('./listing.js').ListOptions} ListOptions
 * @typedef {import('./listing.js').ListUpdate} ListUpdate
 * @typedef {import('./listing.js').ListUpdate} ListNews the name of ListUpdate until 0.1; removed in the next release
 * @typedef {import('./sql.js').Value} Value
 */
/**
 * @typedef {{
 *   server?: string, name?: string, storage?: import('./storage/choose.js').Wanted, client?: string
 * }} OpenOptions `server`: origin, by default the page’s own; in a native app, whose pages come from no server, that of
 *   the last `login` · `name`: of the replica, one per account in this browser · `storage`: by default the best one
 */
/** @typedef {string | {sql: string, params?: Value[] | Record<string, Value>} | FindOptions} Source SQL or options */
/**
 * @typedef {{
 *   op_id: number, table: string, id: string, op: string, payload: any, created_at: string, conflict: string,
 *   version: number, base: RecordValues | null, mine: RecordValues | null, theirs: RecordValues | null,
 *   fields: string[], by: string, at: string | null
 * }} Conflict
 * @typedef {{
 *   equal: boolean, repaired: number, tables: Record<string, {count: number, server: number, equal: boolean}>,
 *   problem: {code: string, message: string} | null
 * }} Verified
 * @typedef {{
 *   insert: (table: string, values: RecordValues) => string,
 *   update: (table: string, id: string, changes: RecordValues | PatchOp[]) => void,
 *   remove: (table: string, id: string) => void
 * }} Transaction
 * @typedef {Record<string, string[] | null>} Changed tables and the IDs that changed in them; null if there are many
 */

export { MoatError, uuid7 };
export { containing } from './likeness.js';
export { clean } from './values.js';

/**
 * Open this browser’s replica, which one tab owns for all, and start to sync. Throws `bad_name`.
 * @param {OpenOptions} [options]
 * @returns {Promise<Moat>}
 */
export async function open({ server = pageOrigin(), name = 'main', storage = 'auto', client = 'web' } = {}) {
  if (!/^[a-z0-9-]{1,40}$/.test(name)) throw new MoatError('bad_name', words.badReplicaName);
  const moat = new Moat({ server: server.replace(/\/$/, ''), name, storage, client });
  await moat.ready;
  return moat;
}

/** A replica. Created by `open`. */
export class Moat {
  #worker;
  #number = 0;
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #calls = new Map();
  /** @type {Set<(status: Status) => void>} */
  #statusListeners = new Set();
  /** @type {Set<(changed: Changed) => void>} */
  #changeListeners = new Set();
  /** @type {Map<string, List>} */
  #lists = new Map();
  /** @type {Status | null} */
  #status = null;
  #stopWatchingPage;

  /** @param {Required<OpenOptions>} options */
  constructor(options) {
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), {
      type: 'module',
      name: `moat-${options.name}`,
    });
    this.#worker.onmessage = ({ data }) => this.#onMessage(data);
    this.#worker.onerror = (event) => this.#failed(new MoatError('worker', event.message || words.workerFailed));
    this.#worker.postMessage({ type: 'open', options });
    this.#stopWatchingPage = watchPage({
      wake: () => void this.#call('wake').catch(() => {}),
      leave: () => this.#worker.terminate(),
    });
    /** Resolves when the replica can be read. */
    this.ready = this.#call('status').then((status) => this.#show(status));
  }

  /**
   * Sign in: get a token for this browser and start to sync. Pending edits of an ended session are kept and sent.
   *
   * Throws `bad_login`, `network`, `bad_server`, and `other_user`, `other_tenant` or `other_server` if this browser has
   * unsent edits from another one.
   * @param {{tenant: string, user: string, password: string, device?: string, server?: string}} credentials
   *   `device`: a name for this device · `server`: needed if `open` got none; the replica remembers it
   * @returns {Promise<{tenant: string, user: string, device: string}>}
   */
  login(credentials) {
    return this.#call('login', credentials);
  }

  /**
   * Sign out: revoke the token. The data stays for the same user, readable and editable. With `forget` it is deleted,
   * including unsent edits.
   * @param {{forget?: boolean}} [options]
   * @returns {Promise<void>}
   */
  logout(options = {}) {
    return this.#call('logout', options);
  }

  /**
   * Run a SELECT. Every table is available under its own name and shows the user’s latest edits. Values are as SQLite
   * stores them (booleans 0 and 1, json as text, decimals as numbers).
   * @param {string} sql
   * @param {Value[] | Record<string, Value>} [params]
   * @returns {Promise<Record<string, any>[]>}
   */
  async query(sql, params = []) {
    return (await this.#call('query', sql, params)).rows;
  }

  /**
   * Return records as wire values (booleans, parsed json, decimals as text).
   * @param {FindOptions} options
   * @returns {Promise<RecordValues[]>}
   */
  async find(options) {
    return (await this.#call('find', options)).records;
  }

  /**
   * Return one record as wire values, or null.
   * @param {string} table
   * @param {string} id
   * @returns {Promise<RecordValues | null>}
   */
  get(table, id) {
    return this.#call('get', table, id);
  }

  /**
   * Run a query now and after each change of a table it reads. `listener` gets every result that differs from the last.
   * SQL returns rows like `query`, find options return records like `find`. Returns a function that stops it.
   * @param {Source} source
   * @param {(rows: any[]) => void} listener
   * @param {(error: MoatError) => void} [failed]
   * @returns {() => void}
   */
  watch(source, listener, failed = (error) => { throw error; }) {
    return watch({ read: () => this.#read(source), onChange: (changed) => this.onChange(changed), listener, failed });
  }

  /**
   * Open a long list. `listener` gets the number of rows, now and whenever it or a row changes; `rows` returns any
   * window.
   * @param {import('./listing.js').ListOptions} options
   * @param {(update: import('./listing.js').ListUpdate) => void} listener
   * @returns {List}
   */
  list(options, listener) {
    const list = new OpenList((method, ...args) => {
      if (method === 'listClose') this.#lists.delete(list.id);
      return this.#call(method, ...args);
    }, options, listener);
    this.#lists.set(list.id, list);
    return list;
  }

  /**
   * Insert a record. Returns its ID: `values.id`, or a new UUIDv7. When this returns, the record is visible and durable
   * here.
   * @param {string} table
   * @param {RecordValues} values
   * @returns {Promise<string>}
   */
  async insert(table, values) {
    const id = values.id ?? uuid7();
    await this.#write([{ op: 'insert', table, id, values }]);
    return id;
  }

  /**
   * Update a record: field → new value, or an RFC 6902 patch. Inside a json field only what changed is sent.
   * @param {string} table
   * @param {string} id
   * @param {RecordValues | PatchOp[]} changes
   * @returns {Promise<number | null>} the op_id, or null if nothing changes
   */
  async update(table, id, changes) {
    return (await this.#write([{ op: 'update', table, id, values: changes }]))[0];
  }

  /**
   * Delete a record.
   * @param {string} table
   * @param {string} id
   * @returns {Promise<number | null>} the op_id
   */
  async remove(table, id) {
    return (await this.#write([{ op: 'delete', table, id }]))[0];
  }

  /**
   * Make several changes that apply together or not at all, here and on the server. `work` lists them; they are applied
   * when it returns.
   * @param {(tx: Transaction) => void | Promise<void>} work
   * @returns {Promise<(number | null)[]>} op_ids
   */
  async transaction(work) {
    /** @type {import('./writing.js').Edit[]} */
    const edits = [];
    await work({
      insert: (table, values) => {
        const id = values.id ?? uuid7();
        edits.push({ op: 'insert', table, id, values });
        return id;
      },
      update: (table, id, values) => void edits.push({ op: 'update', table, id, values }),
      remove: (table, id) => void edits.push({ op: 'delete', table, id }),
    });
    return edits.length ? this.#write(edits) : [];
  }

  /** Return the last known status of the sync. */
  status() {
    return /** @type {Status} */ (this.#status);
  }

  /**
   * Return what the user may do with a table, as the server last sent it: use it to hide what the server would reject.
   * It works offline; a new `status().access` signals a change.
   * @param {string} table
   * @returns {import('./access.js').Rights}
   */
  rights(table) {
    return rightsOf(this.#status?.access, table);
  }

  /**
   * Call `listener` with the current status and after each change. Returns a function that stops it.
   * @param {(status: Status) => void} listener
   * @returns {() => void}
   */
  onStatus(listener) {
    this.#statusListeners.add(listener);
    if (this.#status) listener(this.#status);
    return () => this.#statusListeners.delete(listener);
  }

  /**
   * Call `listener` with the tables that changed, locally or on the server. `overlays` is included if pending edits may
   * have changed. Returns a function that stops it.
   * @param {(changed: Changed) => void} listener
   * @returns {() => void}
   */
  onChange(listener) {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /**
   * Return the conflicts that a person must resolve.
   * @returns {Promise<Conflict[]>}
   */
  conflicts() {
    return this.#call('conflicts');
  }

  /**
   * Resolve a conflict: keep mine, use theirs, or set other values (field → value, over mine).
   * @param {number} opId of the op in conflict
   * @param {'mine' | 'theirs' | RecordValues} choice
   * @returns {Promise<number>} the op_id of the op that resolves it
   */
  resolve(opId, choice) {
    const edit = typeof choice !== 'string';
    return this.#call('resolve', opId, edit ? 'edit' : choice, edit ? choice : null, uuid7());
  }

  /**
   * Return who changed a record, when, and how, newest first. The server is queried, so this throws `network` when
   * offline. `next` is the `cursor` of the next page.
   * @param {string} table
   * @param {string} id
   * @param {{cursor?: string, limit?: number}} [page]
   * @returns {Promise<{results: any[], next: string | null}>}
   */
  history(table, id, page = {}) {
    return this.#call('history', table, id, page);
  }

  /**
   * Return unconfirmed ops in order: all, or those in one state.
   * @param {OverlayState} [state]
   * @returns {Promise<Overlay[]>}
   */
  overlays(state) {
    return this.#call('overlays', state ?? null);
  }

  /**
   * Discard a pending, rejected, or parked op and everything that depends on it. Throws `sending` if it is being sent,
   * or was being sent when the connection was lost.
   * @param {number} opId
   * @returns {Promise<number[]>} the op_ids that were discarded
   */
  discard(opId) {
    return this.#call('discard', opId);
  }

  /**
   * Send a rejected or parked op again, optionally with other values (field → value, over what it set; undefined
   * removes a field from it).
   * @param {number} opId
   * @param {RecordValues} [values]
   * @returns {Promise<number | null>} the new op_id, or null if it no longer changes anything
   */
  retry(opId, values) {
    return this.#call('retry', opId, values ?? null);
  }

  /**
   * Return the sync state of a table’s records by ID. Synced records are left out.
   * @param {string} table
   * @returns {Promise<Record<string, RecordState>>}
   */
  states(table) {
    return this.#call('states', table);
  }

  /**
   * Return the published object types, sorted by label.
   * @returns {Promise<ObjectType[]>}
   */
  objects() {
    return this.#call('objects');
  }

  /**
   * Return the layouts of one object type, or all.
   * @param {string} [objectName]
   * @returns {Promise<Layout[]>}
   */
  layouts(objectName) {
    return this.#call('layouts', objectName ?? null);
  }

  /**
   * Compare every table with the server’s and repair what differs. Waits until the replica is live.
   * @returns {Promise<Verified>}
   */
  async verify() {
    const { tables, repaired, problem } = await this.#call('verify');
    return {
      equal: !problem && Object.values(tables).every((/** @type {any} */ table) => table.equal),
      repaired,
      tables,
      problem,
    };
  }

  /**
   * Delete the server’s data and download it again; pending edits are kept. Use it after the server was restored from a
   * backup.
   * @returns {Promise<void>}
   */
  startOver() {
    return this.#call('startOver');
  }

  /**
   * Return details for troubleshooting.
   * @returns {Promise<Record<string, any>>}
   */
  diagnostics() {
    return this.#call('diagnostics');
  }

  /**
   * Request that the browser does not evict the replica when storage is short. Returns whether it agreed.
   * @returns {Promise<boolean>}
   */
  async persist() {
    return (await navigator.storage?.persist?.()) ?? false;
  }

  /**
   * Release the replica; another tab becomes leader.
   * @returns {Promise<void>}
   */
  async close() {
    this.#stopWatchingPage();
    await new Promise((resolve) => {
      this.#closed = () => resolve(undefined);
      this.#worker.postMessage({ type: 'close' });
    });
    this.#failed(new MoatError('closed', words.closed));
    this.#worker.terminate();
  }

  #closed = () => {};

  /**
   * @param {string} method
   * @param {...any} args
   * @returns {Promise<any>}
   */
  #call(method, ...args) {
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#worker.postMessage({ type: 'call', id, method, args });
    });
  }

  /** @param {import('./writing.js').Edit[]} edits */
  #write(edits) {
    return this.#call('write', edits, uuid7());
  }

  /**
   * @param {Source} source
   * @returns {Promise<any>}
   */
  #read(source) {
    if (typeof source === 'string') return this.#call('query', source, []);
    if ('sql' in source) return this.#call('query', source.sql, source.params ?? []);
    return this.#call('find', source);
  }

  /** @param {any} message */
  #onMessage(message) {
    if (message.type === 'answer') {
      const call = this.#calls.get(message.id);
      this.#calls.delete(message.id);
      if (message.error) call?.reject(new MoatError(message.error.code, message.error.message, message.error));
      else call?.resolve(message.value);
    } else if (message.type === 'status') {
      this.#show(message.status);
    } else if (message.type === 'changed') {
      for (const listener of [...this.#changeListeners]) listener(message.tables);
    } else if (message.type === 'leader') {
      for (const list of this.#lists.values()) list.show(); // the new leader does not have them
    } else if (message.type === 'list') {
      this.#lists.get(message.list)?.onMessage(message);
    } else if (message.type === 'failed') {
      this.#failed(new MoatError(message.error.code, message.error.message, message.error));
    } else if (message.type === 'closed') {
      this.#closed();
    }
  }

  /** @param {Status} status */
  #show(status) {
    this.#status = status;
    for (const listener of [...this.#statusListeners]) listener(status);
  }

  /** @param {MoatError} error */
  #failed(error) {
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }
}
