/**
 * Pure: RFC 6902 patches of records.
 *
 * A record has every field as a key (null if empty). So at the first level `add` and `replace` both set a field, and
 * `remove` empties it; deeper, inside a json field, the RFC applies literally. The wire and the overlays use only these
 * three operations; `plain` rewrites `move`, `copy` and `test`.
 */

import { same } from './canonical.js';
import { MoatError } from './errors.js';
import { words } from './words.js';

/** @typedef {import('./types.js').PatchOp} PatchOp */
/** @typedef {import('./types.js').RecordValues} RecordValues */

const bad = (/** @type {string} */ message) => new MoatError('bad_patch', message);
const clone = (/** @type {any} */ value) =>
  value === null || typeof value !== 'object' ? value : structuredClone(value);

/**
 * Split a JSON Pointer into its unescaped parts. Throws `bad_patch`.
 * @param {string} pointer
 * @returns {string[]}
 */
export function pointerParts(pointer) {
  if (typeof pointer !== 'string' || (pointer !== '' && !pointer.startsWith('/'))) throw bad(words.badPointer(pointer));
  return pointer.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

const escape = (/** @type {string | number} */ part) => String(part).replaceAll('~', '~0').replaceAll('/', '~1');

/**
 * @param {any[]} list
 * @param {string} part
 * @param {number} limit highest index allowed
 */
function index(list, part, limit) {
  if (part === '-') return list.length;
  if (!/^(0|[1-9]\d*)$/.test(part) || Number(part) > limit) throw bad(words.noItem(part, list.length));
  return Number(part);
}

/**
 * @param {any} target
 * @param {string} part
 * @returns {any}
 */
function child(target, part) {
  if (Array.isArray(target)) return target[index(target, part, target.length - 1)];
  if (target === null || typeof target !== 'object' || !Object.hasOwn(target, part)) throw bad(words.noPath(part));
  return target[part];
}

/**
 * @param {any} root
 * @param {string[]} parts
 * @returns {any}
 */
const read = (root, parts) => parts.reduce(child, root);

/**
 * @param {any} root
 * @param {string[]} parts
 * @param {any} value
 * @param {boolean} mustExist
 */
function write(root, parts, value, mustExist) {
  const last = parts[parts.length - 1];
  const parent = read(root, parts.slice(0, -1));
  if (Array.isArray(parent)) {
    if (mustExist) parent[index(parent, last, parent.length - 1)] = value;
    else parent.splice(index(parent, last, parent.length), 0, value);
    return;
  }
  if (mustExist && parts.length > 1) child(parent, last);
  if (parent === null || typeof parent !== 'object') throw bad(words.notAContainer(last));
  if (last === '__proto__') throw bad(words.protoKey);
  parent[last] = value;
}

/**
 * @param {any} root
 * @param {string[]} parts
 */
function erase(root, parts) {
  const last = parts[parts.length - 1];
  if (parts.length === 1) {
    root[last] = null;
    return;
  }
  const parent = read(root, parts.slice(0, -1));
  child(parent, last);
  if (Array.isArray(parent)) parent.splice(index(parent, last, parent.length - 1), 1);
  else delete parent[last];
}

/**
 * @param {any} root
 * @param {PatchOp} step
 */
function applyOne(root, step) {
  const parts = pointerParts(step.path);
  if (!parts.length) throw bad(words.wholeRecord);
  if (step.op === 'remove') return erase(root, parts);
  if (step.op !== 'add' && step.op !== 'replace') throw bad(words.unsupportedStep(step.op));
  if (!Object.hasOwn(step, 'value')) throw bad(words.valueMissing(step.op));
  return write(root, parts, clone(step.value), step.op === 'replace');
}

/**
 * Return a new record with the patch applied.
 *
 * Throws `bad_patch`. With `lenient`, a step that does not fit is skipped instead: an overlay must keep showing what it
 * can while the row below it changes.
 * @param {RecordValues} record
 * @param {PatchOp[]} patch
 * @param {{lenient?: boolean}} [options]
 * @returns {RecordValues}
 */
export function applyPatch(record, patch, { lenient = false } = {}) {
  const result = { ...record };
  const copied = new Set();
  for (const step of patch) {
    try {
      // Copy only the fields a nested path modifies: most patches set plain values.
      const [field, ...deeper] = pointerParts(step.path);
      if (deeper.length && !copied.has(field)) {
        copied.add(field);
        result[field] = clone(result[field]);
      }
      applyOne(result, step);
    } catch (error) {
      if (!lenient || !(error instanceof MoatError)) throw error;
    }
  }
  return result;
}

/**
 * Return an equivalent patch of add, replace, and remove only. Throws `bad_patch`, or `test_failed` if a test does not
 * hold.
 * @param {RecordValues} record the patch applies to
 * @param {PatchOp[]} patch
 * @returns {PatchOp[]}
 */
export function plain(record, patch) {
  /** @type {PatchOp[]} */
  const out = [];
  let seen = record;
  for (const step of patch) {
    const steps = plainStep(seen, step);
    seen = applyPatch(seen, steps);
    out.push(...steps);
  }
  return out;
}

/**
 * @param {RecordValues} seen
 * @param {PatchOp} step
 * @returns {PatchOp[]}
 */
function plainStep(seen, step) {
  if (step.op === 'test') {
    if (!same(read(seen, pointerParts(step.path)), step.value))
      throw new MoatError('test_failed', words.testFailed(step.path));
    return [];
  }
  if (step.op !== 'copy' && step.op !== 'move') return [step];
  const from = pointerParts(step.from ?? ''), to = pointerParts(step.path);
  if (!from.length) throw bad(words.fromMissing);
  /** @type {PatchOp} */
  const add = { op: 'add', path: step.path, value: read(seen, from) };
  if (step.op === 'copy') return [add];
  if (to.length > from.length && from.every((part, i) => part === to[i])) throw bad(words.moveIntoItself);
  return [{ op: 'remove', path: step.from ?? '' }, add];
}

const isObject = (/** @type {any} */ value) => value !== null && typeof value === 'object' && !Array.isArray(value);

/**
 * Compare objects key by key. A list is replaced as a whole, because its indexes mean nothing to a merge.
 * @param {string} path
 * @param {any} old
 * @param {any} value
 * @param {PatchOp[]} out
 */
function descend(path, old, value, out) {
  if (!isObject(old) || !isObject(value)) {
    if (!same(old, value)) out.push({ op: 'replace', path, value });
    return;
  }
  const gone = Object.keys(old).filter((key) => !Object.hasOwn(value, key)).sort();
  for (const key of gone) out.push({ op: 'remove', path: `${path}/${escape(key)}` });
  for (const [key, item] of Object.entries(value)) {
    const here = `${path}/${escape(key)}`;
    if (Object.hasOwn(old, key)) descend(here, old[key], item, out);
    else out.push({ op: 'add', path: here, value: item });
  }
}

/**
 * Return the patch that sets `changes` (field → new value) on `old`; other fields stay. Inside a json field it names
 * only what changed, so that two people can change different keys.
 * @param {RecordValues} old
 * @param {RecordValues} changes
 * @returns {PatchOp[]}
 */
export function diff(old, changes) {
  /** @type {PatchOp[]} */
  const out = [];
  for (const [field, value] of Object.entries(changes))
    descend(`/${escape(field)}`, old[field] ?? null, value ?? null, out);
  return out;
}
