/**
 * Pure: compute what the user sees of a record: its base row with the pending ops applied in order
 * (docs/spec/replica.md, Local).
 */

import { applyPatch, pointerParts } from './patch.js';

/** @typedef {import('./types.js').RecordValues} RecordValues */
/** @typedef {{op: string, payload: any}} OverlayOp */

/**
 * Return the record with all ops applied, or null if it is deleted.
 *
 * An update of a deleted record shows nothing, a step that no longer fits is skipped, and keys without a column are
 * left out: the op stays in the queue and the server decides. The version is the base row’s, 0 without one.
 * @param {string} id
 * @param {RecordValues | null} base
 * @param {Iterable<OverlayOp>} ops in op order
 * @param {string[]} columns
 * @returns {RecordValues | null}
 */
export function patched(id, base, ops, columns) {
  let record = base;
  for (const { op, payload } of ops) {
    if (op === 'insert') record = payload ?? {};
    else if (op === 'delete') record = null;
    else if (op === 'update' && record) record = applyPatch(record, payload, { lenient: true });
  }
  if (!record) return null;
  const seen = record;
  return {
    ...Object.fromEntries(columns.map((column) => [column, seen[column] ?? null])),
    id,
    version: base?.version ?? 0,
  };
}

/**
 * Return the fields an op touches.
 * @param {OverlayOp} op
 * @returns {string[]}
 */
export function touchedFields({ op, payload }) {
  if (op === 'insert') return Object.keys(payload ?? {});
  if (op === 'update') return [...new Set(/** @type {any[]} */ (payload).map((step) => pointerParts(step.path)[0]))];
  return [];
}
