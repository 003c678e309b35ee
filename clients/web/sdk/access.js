/**
 * Pure: what the user may see and do, as the server last sent it (docs/spec/channels.md §6). Use it to draw screens;
 * only the server decides.
 */

import { canonical } from './canonical.js';

/**
 * @typedef {import('./types.js').Access} Access
 * @typedef {import('./types.js').RecordValues} RecordValues
 */

const SYSTEM_FIELDS = ['object_type', 'status'];

/** The rights on one table. */
export class Rights {
  /**
   * @param {{
   *   create: boolean, update: boolean, delete: boolean, readable?: string[] | null, writable?: string[] | null,
   *   rows?: [string, any[]][], complete?: boolean
   * }} rule `readable` or `writable` null: every field; `complete`: no row rule is hidden from the user
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
   * Return whether the field is shown to this user.
   * @param {string} field
   */
  canRead(field) {
    return !this.readable || this.readable.has(field) || SYSTEM_FIELDS.includes(field);
  }

  /**
   * Return whether the server would accept a change of the field.
   * @param {string} field
   */
  canWrite(field) {
    return this.update && this.#mayHold(field);
  }

  /**
   * Return whether a new record may set the field. Its default value is always allowed.
   * @param {string} field
   */
  canFill(field) {
    return this.create && this.#mayHold(field);
  }

  /**
   * Return the values the field must have for the record to be visible; null if every value is allowed.
   * @param {string} field
   * @returns {any[] | null}
   */
  allowed(field) {
    return this.rows.find(([key]) => key === field)?.[1] ?? null;
  }

  /**
   * Return whether a record with these values stays visible, judging by its own fields only.
   * @param {RecordValues} record
   */
  wouldKeep(record) {
    return this.unmet(record).length === 0;
  }

  /**
   * Return the fields whose values make the record invisible.
   * @param {RecordValues} record
   * @returns {string[]}
   */
  unmet(record) {
    return this.rows
      .filter(
        ([key, values]) =>
          Object.hasOwn(record, key) && !values.some((value) => canonical(value) === canonical(record[key] ?? null)),
      )
      .map(([key]) => key);
  }

  /** @param {string} field */
  #mayHold(field) {
    return this.canRead(field) && (!this.writable || this.writable.has(field));
  }
}

const EVERYTHING = new Rights({ create: true, update: true, delete: true });
const NOTHING = new Rights({ create: false, update: false, delete: false, readable: [], writable: [] });

/**
 * Return the rights on a table: everything if the server sent no rules, nothing if no rule names the table.
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
