/** Pure: synchronous SHA-256. The chain needs two hashes per line within a transaction that must not wait. */

import { INITIAL, instantiate } from './sha256wasm.js';
import { words } from './words.js';

const PAGE = 65536;
/** Offset of messages in the module’s memory; the state precedes them. */
const DATA = 64;

const encoder = new TextEncoder();
/** @type {WebAssembly.Memory} */
let memory;
/** @type {(at: number, blocks: number) => void} */
let compress;
let heap = new Uint8Array();
let state = new Int32Array();
let view = new DataView(new ArrayBuffer(0));

/** @param {number} size bytes of a message; its padding needs room too */
function reserve(size) {
  if (DATA + size + 128 <= heap.length) return;
  if (!memory) ({ memory, compress } = instantiate());
  const missing = DATA + size + 128 - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  heap = new Uint8Array(memory.buffer);
  state = new Int32Array(memory.buffer, 0, 8);
  view = new DataView(memory.buffer);
}

/**
 * Hash the message that lies at DATA.
 * @param {number} length
 * @param {Uint8Array} out
 * @param {number} at where in `out`
 */
function finish(length, out, at) {
  const blocks = (length + 72) >>> 6, end = DATA + (blocks << 6);
  heap[DATA + length] = 0x80;
  heap.fill(0, DATA + length + 1, end - 8);
  view.setUint32(end - 8, Math.floor(length / 0x20000000));
  view.setUint32(end - 4, (length << 3) >>> 0);
  state.set(INITIAL);
  compress(DATA, blocks);
  take(out, at);
}

/**
 * @param {Uint8Array} out
 * @param {number} at
 */
function take(out, at) {
  for (let i = 0; i < 8; i++, at += 4) {
    const word = state[i];
    out[at] = word >>> 24; out[at + 1] = word >>> 16; out[at + 2] = word >>> 8; out[at + 3] = word;
  }
}

/**
 * Return the SHA-256 of `data`, in `out` when given.
 * @param {Uint8Array} data
 * @param {Uint8Array} [out]
 * @param {number} [at] where in `out`
 * @returns {Uint8Array}
 */
export function sha256(data, out = new Uint8Array(32), at = 0) {
  reserve(data.length);
  heap.set(data, DATA);
  finish(data.length, out, at);
  return out;
}

/**
 * Return the SHA-256 of a text's UTF-8, in `out` when given.
 * @param {string} text
 * @param {Uint8Array} [out]
 * @param {number} [at] where in `out`
 * @returns {Uint8Array}
 */
export function sha256Text(text, out = new Uint8Array(32), at = 0) {
  reserve(text.length * 3);
  finish(encoder.encodeInto(text, heap.subarray(DATA)).written, out, at);
  return out;
}

/** A hash fed in parts. After `digest` it is ready for the next message. */
export class Sha256 {
  #state = Int32Array.from(INITIAL);
  /** Bytes that do not fill a block yet. */
  #rest = new Uint8Array(64);
  #length = 0;

  /**
   * Add bytes to the message.
   * @param {Uint8Array} data
   * @returns {this}
   */
  update(data) {
    const used = this.#length & 63, size = used + data.length, blocks = size >>> 6;
    this.#length += data.length;
    if (!blocks) {
      this.#rest.set(data, used);
      return this;
    }
    reserve(size);
    heap.set(this.#rest.subarray(0, used), DATA);
    heap.set(data, DATA + used);
    state.set(this.#state);
    compress(DATA, blocks);
    this.#state.set(state);
    this.#rest.set(heap.subarray(DATA + (blocks << 6), DATA + size));
    return this;
  }

  /**
   * Finish the message and return its 32 bytes.
   * @returns {Uint8Array}
   */
  digest() {
    const length = this.#length, used = length & 63;
    const padding = new Uint8Array((used < 56 ? 64 : 128) - used);
    padding[0] = 0x80;
    const bits = new DataView(padding.buffer);
    bits.setUint32(padding.length - 8, Math.floor(length / 0x20000000));
    bits.setUint32(padding.length - 4, (length << 3) >>> 0);
    this.update(padding);
    const out = new Uint8Array(32);
    state.set(this.#state);
    take(out, 0);
    this.#state.set(INITIAL);
    this.#length = 0;
    return out;
  }
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/**
 * Return bytes as lower-case hex.
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toHex(bytes) {
  let out = '';
  for (const byte of bytes) out += HEX[byte];
  return out;
}

/**
 * Read hex; throws RangeError for anything else.
 * @param {string} text
 * @returns {Uint8Array}
 */
export function fromHex(text) {
  if (text.length % 2 || !/^[0-9a-f]*$/i.test(text)) throw new RangeError(words.notHex);
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return out;
}
