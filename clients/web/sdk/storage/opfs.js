/**
 * Tier 1: the origin-private file system through SQLite’s own pool of access handles (`opfs-sahpool`). It needs a
 * worker.
 */

import { Sql } from '../sql.js';
import { MoatError } from '../errors.js';
import { configure } from './configure.js';
import { words } from '../words.js';

/** @typedef {import('../sql.js').Sqlite3} Sqlite3 */

/** Two replicas with their journals while a snapshot is installed, and some spare files. */
const CAPACITY = 8;
const BUSY_RETRIES = 100;
const BUSY_WAIT_MS = 100;

/**
 * Open the pool of one replica name. Throws `storage_busy` if another context does not release it.
 * @param {Sqlite3} sqlite3
 * @param {string} name
 * @returns {Promise<import('./types.js').Storage>}
 */
export async function opfsStorage(sqlite3, name) {
  const pool = await openPool(sqlite3, name);
  await pool.reserveMinimumCapacity(CAPACITY);
  const path = (/** @type {string} */ file) => `/${file}`;
  return {
    tier: 1,
    name: 'opfs-sahpool',
    durable: true,
    reason: null,
    list: () => pool.getFileNames().filter((file) => !/-(journal|wal)$/.test(file)).map((file) => file.slice(1)),
    open: (file) => configure(new Sql(sqlite3, new pool.OpfsSAHPoolDb(path(file))), 'wal'),
    async importFile(file, chunks) {
      const iterator = chunks[Symbol.asyncIterator]();
      await pool.importDb(path(file), async () => (await iterator.next()).value);
    },
    async remove(file) {
      for (const tail of ['', '-journal', '-wal']) pool.unlink(path(file) + tail);
    },
    // `synchronous = FULL`: COMMIT returns after the log was flushed.
    async flush() {},
    async close() {
      pool.pauseVfs();
    },
    stats: () => ({ capacity: pool.getCapacity(), files: pool.getFileCount() }),
  };
}

/**
 * @param {Sqlite3} sqlite3
 * @param {string} name
 */
async function openPool(sqlite3, name) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await sqlite3.installOpfsSAHPoolVfs(
        /** @type {any} */ ({
          name: `moat-${name}`,
          directory: `.moat/${name}`,
          initialCapacity: CAPACITY,
          forceReinitIfPreviouslyFailed: true,
          preserveOnInitFailure: true, // the default deletes every file if another context holds one of them
        }),
      );
    } catch (error) {
      // A leader that closed a moment ago still holds its handles.
      const busy = error instanceof DOMException && error.name === 'NoModificationAllowedError';
      if (!busy) throw error;
      if (attempt >= BUSY_RETRIES) throw new MoatError('storage_busy', words.storageBusy);
      await new Promise((resolve) => setTimeout(resolve, BUSY_WAIT_MS));
    }
  }
}
