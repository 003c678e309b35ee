/** Tier 3: a replica in memory, gone when the page closes. The last resort; also used by tests. */

import { Sql } from '../sql.js';
import { configure } from './configure.js';

/** @typedef {import('../sql.js').Sqlite3} Sqlite3 */

/**
 * @param {Sqlite3} sqlite3
 * @param {string | null} [reason]
 * @returns {import('./types.js').Storage}
 */
export function memoryStorage(sqlite3, reason = null) {
  /** @type {Map<string, Uint8Array | null>} imported files until they are opened */
  const files = new Map();
  return {
    tier: 3,
    name: 'memory',
    durable: false,
    reason,
    list: () => [...files.keys()],
    open(file) {
      const db = new sqlite3.oo1.DB(':memory:', 'c');
      const bytes = files.get(file);
      if (bytes) deserialize(sqlite3, db, bytes);
      files.set(file, null);
      return configure(new Sql(sqlite3, db), 'memory');
    },
    async importFile(file, chunks, size) {
      const bytes = new Uint8Array(size);
      let at = 0;
      for await (const chunk of chunks) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      files.set(file, bytes);
    },
    async remove(file) {
      files.delete(file);
    },
    async flush() {},
    async close() {},
    stats: () => ({}),
  };
}

/**
 * @param {Sqlite3} sqlite3
 * @param {import('../sql.js').Database} db
 * @param {Uint8Array} bytes
 */
function deserialize(sqlite3, db, bytes) {
  const { capi, wasm } = /** @type {any} */ (sqlite3);
  const at = wasm.allocFromTypedArray(bytes);
  const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE;
  const code = capi.sqlite3_deserialize(db.pointer, 'main', at, bytes.length, bytes.length, flags);
  if (code) throw new Error(`sqlite3_deserialize: ${code}`);
}
