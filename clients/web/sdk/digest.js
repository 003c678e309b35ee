/** Pure: the digest of a table (docs/spec/protocol.md §9). It is a sum over records, so their order does not matter. */

import { sha256Text } from './sha256.js';

const hash = new Uint8Array(32);
const TWO_32 = 4294967296;

/** Count and digest of a set of records. */
export class Digest {
  count = 0;
  #high = 0;
  #low = 0;

  /**
   * Add one record.
   * @param {string} id
   * @param {number} version
   */
  add(id, version) {
    sha256Text(`${id}\0${version}`, hash);
    const low = this.#low + (((hash[4] << 24) | (hash[5] << 16) | (hash[6] << 8) | hash[7]) >>> 0);
    const high =
      this.#high + (((hash[0] << 24) | (hash[1] << 16) | (hash[2] << 8) | hash[3]) >>> 0) + (low >= TWO_32 ? 1 : 0);
    this.#low = low % TWO_32;
    this.#high = high % TWO_32;
    this.count++;
  }

  /** The sum as 16 hex digits. */
  get hex() {
    return this.#high.toString(16).padStart(8, '0') + this.#low.toString(16).padStart(8, '0');
  }
}
