/** Pure: fold change lines into one write per record. A record changed a hundred times in a frame is written once. */

import { MoatError } from './errors.js';
import { applyPatch, pointerParts } from './patch.js';
import { words } from './words.js';

/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').RecordValues} RecordValues */
/**
 * @typedef {(table: string, id: string, field: string) => any} Current value of a json field that a nested patch starts
 *   from; undefined if this replica has no such column
 * @typedef {(table: string, id: string) => number | null} Known version of a base row, null if there is none
 */

/** The result for one table: whole new rows, changed fields of existing rows, and IDs of deleted rows. */
export class Folded {
  /** @type {Map<string, RecordValues>} */
  rows = new Map();
  /** @type {Map<string, RecordValues>} */
  patches = new Map();
  /** @type {Set<string>} */
  gone = new Set();
}

/**
 * Fold decoded change lines, in order, by table and record.
 *
 * `known` is given only after a repair, which may have fetched rows newer than these lines: lines that the replica
 * already holds are skipped, and so are updates of records that a later line deletes. Throws `diverged` if lines
 * contradict each other.
 * @param {Change[]} changes whose payloads the fold may keep and modify
 * @param {Current} current
 * @param {Known | null} [known]
 * @returns {Map<string, Folded>}
 */
export function foldChanges(changes, current, known = null) {
  /** @type {Map<string, Folded>} */
  const tables = new Map();
  for (const change of changes) {
    let folded = tables.get(change.table);
    if (!folded) tables.set(change.table, folded = new Folded());
    if (known && isApplied(folded, change, known)) continue;
    const { id, op, payload } = change;
    if (op === 'update') {
      foldUpdate(folded, change, current);
    } else if (op === 'insert') {
      payload.id = id;
      payload.version = change.version;
      folded.rows.set(id, payload);
      folded.patches.delete(id);
      folded.gone.delete(id);
    } else if (op === 'delete' || op === 'evict') {
      folded.rows.delete(id);
      folded.patches.delete(id);
      folded.gone.add(id);
    } else {
      throw new MoatError('malformed', words.unknownOp(op));
    }
  }
  return tables;
}

/**
 * @param {Folded} folded
 * @param {Change} change
 * @param {Current} current
 */
function foldUpdate(folded, { table, id, version, payload }, current) {
  let target = folded.rows.get(id);
  if (!target) {
    if (folded.gone.has(id)) throw new MoatError('diverged', words.changedAfterDelete(table, id));
    target = folded.patches.get(id);
    if (!target) folded.patches.set(id, target = {});
  }
  target.version = version;
  for (const step of payload) {
    const name = step.path.slice(1);
    if (name.includes('/') || name.includes('~'))
      foldNested(target, folded.rows.has(id), step, () => current(table, id, pointerParts(step.path)[0]));
    else target[name] = step.op === 'remove' ? null : step.value;
  }
}

/**
 * @param {RecordValues} target
 * @param {boolean} whole whether `target` is a complete record
 * @param {import('./types.js').PatchOp} step
 * @param {() => any} read the field from the base row
 */
function foldNested(target, whole, step, read) {
  const [name] = pointerParts(step.path);
  const value = Object.hasOwn(target, name) ? target[name] : whole ? null : read();
  if (value !== undefined) target[name] = applyPatch({ [name]: value }, [step])[name];
}

/**
 * @param {Folded} folded
 * @param {Change} change
 * @param {Known} known
 */
function isApplied(folded, { table, id, op, version }, known) {
  const here = folded.rows.get(id) ?? folded.patches.get(id);
  const have = here ? here.version : folded.gone.has(id) ? null : known(table, id);
  // A later line deleted the record. Before that line, only an update expects the record to exist.
  return have === null ? op === 'update' : have >= version;
}
