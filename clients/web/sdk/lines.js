/**
 * Pure: parse and build frames and change lines: NDJSON whose first line is the envelope (docs/spec/protocol.md §1,
 * §2).
 */

import { MoatError } from './errors.js';
import { words } from './words.js';

/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Envelope} Envelope */

/**
 * Split a text frame into its envelope and data lines. Lines stay text because the chain hashes them unchanged.
 * @param {string} text
 * @returns {{envelope: Envelope, lines: string[]}}
 */
export function parseFrame(text) {
  const [first, ...lines] = text.split('\n');
  const envelope = parseObject(first);
  if (typeof envelope.type !== 'string') throw new MoatError('malformed', words.frameWithoutType);
  return { envelope: /** @type {Envelope} */ (envelope), lines };
}

/**
 * Return the text frame of an envelope and its data lines.
 * @param {Envelope} envelope
 * @param {unknown[]} [data]
 * @returns {string}
 */
export function makeFrame(envelope, data = []) {
  return [envelope, ...data].map((line) => JSON.stringify(line)).join('\n');
}

/**
 * Decode change lines. Parsing them as one JSON text costs half as much as parsing each. Throws `malformed`.
 * @param {string[]} lines
 * @returns {Change[]}
 */
export function parseChanges(lines) {
  const changes = parse(`[${lines.join(',')}]`);
  if (changes.length !== lines.length || !changes.every(isChange))
    throw new MoatError('malformed', words.badChangeLine);
  return changes;
}

/** @param {any} change */
const isChange = (change) =>
  change !== null &&
  typeof change === 'object' &&
  Number.isSafeInteger(change.cursor) &&
  typeof change.table === 'string' &&
  typeof change.id === 'string' &&
  typeof change.op === 'string' &&
  Number.isSafeInteger(change.version);

/**
 * Split a binary frame into its JSON header and its bytes.
 * @param {ArrayBuffer} buffer
 * @returns {{header: Record<string, any>, bytes: Uint8Array}}
 */
export function parseBinary(buffer) {
  const size = buffer.byteLength >= 4 ? new DataView(buffer).getUint32(0) : Infinity;
  if (4 + size > buffer.byteLength) throw new MoatError('malformed', words.frameWithoutHeader);
  const header = parseObject(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  return { header, bytes: new Uint8Array(buffer, 4 + size) };
}

/**
 * @param {string} text
 * @returns {any}
 */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new MoatError('malformed', words.invalidJson);
  }
}

/**
 * @param {string} text
 * @returns {Record<string, any>}
 */
function parseObject(text) {
  const value = parse(text);
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new MoatError('malformed', words.notAnObject);
  return value;
}
