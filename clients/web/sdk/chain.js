/** Pure: the hash chain (docs/spec/chain.md): `state' = sha256(sha256(line) ‖ state)`, and its genesis. */

import { fromHex, sha256, sha256Text, toHex } from './sha256.js';

const pair = new Uint8Array(64);

/**
 * Return the hash of the chain after `lines`, starting at `state` (hex in, hex out).
 * @param {string} state
 * @param {Iterable<string>} lines
 * @returns {string}
 */
export function fold(state, lines) {
  pair.set(fromHex(state), 32);
  for (const line of lines) {
    sha256Text(line, pair, 0);
    sha256(pair, pair, 32);
  }
  return toHex(pair.subarray(32));
}

/**
 * Return the genesis hash of a tenant’s chain, or of one of its filtered channels.
 * @param {string} serverEpoch
 * @param {string} slug
 * @param {string | null} [channelKey]
 * @returns {string}
 */
export function genesis(serverEpoch, slug, channelKey = null) {
  const words = ['moat.v1', serverEpoch, slug];
  if (channelKey !== null) words.push(channelKey);
  return toHex(sha256Text(words.join('\0')));
}
