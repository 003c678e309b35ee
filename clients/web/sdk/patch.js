/**
 * RFC 6902 patches of records. A record here has every field as a key (null when empty), so at its first level `add`
 * and `replace` both set a field and `remove` empties it; deeper, inside a json field, the RFC holds to the letter.
 */

import { same } from './canonical.js';
import { MoatError } from './errors.js';

/** @typedef {import('./types.js').PatchOp} PatchOp */
/** @typedef {import('./types.js').RecordValues} RecordValues */

const bad = (/** @type {string} */ message) => new MoatError('bad_patch', message);
const clone = (/** @type {any} */ value) => (value === null || typeof value !== 'object' ? value : structuredClone(value));

/**
 * Split a JSON pointer into its unescaped parts.
 * @param {string} pointer
 * @returns {string[]}
 */
export function pointerParts(pointer) {
  if (typeof pointer !== 'string' || (pointer !== '' && !pointer.startsWith('/'))) throw bad(`not a JSON pointer: ${pointer}`);
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
  if (!/^(0|[1-9]\d*)$/.test(part) || Number(part) > limit) throw bad(`no item ${part} in a list of ${list.length}`);
  return Number(part);
}

/**
 * @param {any} target
 * @param {string} part
 * @returns {any}
 */
function child(target, part) {
  if (Array.isArray(target)) return target[index(target, part, target.length - 1)];
  if (target === null || typeof target !== 'object' || !Object.hasOwn(target, part)) throw bad(`nothing at ${part}`);
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
  if (parent === null || typeof parent !== 'object') throw bad(`cannot set ${last} of a plain value`);
  if (last === '__proto__') throw bad('key __proto__ is not allowed');
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
 * @param {PatchOp} op
 */
function applyOne(root, op) {
  const parts = pointerParts(op.path);
  if (!parts.length) throw bad('a patch cannot replace the whole record');
  switch (op.op) {
    case 'add': return write(root, parts, clone(op.value), false);
    case 'replace': return write(root, parts, clone(op.value), true);
    case 'remove': return erase(root, parts);
    case 'copy': return write(root, parts, clone(read(root, pointerParts(op.from ?? ''))), false);
    case 'move': {
      const from = pointerParts(op.from ?? '');
      if (!from.length || (parts.length > from.length && from.every((part, i) => part === parts[i]))) throw bad('cannot move into itself');
      const value = clone(read(root, from));
      erase(root, from);
      return write(root, parts, value, false);
    }
    case 'test':
      if (!same(read(root, parts), op.value)) throw new MoatError('test_failed', `test failed at ${op.path}`);
      return undefined;
    default: throw bad(`unknown operation ${String(op.op)}`);
  }
}

/**
 * Return a new record with the patch applied; the given one is untouched. Throws MoatError.
 * @param {RecordValues} record
 * @param {PatchOp[]} patch
 * @returns {RecordValues}
 */
export function applyPatch(record, patch) {
  const result = { ...record };
  const copied = new Set();
  for (const op of patch) {
    // Only fields a nested path reaches into are copied: most patches set plain values.
    for (const pointer of [op.path, op.from ?? '']) {
      const [field, ...deeper] = pointerParts(pointer);
      if (deeper.length && !copied.has(field)) {
        copied.add(field);
        result[field] = clone(result[field]);
      }
    }
    applyOne(result, op);
  }
  return result;
}

const isObject = (/** @type {any} */ value) => value !== null && typeof value === 'object' && !Array.isArray(value);

/**
 * Go down through objects; a list is replaced as a whole, because the indexes of its items mean nothing to a merge.
 * @param {string} path
 * @param {Record<string, any>} old
 * @param {Record<string, any>} value
 * @param {PatchOp[]} out
 */
function descend(path, old, value, out) {
  for (const key of Object.keys(old)) if (!Object.hasOwn(value, key)) out.push({ op: 'remove', path: `${path}/${escape(key)}` });
  for (const [key, item] of Object.entries(value)) {
    const here = `${path}/${escape(key)}`;
    if (!Object.hasOwn(old, key)) out.push({ op: 'add', path: here, value: item });
    else if (isObject(item) && isObject(old[key])) descend(here, old[key], item, out);
    else if (!same(old[key], item)) out.push({ op: 'replace', path: here, value: item });
  }
}

const size = (/** @type {unknown} */ value) => new TextEncoder().encode(JSON.stringify(value)).length;

/**
 * Return the patch of one changed field: the whole value, or what changed inside an object when that is shorter.
 * @param {string} name
 * @param {any} old
 * @param {any} value
 * @returns {PatchOp[]}
 */
function fieldPatch(name, old, value) {
  const path = `/${escape(name)}`;
  /** @type {PatchOp[]} */
  const whole = [{ op: 'replace', path, value }];
  if (!isObject(old) || !isObject(value) || !Object.keys(old).length) return whole;
  /** @type {PatchOp[]} */
  const nested = [];
  descend(path, old, value, nested);
  return size(nested) < size(whole) ? nested : whole;
}

/**
 * Return the patch that gives `old` the values of `changes` (field → new value); fields it does not name stay.
 * @param {RecordValues} old
 * @param {RecordValues} changes
 * @returns {PatchOp[]}
 */
export function diff(old, changes) {
  return Object.entries(changes).flatMap(([field, value]) => {
    const before = old[field] ?? null, after = value ?? null;
    return same(before, after) ? [] : fieldPatch(field, before, after);
  });
}
