/**
 * Tier 2: files in memory, mirrored block by block to IndexedDB. SQLite works in memory. When it releases its write
 * lock, the file holds a committed state, and the changed blocks are written in one IndexedDB transaction.
 */

import { MoatError } from '../errors.js';
import { Sql } from '../sql.js';
import { BlockStore } from './blocks.js';
import { configure } from './configure.js';
import { words } from '../words.js';

/** @typedef {import('../sql.js').Sqlite3} Sqlite3 */

export const BLOCK = 16384;
const CHUNK = 1 << 20;
const RESERVED = 2;

/** A file in memory, in chunks so that growth never copies it. */
export class MirrorFile {
  /** @type {Uint8Array[]} */
  chunks = [];
  size = 0;
  lock = 0;
  changed = false;
  /** @type {Set<number>} blocks that differ from the stored ones */
  dirty = new Set();

  /**
   * @param {string} path
   * @param {boolean} mirrored false for journals and temporary files, which stay in memory
   */
  constructor(path, mirrored) {
    this.path = path;
    this.mirrored = mirrored;
  }

  /**
   * Call `each` with the parts of memory behind a range, creating them as needed.
   * @param {number} at
   * @param {number} length
   * @param {(piece: Uint8Array, offset: number) => void} each
   */
  #pieces(at, length, each) {
    for (let done = 0; done < length; ) {
      const number = Math.floor((at + done) / CHUNK), start = (at + done) % CHUNK;
      const take = Math.min(CHUNK - start, length - done);
      each((this.chunks[number] ??= new Uint8Array(CHUNK)).subarray(start, start + take), done);
      done += take;
    }
  }

  /**
   * @param {Uint8Array} into
   * @param {number} at
   * @returns {boolean} whether the file had all of it
   */
  read(into, at) {
    const have = Math.max(0, Math.min(into.length, this.size - at));
    this.#pieces(at, have, (piece, offset) => into.set(piece, offset));
    if (have < into.length) into.fill(0, have);
    return have === into.length;
  }

  /**
   * @param {Uint8Array} data
   * @param {number} at
   */
  write(data, at) {
    this.#pieces(at, data.length, (piece, offset) => piece.set(data.subarray(offset, offset + piece.length)));
    this.size = Math.max(this.size, at + data.length);
    if (this.mirrored)
      for (let block = Math.floor(at / BLOCK); block * BLOCK < at + data.length; block++) this.dirty.add(block);
    this.changed = true;
  }

  /** @param {number} size */
  truncate(size) {
    if (size >= this.size) return;
    this.#pieces(size, this.size - size, (piece) => piece.fill(0));
    this.size = size;
    this.chunks.length = Math.ceil(size / CHUNK);
    if (this.mirrored && size % BLOCK) this.dirty.add(Math.floor(size / BLOCK));
    this.changed = true;
  }

  /**
   * Return copies of the dirty blocks and mark them clean.
   * @returns {[number, Uint8Array][]}
   */
  drainDirty() {
    /** @type {[number, Uint8Array][]} */
    const out = [];
    for (const block of this.dirty) {
      if (block * BLOCK >= this.size) continue;
      const data = new Uint8Array(Math.min(BLOCK, this.size - block * BLOCK));
      this.read(data, block * BLOCK);
      out.push([block, data]);
    }
    this.dirty.clear();
    this.changed = false;
    return out;
  }
}

/** Writes files to IndexedDB, one transaction at a time. Each includes everything committed so far. */
class Mirror {
  /** @type {Map<string, MirrorFile>} */
  files = new Map();
  /** @type {Promise<void> | null} */
  #running = null;
  #again = false;
  /** @type {unknown} */
  #failure = null;
  stats = { transactions: 0, blocks: 0, milliseconds: 0 };

  /** @param {BlockStore} store */
  constructor(store) {
    this.store = store;
  }

  /** Schedule a write after a commit. */
  schedule() {
    if (this.#running) this.#again = true;
    else this.#running = this.#run();
  }

  async #run() {
    do {
      this.#again = false;
      // Run as a separate task: SQLite’s transactions never span tasks, so every file is at a commit here.
      await Promise.resolve();
      await this.#write();
    } while (this.#again);
    this.#running = null;
  }

  async #write() {
    const files = [...this.files.values()].filter((file) => file.mirrored && file.changed && file.lock < RESERVED);
    if (!files.length) return;
    const writes = files.map((file) => ({
      path: file.path,
      size: file.size,
      blocks: file.drainDirty(),
      complete: true,
    }));
    const begun = performance.now();
    try {
      await this.store.write(writes);
      this.#failure = null;
      this.stats.transactions++;
      this.stats.blocks += writes.reduce((sum, { blocks }) => sum + blocks.length, 0);
      this.stats.milliseconds += performance.now() - begun;
    } catch (error) {
      // The blocks stay dirty: the next commit or flush tries again.
      writes.forEach(({ blocks }, i) => {
        files[i].changed = true;
        for (const [block] of blocks) files[i].dirty.add(block);
      });
      this.#failure = error;
    }
  }

  /** Return when everything committed is durable. Throws `storage_failed`. */
  async flush() {
    if (this.#failure || [...this.files.values()].some((file) => file.mirrored && file.changed)) this.schedule();
    while (this.#running) await this.#running;
    if (this.#failure) throw new MoatError('storage_failed', words.notSaved(this.#failure));
  }
}

/**
 * @param {Sqlite3} sqlite3
 * @param {string} name
 * @param {string | null} [reason]
 * @returns {Promise<import('./types.js').Storage>}
 */
export async function mirrorStorage(sqlite3, name, reason = null) {
  const store = new BlockStore(`moat-${name}`, BLOCK);
  const mirror = new Mirror(store);
  for (const [path, { size }] of await store.files()) mirror.files.set(path, await load(store, path, size));
  const vfs = `moat-mirror-${name}`;
  registerVfs(sqlite3, vfs, mirror);
  return {
    tier: 2,
    name: words.mirrored,
    durable: true,
    reason,
    list: () => [...mirror.files.values()].filter((file) => file.mirrored).map((file) => file.path),
    // A failed IndexedDB transaction leaves the stored file at the previous commit, so the journal can stay in memory.
    open: (file) => configure(new Sql(sqlite3, new sqlite3.oo1.DB(`file:${file}?vfs=${vfs}`, 'c')), 'memory'),
    importFile: (file, chunks, size) => importFile(mirror, file, chunks, size),
    async remove(file) {
      mirror.files.delete(file);
      await mirror.flush();
      await store.remove(file);
    },
    flush: () => mirror.flush(),
    async close() {
      try {
        await mirror.flush();
      } finally {
        store.close();
      }
    },
    stats: () => ({ ...mirror.stats, reopened: store.reopened }),
  };
}

/**
 * @param {BlockStore} store
 * @param {string} path
 * @param {number} size
 */
async function load(store, path, size) {
  const file = new MirrorFile(path, true);
  await store.read(path, (block, data) => file.write(data, block * BLOCK));
  file.size = size;
  file.dirty.clear();
  file.changed = false;
  return file;
}

/**
 * Store a file while it arrives, in several transactions. It counts only when the last one marks it complete.
 * @param {Mirror} mirror
 * @param {string} path
 * @param {AsyncIterable<Uint8Array>} chunks
 * @param {number} size
 */
async function importFile(mirror, path, chunks, size) {
  const file = new MirrorFile(path, true);
  let at = 0;
  for await (const chunk of chunks) {
    file.write(chunk, at);
    at += chunk.length;
    if (file.dirty.size * BLOCK >= 8 * CHUNK)
      await mirror.store.write([{ path, size: file.size, blocks: file.drainDirty(), complete: false }]);
  }
  if (at !== size) throw new MoatError('snapshot', words.otherSize(at, size));
  await mirror.store.write([{ path, size, blocks: file.drainDirty(), complete: true }]);
  mirror.files.set(path, file);
}

/**
 * @param {Sqlite3} sqlite3
 * @param {string} name
 * @param {Mirror} mirror
 */
function registerVfs(sqlite3, name, mirror) {
  const { capi, wasm, vfs } = /** @type {any} */ (sqlite3);
  /** @type {Map<number, {file: MirrorFile, forget: boolean}>} */
  const open = new Map();
  const of = (/** @type {number} */ handle) => /** @type {{file: MirrorFile, forget: boolean}} */ (open.get(handle));
  const bytes = (/** @type {any} */ at, /** @type {number} */ length) =>
    wasm.heap8u().subarray(Number(at), Number(at) + length);
  const methods = new capi.sqlite3_io_methods();
  methods.$iVersion = 1;
  vfs.installVfs({
    io: {
      struct: methods,
      methods: {
        xClose: (/** @type {number} */ handle) => {
          const { file, forget } = of(handle);
          open.delete(handle);
          if (forget) mirror.files.delete(file.path);
          return 0;
        },
        xRead: (
          /** @type {number} */ handle,
          /** @type {any} */ into,
          /** @type {number} */ length,
          /** @type {any} */ at,
        ) => (of(handle).file.read(bytes(into, length), Number(at)) ? 0 : capi.SQLITE_IOERR_SHORT_READ),
        xWrite: (
          /** @type {number} */ handle,
          /** @type {any} */ from,
          /** @type {number} */ length,
          /** @type {any} */ at,
        ) => {
          of(handle).file.write(bytes(from, length), Number(at));
          return 0;
        },
        xTruncate: (/** @type {number} */ handle, /** @type {any} */ size) => {
          of(handle).file.truncate(Number(size));
          return 0;
        },
        xSync: () => 0,
        xFileSize: (/** @type {number} */ handle, /** @type {any} */ out) => {
          wasm.poke64(out, BigInt(of(handle).file.size));
          return 0;
        },
        xLock: (/** @type {number} */ handle, /** @type {number} */ lock) => {
          of(handle).file.lock = lock;
          return 0;
        },
        xUnlock: (/** @type {number} */ handle, /** @type {number} */ lock) => {
          const { file } = of(handle);
          const wrote = file.lock >= RESERVED && file.changed;
          file.lock = lock;
          if (wrote && file.mirrored) mirror.schedule();
          return 0;
        },
        xCheckReservedLock: (/** @type {number} */ handle, /** @type {any} */ out) => {
          wasm.poke32(out, of(handle).file.lock >= RESERVED ? 1 : 0);
          return 0;
        },
        xFileControl: () => capi.SQLITE_NOTFOUND,
        xSectorSize: () => 4096,
        xDeviceCharacteristics: () => capi.SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN,
      },
    },
  });
  const fallback = new capi.sqlite3_vfs(capi.sqlite3_vfs_find(null));
  const struct = new capi.sqlite3_vfs();
  struct.$iVersion = 2;
  struct.$szOsFile = capi.sqlite3_file.structInfo.sizeof;
  struct.$mxPathname = 512;
  struct.$zName = wasm.allocCString(name);
  struct.$xRandomness = fallback.$xRandomness;
  fallback.dispose();
  let temporary = 0;
  vfs.installVfs({
    vfs: {
      struct,
      methods: {
        xAccess: (
          /** @type {any} */ _vfs,
          /** @type {any} */ path,
          /** @type {number} */ _flags,
          /** @type {any} */ out,
        ) => {
          wasm.poke32(out, mirror.files.has(wasm.cstrToJs(path)) ? 1 : 0);
          return 0;
        },
        xCurrentTime: (/** @type {any} */ _vfs, /** @type {any} */ out) => {
          wasm.poke(out, 2440587.5 + Date.now() / 864e5, 'double');
          return 0;
        },
        xCurrentTimeInt64: (/** @type {any} */ _vfs, /** @type {any} */ out) => {
          wasm.poke(out, BigInt(2440587.5 * 864e5) + BigInt(Date.now()), 'i64');
          return 0;
        },
        xDelete: (/** @type {any} */ _vfs, /** @type {any} */ path) => {
          mirror.files.delete(wasm.cstrToJs(path));
          return 0;
        },
        xFullPathname: (
          /** @type {any} */ _vfs,
          /** @type {any} */ path,
          /** @type {number} */ length,
          /** @type {any} */ out,
        ) => (wasm.cstrncpy(out, path, length) < length ? 0 : capi.SQLITE_CANTOPEN),
        xGetLastError: () => 0,
        xSleep: () => 0,
        xOpen: (
          /** @type {any} */ _vfs,
          /** @type {any} */ name_,
          /** @type {number} */ handle,
          /** @type {number} */ flags,
          /** @type {any} */ out,
        ) => {
          const path = name_ && wasm.peek8(name_) ? wasm.cstrToJs(name_) : `temporary-${++temporary}`;
          let file = mirror.files.get(path);
          if (!file) {
            if (!(flags & capi.SQLITE_OPEN_CREATE)) return capi.SQLITE_CANTOPEN;
            mirror.files.set(path, (file = new MirrorFile(path, Boolean(flags & capi.SQLITE_OPEN_MAIN_DB))));
          }
          open.set(handle, { file, forget: Boolean(flags & capi.SQLITE_OPEN_DELETEONCLOSE) });
          const struct_ = new capi.sqlite3_file(handle);
          struct_.$pMethods = methods.pointer;
          struct_.dispose();
          wasm.poke32(out, flags);
          return 0;
        },
      },
    },
  });
}
