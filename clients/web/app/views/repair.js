/** Repairing an edit that was refused: the record as it is, with what the edit set typed on top. */

import { Edit } from '../forms/edit.js';
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
 * Send a refused edit as it is now. A change of fields that would be refused again becomes a new one without them.
 * @param {App} app
 * @param {Repair} repair
 */
export async function endRepair({ moat }, { overlay, edit, leftOut }) {
  const values = edit.result();
  if (overlay.op === 'insert' || !leftOut.length) return moat.retry(overlay.op_id, values);
  await moat.update(overlay.table, overlay.id, values);
  return moat.discard(overlay.op_id);
}
