/**
 * Download a snapshot (docs/spec/protocol.md §8): parts over HTTP, a few at a time, each checked and kept until
 * installed.
 */

import { MoatError } from './errors.js';
import { Sha256, toHex } from './sha256.js';
import { words } from './words.js';

/** Up to this size, keep the assembled file in memory to use the browser’s own hash, which is four times as fast. */
const NATIVE_HASH_BYTES = 256 << 20;

/** @typedef {import('./types.js').Manifest} Manifest */
/** @typedef {import('./storage/parts.js').PartStore} PartStore */
/**
 * @typedef {{
 *   manifest: Manifest, server: string, token: string, parts: PartStore, signal: AbortSignal,
 *   progress: (share: number) => void, fetch?: typeof fetch
 * }} Download
 */

const AT_ONCE = 4;
const ATTEMPTS = 5;

/**
 * Yield the assembled file part by part, in order, while later parts are being downloaded. The returned promise `whole`
 * checks the hash of the file while the caller does other work.
 *
 * Throws `snapshot_gone` (subscribe again), `bad_token`, `network` (try later; parts are kept), or `snapshot` (the data
 * does not match the manifest).
 * @param {Download} download
 * @returns {AsyncGenerator<Uint8Array, {whole: Promise<void>}>}
 */
export async function* snapshotChunks(download) {
  const { manifest, progress } = download;
  const total = manifest.parts.reduce((sum, part) => sum + part.size, 0);
  const whole = hasher(manifest.size);
  /** @type {Promise<Uint8Array>[]} */
  const coming = [];
  let size = 0, received = 0;
  for (let next = 0, number = 0; number < manifest.parts.length; number++) {
    for (; next < manifest.parts.length && next < number + AT_ONCE; next++) {
      const one = fetchPart(download, next);
      one.catch(() => {}); // handled where it is awaited; otherwise an abort would report each pending part
      coming.push(one);
    }
    const packed = await /** @type {Promise<Uint8Array>} */ (coming.shift());
    const chunk = await unpack(packed);
    whole.update(chunk);
    size += chunk.length;
    received += packed.length;
    progress(received / total);
    yield chunk;
  }
  const check = async () => {
    if (size !== manifest.size || (await whole.digest()) !== manifest.sha256)
      throw new MoatError('snapshot', words.wrongFile);
  };
  const checked = check();
  checked.catch(() => {}); // handled where it is awaited
  return { whole: checked };
}

/**
 * @param {number} size
 * @returns {{update: (chunk: Uint8Array) => void, digest: () => Promise<string>}}
 */
function hasher(size) {
  if (size > NATIVE_HASH_BYTES) {
    const hash = new Sha256();
    return { update: (chunk) => void hash.update(chunk), digest: async () => toHex(hash.digest()) };
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  return {
    update: (chunk) => {
      bytes.set(chunk.subarray(0, Math.max(0, size - at)), Math.min(at, size));
      at += chunk.length;
    },
    digest: () => nativeHash(bytes),
  };
}

const nativeHash = async (/** @type {Uint8Array} */ bytes) =>
  toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', /** @type {any} */ (bytes))));

/**
 * @param {Download} download
 * @param {number} number
 * @returns {Promise<Uint8Array>}
 */
async function fetchPart(download, number) {
  const { sha256 } = download.manifest.parts[number];
  const kept = await download.parts.get(sha256);
  if (kept) return kept;
  for (let attempt = 1; ; attempt++) {
    try {
      const data = await request(download, number);
      if ((await nativeHash(data)) !== sha256) throw new MoatError('snapshot', words.wrongPart(number));
      // Stored parts only matter if the download is interrupted, so neither wait for this nor fail with it.
      download.parts.put(sha256, data).catch(() => {});
      return data;
    } catch (error) {
      const final = error instanceof MoatError && error.code !== 'snapshot' && error.code !== 'network';
      if (final || download.signal.aborted || attempt >= ATTEMPTS)
        throw error instanceof MoatError ? error : new MoatError('network', words.interrupted(error));
      await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));
    }
  }
}

/**
 * @param {Download} download
 * @param {number} number
 */
async function request({ manifest, server, token, signal, fetch: get = fetch }, number) {
  const response = await get(`${server}/api/snapshots/${encodeURIComponent(manifest.snapshot)}/parts/${number}`, {
    headers: { Authorization: `Bearer ${token}` }, credentials: 'omit', signal,
  });
  if (response.status === 404 || response.status === 410) throw new MoatError('snapshot_gone', words.snapshotGone);
  if (response.status === 401) throw new MoatError('bad_token', words.unknownDevice);
  if (!response.ok) throw new MoatError('network', words.badStatus(response.status));
  return new Uint8Array(await response.arrayBuffer());
}

/** @param {Uint8Array} packed one gzip member */
async function unpack(packed) {
  const stream = new Blob([/** @type {any} */ (packed)]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
