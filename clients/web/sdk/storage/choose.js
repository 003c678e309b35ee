/** Choose the storage tier of a replica: the one that already holds it, or else the best available. */

import { MoatError } from '../errors.js';
import { memoryStorage } from './memory.js';
import { mirrorStorage } from './mirror.js';
import { opfsStorage } from './opfs.js';
import { words } from '../words.js';

/** Size of a file that the OPFS pool created in advance and that holds no data. */
const EMPTY = 4096;

/** @typedef {'auto' | 'opfs' | 'indexeddb' | 'memory'} Wanted */

/**
 * @param {import('../sql.js').Sqlite3} sqlite3
 * @param {string} name
 * @param {Wanted} wanted
 * @returns {Promise<import('./types.js').Storage>}
 */
export async function chooseStorage(sqlite3, name, wanted) {
  if (wanted === 'memory') return memoryStorage(sqlite3, words.chosenByApplication);
  if (wanted === 'opfs') return opfsStorage(sqlite3, name);
  if (wanted === 'indexeddb') return mirrorStorage(sqlite3, name, words.chosenByApplication);
  const reason = isWebKit() ? words.webKit : await mirrorHolds(name);
  if (reason === null) {
    try {
      return await opfsStorage(sqlite3, name);
    } catch (error) {
      // Another context holds it: a second replica would hide its pending edits.
      if (error instanceof MoatError) throw error;
      if (await opfsHolds(name)) throw new MoatError('storage_failed', words.opfsFailed(error));
      return mirrorOrMemory(sqlite3, name, words.noOpfs(error));
    }
  }
  return mirrorOrMemory(sqlite3, name, reason);
}

/**
 * @param {import('../sql.js').Sqlite3} sqlite3
 * @param {string} name
 * @param {string} reason
 */
async function mirrorOrMemory(sqlite3, name, reason) {
  try {
    return await mirrorStorage(sqlite3, name, reason);
  } catch (error) {
    return memoryStorage(sqlite3, words.noIndexedDb(reason, error));
  }
}

const isWebKit = () =>
  /AppleWebKit/.test(navigator.userAgent) && !/Chrom(e|ium)|Edg|OPR|Android/.test(navigator.userAgent);

/**
 * Return whether OPFS holds a replica: it is not abandoned because one start failed.
 * @param {string} name
 * @returns {Promise<boolean>}
 */
async function opfsHolds(name) {
  try {
    let folder = await navigator.storage.getDirectory();
    for (const part of ['.moat', name, '.opaque']) folder = await folder.getDirectoryHandle(part);
    for await (const entry of /** @type {any} */ (folder).values()) {
      if (entry.kind === 'file' && (await entry.getFile()).size > EMPTY) return true;
    }
    return false;
  } catch {
    return false;
  }
}

/**
 * Return a reason to stay in IndexedDB if a replica, with its pending edits, is stored there.
 * @param {string} name
 * @returns {Promise<string | null>}
 */
async function mirrorHolds(name) {
  try {
    const found = (await indexedDB.databases()).some((database) => database.name === `moat-${name}`);
    return found ? words.startedInIndexedDb : null;
  } catch {
    return null;
  }
}
