/** Fix a rejected edit: the current record, with the edit’s values typed on top. */

import { Edit, defaults } from '../forms/edit.js';
import { fieldsOf, reason, valuesOf } from '../sync/ops.js';
import { forbiddenFields, switchedOff } from '../sync/rights.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').Overlay} Overlay
 * @typedef {{overlay: Overlay, edit: Edit, leftOut: string[], rejected: Map<string, string>}} Fix
 *   `leftOut`: fields the profile does not let the user set; `rejected`: why the server rejected a field
 */

const PREFIX = 'fix:';

/**
 * Return the key of a fix among the drafts. Keys of records contain a `/`.
 * @param {number} opId
 */
export function fixKey(opId) {
  return `${PREFIX}${opId}`;
}

/**
 * Drop drafts of edits that are no longer rejected: resent, discarded, or resolved anywhere.
 * @param {App} app
 * @returns {Promise<boolean>} whether any was dropped
 */
export async function dropFixes({ moat, drafts }) {
  const keys = [...drafts.keys()].filter((key) => key.startsWith(PREFIX));
  if (!keys.length) return false;
  const rejected = new Set((await moat.overlays()).filter(isRejected).map((overlay) => fixKey(overlay.op_id)));
  return keys.filter((key) => !rejected.has(key) && drafts.delete(key)).length > 0;
}

/** @param {Overlay} overlay */
function isRejected({ state }) {
  return state === 'rejected' || state === 'parked';
}

/**
 * Start to fix an edit, or resume its draft; null when it is not rejected (any longer).
 * @param {App} app
 * @param {number} opId
 * @returns {Promise<Fix | null>}
 */
export async function beginFix(app, opId) {
  const overlay = (await app.moat.overlays()).find((one) => one.op_id === opId && isRejected(one));
  const type = overlay && app.types.get(overlay.table);
  if (!overlay || !type) return null;
  const record =
    overlay.op === 'insert'
      ? switchedOff(app.rights(overlay.table), type)
      : ((await app.moat.get(overlay.table, overlay.id)) ?? {});
  const leftOut = forbiddenFields(app.rights(overlay.table), overlay, type);
  const fresh = editOf(type, overlay, record, leftOut);
  const draft = app.drafts.get(fixKey(opId));
  if (draft) {
    draft.use(type);
    draft.rebase(record);
  }
  const { text, field } = reason(type, overlay);
  // The reason no longer applies once the user changed the field.
  const open =
    field &&
    !leftOut.includes(field) &&
    (!draft || JSON.stringify(draft.values[field]) === JSON.stringify(fresh.values[field]));
  return { overlay, edit: draft ?? fresh, leftOut, rejected: new Map(open ? [[field, text]] : []) };
}

/**
 * @param {ObjectType} type
 * @param {Overlay} overlay
 * @param {Record<string, any>} record
 * @param {string[]} leftOut
 */
function editOf(type, overlay, record, leftOut) {
  const known = fieldsOf(type);
  const edit = new Edit(type, record, { isNew: overlay.op === 'insert' });
  for (const [name, value] of Object.entries(valuesOf(overlay, record)))
    if (known.has(name) && !leftOut.includes(name)) edit.set(name, value);
  return edit;
}

/**
 * Resend a rejected edit with its current values.
 * @param {App} app
 * @param {Fix} fix
 */
export async function endFix({ moat }, fix) {
  return moat.retry(fix.overlay.op_id, fixedValues(fix));
}

/**
 * Return what an edit sets once fixed. Undefined removes a value that the edit set before. Fields that the profile
 * forbids get their default in a new record, which every profile may send.
 * @param {Fix} fix
 * @returns {Record<string, any>}
 */
export function fixedValues({ overlay, edit, leftOut }) {
  const wanted = edit.result();
  const preset = overlay.op === 'insert' ? defaults(edit.type) : {};
  const names = new Set([...Object.keys(valuesOf(overlay)), ...Object.keys(wanted)]);
  return Object.fromEntries([...names].map((name) => [name, leftOut.includes(name) ? preset[name] : wanted[name]]));
}
