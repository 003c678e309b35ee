/** Downloaded snapshot parts, by their SHA-256, so that an interrupted download can resume. */

import { settled } from './blocks.js';

/**
 * @typedef {{
 *   get: (sha256: string) => Promise<Uint8Array | null>,
 *   put: (sha256: string, data: Uint8Array) => Promise<void>,
 *   clear: () => Promise<void>
 * }} PartStore
 */

/** @returns {PartStore} */
export function memoryParts() {
  /** @type {Map<string, Uint8Array>} */
  const parts = new Map();
  return {
    get: async (sha256) => parts.get(sha256) ?? null,
    put: async (sha256, data) => void parts.set(sha256, data),
    clear: async () => parts.clear(),
  };
}

/**
 * @param {string} name
 * @returns {Promise<PartStore>}
 */
export async function indexedDbParts(name) {
  const request = indexedDB.open(`moat-${name}-parts`, 1);
  request.onupgradeneeded = () => void request.result.createObjectStore('parts');
  const db = await settled(request);
  const store = (/** @type {IDBTransactionMode} */ mode) => db.transaction('parts', mode).objectStore('parts');
  return {
    get: async (sha256) => (await settled(store('readonly').get(sha256))) ?? null,
    put: async (sha256, data) => void (await settled(store('readwrite').put(data, sha256))),
    clear: async () => void (await settled(store('readwrite').clear())),
  };
}
