/** Repairing an edit that was refused: the record as it is, with what the edit set typed on top. */

import { Edit, defaults } from '../forms/edit.js';
import { fieldsOf, reason, valuesOf } from '../sync/ops.js';
import { forbiddenFields } from '../sync/rights.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/types.js').Overlay} Overlay
 * @typedef {{overlay: Overlay, edit: Edit, leftOut: string[], refused: Map<string, string>}} Repair
 *   `leftOut`: fields the profile does not let the person set; `refused`: what the server said against a field
 */

/**
 * Begin to repair an edit; null when it is not refused (any more).
 * @param {App} app
 * @param {number} opId
 * @returns {Promise<Repair | null>}
 */
export async function beginRepair(app, opId) {
  const overlay = (await app.moat.overlays()).find((one) => one.op_id === opId && (one.state === 'rejected' || one.state === 'parked'));
  const type = overlay && app.types.get(overlay.table);
  if (!overlay || !type) return null;
  const record = overlay.op === 'insert' ? {} : await app.moat.get(overlay.table, overlay.id) ?? {};
  const known = fieldsOf(type);
  const leftOut = forbiddenFields(app.rights(overlay.table), overlay, type);
  const edit = new Edit(type, record, { isNew: overlay.op === 'insert' });
  for (const [name, value] of Object.entries(valuesOf(overlay, record))) if (known.has(name) && !leftOut.includes(name)) edit.set(name, value);
  const { text, field } = reason(type, overlay);
  return { overlay, edit, leftOut, refused: new Map(field && !leftOut.includes(field) ? [[field, text]] : []) };
}

/**
 * Send a refused edit as it is now.
 * @param {App} app
 * @param {Repair} repair
 */
export async function endRepair({ moat }, repair) {
  return moat.retry(repair.overlay.op_id, repaired(repair));
}

/**
 * Return what an edit sets after its repair. What it set before and does not any more is undefined, which takes it out; what the
 * profile forbids falls back to the default in a new record, which everybody may send.
 * @param {Repair} repair
 * @returns {Record<string, any>}
 */
export function repaired({ overlay, edit, leftOut }) {
  const wanted = edit.result();
  const preset = overlay.op === 'insert' ? defaults(edit.type) : {};
  const names = new Set([...Object.keys(valuesOf(overlay)), ...Object.keys(wanted)]);
  return Object.fromEntries([...names].map((name) => [name, leftOut.includes(name) ? preset[name] : wanted[name]]));
}
