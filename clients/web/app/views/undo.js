/** Taking back what was just done: the op while it still waits, the opposite of it once the server has it. */

import { allows } from '../sync/rights.js';
import { toast } from '../ui/toast.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {{op: 'insert' | 'update' | 'delete', table: string, id: string, before?: Record<string, any>, opId?: number | null}} Done
 *   `before`: of an update the old values of its fields, of a delete the record
 */

/**
 * Return the toast's action that takes an op back.
 * @param {App} app
 * @param {Done} done
 */
export function undoable(app, done) {
  return {
    action: 'Undo',
    onaction: () => void app.attempt(async () => {
      await takeBack(app, done);
      toast('Taken back.');
    }),
  };
}

/**
 * @param {App} app
 * @param {Done} done
 */
async function takeBack(app, { op, table, id, before = {}, opId }) {
  const waiting = await app.moat.overlays('pending');
  const own = waiting.find((overlay) => (opId ? overlay.op_id === opId : overlay.table === table && overlay.id === id && overlay.op === op));
  if (own && await discarded(app, own.op_id)) return;
  const type = app.types.get(table);
  const rights = app.rights(table);
  const may = { insert: rights.delete, update: rights.update, delete: type !== undefined && allows(rights, { op: 'insert', payload: before }, type) }[op];
  if (!may) throw new Error('The server has it already, and your profile does not let you take it back.');
  if (op === 'insert') await app.moat.remove(table, id);
  else if (op === 'update') await app.moat.update(table, id, before);
  else await app.moat.insert(table, Object.fromEntries(Object.entries(before).filter(([name, value]) => name !== 'version' && value !== null)));
}

/**
 * Say whether the op could be dropped; it cannot once it is on its way.
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
