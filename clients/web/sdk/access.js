/** PURE: what the user may see and do, as the server last said (docs/spec/channels.md §6); for drawing screens. The server alone decides. */

import { canonical } from './canonical.js';

/**
 * @typedef {import('./types.js').Access} Access
 * @typedef {import('./types.js').RecordValues} RecordValues
 */

const SYSTEM_FIELDS = ['object_type', 'status'];

/** The rights on one table. */
export class Rights {
  /**
   * @param {{create: boolean, update: boolean, delete: boolean, readable?: string[] | null, writable?: string[] | null, rows?: [string, any[]][], complete?: boolean}} rule
   *   null as `readable` or `writable` means every field; `complete`: no row rule is hidden from the user
   */
  constructor({ create, update, delete: remove, readable = null, writable = null, rows = [], complete = true }) {
    this.create = create;
    this.update = update;
    this.delete = remove;
    this.readable = readable && new Set(readable);
    this.writable = writable && new Set(writable);
    this.rows = rows;
    this.complete = complete;
  }

  /**
   * Say whether the field is shown to this user.
   * @param {string} field
   */
  canRead(field) {
    return !this.readable || this.readable.has(field) || SYSTEM_FIELDS.includes(field);
  }

  /**
   * Say whether the server would take a change of the field.
   * @param {string} field
   */
  canWrite(field) {
    return this.update && this.#mayHold(field);
  }

  /**
   * Say whether a new record may come with a value of its own in the field; its default it may always have.
   * @param {string} field
   */
  canFill(field) {
    return this.create && this.#mayHold(field);
  }

  /**
   * Return the values a field of the record itself must have for the record to be seen; null when any will do.
   * @param {string} field
   * @returns {any[] | null}
   */
  allowed(field) {
    return this.rows.find(([key]) => key === field)?.[1] ?? null;
  }

  /**
   * Say whether a record with these values would stay in sight, as far as its own fields tell.
   * @param {RecordValues} record
   */
  wouldKeep(record) {
    return this.unmet(record).length === 0;
  }

  /**
   * Return the fields whose values take the record out of sight.
   * @param {RecordValues} record
   * @returns {string[]}
   */
  unmet(record) {
    return this.rows.filter(([key, values]) => Object.hasOwn(record, key) && !values.some((value) => canonical(value) === canonical(record[key] ?? null))).map(([key]) => key);
  }

  /** @param {string} field */
  #mayHold(field) {
    return this.canRead(field) && (!this.writable || this.writable.has(field));
  }
}

const EVERYTHING = new Rights({ create: true, update: true, delete: true });
const NOTHING = new Rights({ create: false, update: false, delete: false, readable: [], writable: [] });

/**
 * Return the rights on a table from what the server said: everything when it named no rules, nothing for a table without one.
 * @param {Access | null | undefined} access
 * @param {string} table
 * @returns {Rights}
 */
export function rightsOf(access, table) {
  if (!Array.isArray(access?.rules)) return EVERYTHING;
  const rule = access.rules.find((one) => one.table === table);
  if (!rule) return NOTHING;
  const verbs = rule.verbs ?? [];
  return new Rights({
    create: verbs.includes('create'), update: verbs.includes('update'), delete: verbs.includes('delete'),
    readable: rule.readable, writable: rule.writable, rows: rule.rows ?? [], complete: rule.rows_complete !== false,
  });
}
