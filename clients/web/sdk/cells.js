/** Bind values to statements and read rows, calling the wasm exports directly. One arena holds the bound bytes. */

import { MoatError } from './errors.js';
import { words } from './words.js';

/** @typedef {import('./sql.js').Value} Value */

const INTEGER = 1, FLOAT = 2, TEXT = 3, BLOB = 4;
/** How long bound bytes stay valid: until the statement is reset, or until SQLite has copied them. */
export const STATIC = 0, TRANSIENT = -1;
const ARENA_BYTES = 65536;

const encoder = new TextEncoder();
/** With `ignoreBOM`, a text that starts with U+FEFF keeps it; otherwise the decoder drops it as a byte order mark. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export class Cells {
  #wasm;
  #exports;
  #heap;
  #arena = 0;
  #capacity = 0;

  /** @param {import('./sql.js').Sqlite3} sqlite3 */
  constructor(sqlite3) {
    this.sqlite3 = sqlite3;
    this.#wasm = /** @type {any} */ (sqlite3.wasm);
    this.#exports = this.#wasm.exports;
    this.#heap = this.#wasm.heap8u();
    this.#grow(ARENA_BYTES);
  }

  /** Free the arena. */
  close() {
    this.#wasm.dealloc(this.#arena);
  }

  /**
   * Bind values. SQLite copies text and blobs unless the statement finishes before the next bind: then `lifetime` may
   * be STATIC and they stay in the arena.
   * @param {number} statement
   * @param {Value[]} values
   * @param {number} [lifetime]
   */
  bind(statement, values, lifetime = TRANSIENT) {
    const x = this.#exports;
    this.#refresh();
    let needed = 0;
    for (const value of values)
      if (typeof value === 'string') needed += value.length * 3;
      else if (value instanceof Uint8Array) needed += value.length;
    if (needed > this.#capacity) this.#grow(needed);
    let at = this.#arena;
    let code = 0;
    for (let i = 0; i < values.length && !code; i++) {
      const value = values[i];
      if (typeof value === 'string') {
        const written = this.#encode(value, at);
        code = x.sqlite3_bind_text(statement, i + 1, at, written, lifetime);
        at += written;
      } else if (value === null || value === undefined) {
        code = x.sqlite3_bind_null(statement, i + 1);
      } else if (typeof value === 'number') {
        if ((value | 0) === value) code = x.sqlite3_bind_int(statement, i + 1, value);
        else if (Number.isSafeInteger(value)) code = x.sqlite3_bind_int64(statement, i + 1, BigInt(value));
        else code = x.sqlite3_bind_double(statement, i + 1, value);
      } else if (value instanceof Uint8Array) {
        this.#heap.set(value, at);
        code = x.sqlite3_bind_blob(statement, i + 1, at, value.length, lifetime);
        at += value.length;
      } else if (typeof value === 'boolean') {
        code = x.sqlite3_bind_int(statement, i + 1, value ? 1 : 0);
      } else {
        throw new MoatError('sql', words.notStorable(typeof value));
      }
    }
    if (code) throw new MoatError('sql', words.cannotBind(this.sqlite3.capi.sqlite3_js_rc_str(code)));
    const count = x.sqlite3_bind_parameter_count(statement);
    for (let i = values.length; i < count; i++) x.sqlite3_bind_null(statement, i + 1);
  }

  /**
   * @param {string} text
   * @param {number} at
   * @returns {number} bytes written
   */
  #encode(text, at) {
    const heap = this.#heap, length = text.length;
    if (length < 48) {
      // Short ASCII, as most values are: a loop is cheaper than setting up the encoder.
      let i = 0;
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > 127) break;
        heap[at + i] = code;
      }
      if (i === length) return length;
    }
    return encoder.encodeInto(text, heap.subarray(at, at + length * 3)).written;
  }

  /**
   * @param {number} statement
   * @returns {any[]}
   */
  row(statement) {
    const x = this.#exports, count = x.sqlite3_data_count(statement);
    this.#refresh();
    const row = new Array(count);
    for (let i = 0; i < count; i++) {
      switch (x.sqlite3_column_type(statement, i)) {
        case INTEGER: // within ±2^53 a double is exact, and cheaper than a BigInt
        case FLOAT:
          row[i] = x.sqlite3_column_double(statement, i);
          break;
        case TEXT:
          row[i] = this.#text(x.sqlite3_column_text(statement, i), x.sqlite3_column_bytes(statement, i));
          break;
        case BLOB: {
          const at = x.sqlite3_column_blob(statement, i);
          row[i] = this.#heap.slice(at, at + x.sqlite3_column_bytes(statement, i));
          break;
        }
        default:
          row[i] = null;
      }
    }
    return row;
  }

  /**
   * @param {number} at
   * @param {number} length
   */
  #text(at, length) {
    this.#refresh();
    return decoder.decode(this.#heap.subarray(at, at + length));
  }

  /** Growing the memory detaches the old buffer, so take the new one before touching it. */
  #refresh() {
    if (this.#heap.byteLength === 0) this.#heap = this.#wasm.heap8u();
  }

  /** @param {number} size */
  #grow(size) {
    if (this.#arena) this.#wasm.dealloc(this.#arena);
    this.#capacity = Math.max(size, ARENA_BYTES);
    this.#arena = this.#wasm.alloc(this.#capacity);
    this.#refresh();
  }
}
