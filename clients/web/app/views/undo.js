/** Undo the latest action: discard the op while it waits, or send its inverse once the server has it. */

import { fieldsOf } from '../sync/ops.js';
import { allows } from '../sync/rights.js';
import { toast } from '../ui/toast.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {{op: 'insert' | 'update' | 'delete', table: string, id: string, before?: Record<string, any>,
 *   opId?: number | null}} Done
 *   `before`: the old values of an update’s fields, or the deleted record
 */

// States of edits that the server has not accepted and will not accept as they are.
const FAILED = new Set(['conflict', 'rejected', 'parked']);

/**
 * Show what was done, with an Undo button. If the edit is rejected, the message is removed.
 * @param {App} app
 * @param {string} text
 * @param {Done} done
 */
export function toastWithUndo(app, text, done) {
  const onaction = () =>
    void app.attempt(async () => {
      await undo(app, done);
      toast(words.undo.done);
    });
  const close = toast(text, { action: words.undo.undo, onaction, onclose: () => stop() });
  const stop = app.on('overlays', async () => {
    const overlays = await app.moat.overlays().catch(() => []);
    if (overlays.some((overlay) => FAILED.has(overlay.state) && isOf(overlay, done))) close();
  });
}

/**
 * Return whether an overlay holds what was done.
 * @param {import('../../sdk/index.js').Overlay} overlay
 * @param {Done} done
 */
function isOf(overlay, { op, table, id, opId }) {
  return opId ? overlay.op_id === opId : overlay.table === table && overlay.id === id && overlay.op === op;
}

/**
 * @param {App} app
 * @param {Done} done
 */
async function undo(app, done) {
  const { op, table, id, before = {} } = done;
  const waiting = await app.moat.overlays('pending');
  const own = waiting.find((overlay) => isOf(overlay, done));
  if (own && (await discarded(app, own.op_id))) return;
  const type = app.types.get(table);
  const rights = app.rights(table);
  const may = {
    insert: rights.delete,
    update: rights.update,
    delete: type !== undefined && allows(rights, { op: 'insert', payload: before }, type),
  }[op];
  if (!may) throw new Error(words.undo.notAllowed);
  if (op === 'insert') await app.moat.remove(table, id);
  else if (op === 'update') await app.moat.update(table, id, before);
  else await app.moat.insert(table, restored(type, before));
}

/**
 * Return the values that restore a deleted record, for fields the type still has. Nulls are included, so that the
 * server does not fill in defaults.
 * @param {import('../../sdk/index.js').ObjectType | undefined} type
 * @param {Record<string, any>} before
 */
export function restored(type, before) {
  const known = fieldsOf(type);
  return Object.fromEntries(Object.entries(before).filter(([name]) => name === 'id' || known.has(name)));
}

/**
 * Discard an op. Return false if it is already on its way.
 * @param {App} app
 * @param {number} opId
 */
async function discarded(app, opId) {
  try {
    await app.moat.discard(opId);
    return true;
  } catch (error) {
    if (['sending', 'not_found'].includes(/** @type {any} */ (error).code)) return false;
    throw error;
  }
}
