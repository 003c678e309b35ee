/** The store below tier 2: blocks of files in IndexedDB, written in transactions that contain whole commits. */

/** @typedef {{size: number, block: number, complete: boolean}} FileMeta */
/**
 * @typedef {{
 *   path: string, size: number, blocks: [number, Uint8Array][], complete: boolean
 * }} Write one file’s part of a transaction
 */

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
export const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const every = (/** @type {string} */ path) => IDBKeyRange.bound([path, 0], [path, Infinity]);

export class BlockStore {
  /** @type {IDBDatabase | null} */
  #db = null;
  reopened = 0;

  /**
   * @param {string} name of the IndexedDB database
   * @param {number} block bytes in a block
   */
  constructor(name, block) {
    this.name = name;
    this.block = block;
  }

  /** @returns {Promise<IDBDatabase>} */
  async #open() {
    if (this.#db) return this.#db;
    const request = indexedDB.open(this.name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('blocks');
      request.result.createObjectStore('meta');
    };
    const db = await settled(request);
    db.onclose = () => { this.#db = null; };
    db.onversionchange = () => this.close();
    this.#db = db;
    return db;
  }

  /**
   * Run `work`, and retry once on a new connection: iOS drops the connections of background pages.
   * @template T
   * @param {(db: IDBDatabase) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #retrying(work) {
    try {
      return await work(await this.#open());
    } catch (error) {
      if (error instanceof DOMException && error.name === 'QuotaExceededError') throw error;
      this.close();
      this.reopened++;
      return work(await this.#open());
    }
  }

  /**
   * Return the complete files, and remove what an interrupted import left.
   * @returns {Promise<Map<string, FileMeta>>}
   */
  async files() {
    /** @type {Map<string, FileMeta>} */
    const found = new Map();
    const [paths, metas] = await this.#retrying((db) => {
      const store = db.transaction('meta').objectStore('meta');
      return Promise.all([settled(store.getAllKeys()), settled(store.getAll())]);
    });
    for (let i = 0; i < paths.length; i++) {
      const path = String(paths[i]);
      if (metas[i].complete && metas[i].block === this.block) found.set(path, metas[i]);
      else await this.remove(path);
    }
    return found;
  }

  /**
   * Read a file’s blocks, a bounded number at a time.
   * @param {string} path
   * @param {(number: number, data: Uint8Array) => void} take
   */
  async read(path, take) {
    const BATCH = 512;
    for (let from = 0; ; ) {
      const range = IDBKeyRange.bound([path, from], [path, Infinity]);
      const [keys, values] = await this.#retrying((db) => {
        const store = db.transaction('blocks').objectStore('blocks');
        return Promise.all([settled(store.getAllKeys(range, BATCH)), settled(store.getAll(range, BATCH))]);
      });
      keys.forEach((key, i) => take(/** @type {number[]} */ (key)[1], values[i]));
      if (keys.length < BATCH) return;
      from = /** @type {number[]} */ (keys[keys.length - 1])[1] + 1;
    }
  }

  /**
   * Write in one transaction. It is durable when this returns.
   * @param {Write[]} writes
   */
  async write(writes) {
    await this.#retrying((db) => new Promise((resolve, reject) => {
      const transaction = db.transaction(['blocks', 'meta'], 'readwrite', { durability: 'strict' });
      const blocks = transaction.objectStore('blocks'), meta = transaction.objectStore('meta');
      for (const { path, size, blocks: list, complete } of writes) {
        for (const [number, data] of list) blocks.put(data, [path, number]);
        blocks.delete(IDBKeyRange.bound([path, Math.ceil(size / this.block)], [path, Infinity]));
        meta.put({ size, block: this.block, complete }, path);
      }
      transaction.oncomplete = () => resolve(undefined);
      transaction.onabort = transaction.onerror = () =>
        reject(transaction.error ?? new DOMException('aborted', 'AbortError'));
    }));
  }

  /** @param {string} path */
  async remove(path) {
    await this.#retrying((db) => new Promise((resolve, reject) => {
      const transaction = db.transaction(['blocks', 'meta'], 'readwrite');
      transaction.objectStore('meta').delete(path);
      transaction.objectStore('blocks').delete(every(path));
      transaction.oncomplete = () => resolve(undefined);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    }));
  }

  close() {
    this.#db?.close();
    this.#db = null;
  }
}
