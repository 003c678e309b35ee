/**
 * SHA-256, synchronous. WebCrypto's is asynchronous and costs ~20 µs a call, which is more than the hash of a whole
 * change line; the chain needs two hashes a line, in the middle of a transaction that must not wait.
 */

const K = new Int32Array(64);
const INITIAL = new Int32Array(8);

(function fillConstants() {
  // The first 32 bits of the fractional parts of the cube (K) and square (INITIAL) roots of the first primes.
  const fraction = (/** @type {number} */ x) => ((x - Math.floor(x)) * 4294967296) | 0;
  let count = 0;
  for (let n = 2; count < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
    if (!prime) continue;
    if (count < 8) INITIAL[count] = fraction(Math.sqrt(n));
    K[count++] = fraction(Math.cbrt(n));
  }
})();

const W = new Int32Array(64);

/**
 * @param {Int32Array} state
 * @param {Uint8Array} data
 * @param {number} at
 */
function compress(state, data, at) {
  for (let i = 0; i < 16; i++, at += 4) W[i] = (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3];
  for (let i = 16; i < 64; i++) {
    const x = W[i - 15], y = W[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    W[i] = (W[i - 16] + s0 + W[i - 7] + s1) | 0;
  }
  let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  state[0] += a; state[1] += b; state[2] += c; state[3] += d;
  state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

/** A hash that is fed in pieces. After `digest` it is ready for the next message. */
export class Sha256 {
  #state = Int32Array.from(INITIAL);
  #block = new Uint8Array(64);
  #length = 0;

  /**
   * Add bytes to the message.
   * @param {Uint8Array} data
   * @returns {this}
   */
  update(data) {
    let used = this.#length & 63;
    let at = 0;
    this.#length += data.length;
    if (used) {
      const room = 64 - used;
      if (data.length < room) {
        this.#block.set(data, used);
        return this;
      }
      this.#block.set(data.subarray(0, room), used);
      compress(this.#state, this.#block, 0);
      at = room;
      used = 0;
    }
    for (; at + 64 <= data.length; at += 64) compress(this.#state, data, at);
    if (at < data.length) this.#block.set(data.subarray(at), 0);
    return this;
  }

  /**
   * Finish the message and return its 32 bytes, in `out` when given.
   * @param {Uint8Array} [out]
   * @returns {Uint8Array}
   */
  digest(out = new Uint8Array(32)) {
    const block = this.#block, state = this.#state, length = this.#length;
    let used = length & 63;
    block[used++] = 0x80;
    if (used > 56) {
      block.fill(0, used);
      compress(state, block, 0);
      used = 0;
    }
    block.fill(0, used, 56);
    const bits = new DataView(block.buffer);
    bits.setUint32(56, Math.floor(length / 0x20000000));
    bits.setUint32(60, (length << 3) >>> 0);
    compress(state, block, 0);
    for (let i = 0; i < 8; i++) {
      const word = state[i];
      out[4 * i] = word >>> 24; out[4 * i + 1] = word >>> 16; out[4 * i + 2] = word >>> 8; out[4 * i + 3] = word;
    }
    state.set(INITIAL);
    this.#length = 0;
    return out;
  }
}

const shared = new Sha256();

/**
 * Return the SHA-256 of `data`, in `out` when given.
 * @param {Uint8Array} data
 * @param {Uint8Array} [out]
 * @returns {Uint8Array}
 */
export function sha256(data, out) {
  return shared.update(data).digest(out);
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
  if (text.length % 2 || !/^[0-9a-f]*$/i.test(text)) throw new RangeError('not hex');
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return out;
}
