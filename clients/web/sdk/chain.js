/** The chain (docs/spec/chain.md): `state' = sha256(sha256(line) ‖ state)`, and where it begins. */

import { fromHex, sha256, toHex } from './sha256.js';

const encoder = new TextEncoder();
const pair = new Uint8Array(64);
const lineHash = pair.subarray(0, 32);
let scratch = new Uint8Array(4096);

/**
 * Return the UTF-8 bytes of a string, in a buffer that the next call overwrites.
 * @param {string} text
 * @returns {Uint8Array}
 */
export function utf8(text) {
  if (scratch.length < text.length * 3) scratch = new Uint8Array(text.length * 3);
  return scratch.subarray(0, encoder.encodeInto(text, scratch).written);
}

/**
 * Return the hash of the chain after `lines`, starting at `state` (hex in, hex out).
 * @param {string} state
 * @param {Iterable<string>} lines
 * @returns {string}
 */
export function fold(state, lines) {
  const current = fromHex(state);
  for (const line of lines) {
    sha256(utf8(line), lineHash);
    pair.set(current, 32);
    sha256(pair, current);
  }
  return toHex(current);
}

/**
 * Return where a chain begins: of the tenant itself, or of one of its filtered channels.
 * @param {string} serverEpoch
 * @param {string} slug
 * @param {string | null} [channelKey]
 * @returns {string}
 */
export function genesis(serverEpoch, slug, channelKey = null) {
  const words = ['moat.v1', serverEpoch, slug];
  if (channelKey !== null) words.push(channelKey);
  return toHex(sha256(utf8(words.join('\0'))));
}
