/** What the person's security profile lets them do. The server enforces it; this only keeps the app from offering what would be refused. */

import { ALL_RIGHTS } from '../forms/plan.js';

/**
 * @typedef {import('../forms/plan.js').Rights & {insert: boolean, update: boolean, delete: boolean}} TableRights
 */

/** @type {TableRights} */
const EVERYTHING = { ...ALL_RIGHTS, insert: true, update: true, delete: true };

/**
 * Return the rights on one table. A profile is synced as its name, or with `rights`: table → what is allowed; a type or field that may
 * not be read is not on this device at all.
 * @param {any} profile as in `status().profile`
 * @param {string} table
 * @returns {TableRights}
 */
export function rightsOn(profile, table) {
  const rights = profile?.rights?.[table];
  if (!rights) return EVERYTHING;
  const update = rights.update !== false;
  return {
    readable: (field) => !rights.hidden?.includes(field),
    writable: (field) => (update || rights.insert !== false) && !rights.read_only?.includes(field),
    insert: rights.insert !== false,
    update,
    delete: rights.delete !== false,
  };
}
