/** Shared state of all views: the replica, the types and layouts, the status, and drafts. Views subscribe to topics. */

import { containing } from '../sdk/index.js';
import { titleField, titleOf } from './forms/titles.js';
import { address } from './router.js';
import { canCreate, formRights } from './sync/rights.js';
import { toast } from './ui/toast.js';
import { dropFixes } from './views/fix.js';

/**
 * @typedef {import('../sdk/index.js').Moat} Moat
 * @typedef {import('../sdk/index.js').Changed} Changed
 * @typedef {import('../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../sdk/index.js').Field} Field
 * @typedef {import('../sdk/index.js').Layout} Layout
 * @typedef {import('../sdk/index.js').Status} Status
 * @typedef {import('./forms/edit.js').Edit} Edit
 * @typedef {'definitions' | 'status' | 'changed' | 'overlays' | 'drafts' | 'rights'} Topic
 */

const SYSTEM = ['object_metadata', 'layout_definition'];
const FOUND = 30;

/** @param {string} name */
const quote = (name) => `"${name.replaceAll('"', '""')}"`;

export class App {
  /** @param {Moat} moat */
  constructor(moat) {
    this.moat = moat;
    /** @type {Map<string, ObjectType>} by table name, sorted by label */
    this.types = new Map();
    /** @type {Layout[]} */
    this.layouts = [];
    /** Whether the definitions changed since they were last read. */
    this.stale = false;
    this.status = moat.status();
    /** @type {boolean | null} whether the browser promised to keep the data; null until it was asked */
    this.kept = null;
    /** @type {Map<string, Edit>} unsaved edits by `table/id`, or by `fixKey`; they survive navigation in the app */
    this.drafts = new Map();
    /** @type {Map<Topic, Set<(detail: any) => void>>} */
    this.listeners = new Map();
    moat.onStatus((status) => this.onStatus(status));
    moat.onChange((changed) => void this.onChange(changed));
  }

  /** Read the definitions for the first time. */
  async start() {
    await this.readDefinitions();
    this.emit('definitions');
    if (this.status.user) void this.keep();
  }

  /** Ask the browser not to delete the data when storage runs low. */
  async keep() {
    this.kept = await this.moat.persist().catch(() => false);
    this.emit('status', { status: this.status, before: this.status });
    return this.kept;
  }

  /**
   * Subscribe to a topic. Call the returned function to unsubscribe.
   * @param {Topic} topic
   * @param {(detail: any) => void} listener
   * @returns {() => void}
   */
  on(topic, listener) {
    const set = this.listeners.get(topic) ?? new Set();
    this.listeners.set(topic, set.add(listener));
    return () => void set.delete(listener);
  }

  /**
   * @param {Topic} topic
   * @param {any} [detail]
   */
  emit(topic, detail) {
    for (const listener of [...(this.listeners.get(topic) ?? [])]) listener(detail);
  }

  /** @param {Status} status */
  onStatus(status) {
    const before = this.status;
    this.status = status;
    this.emit('status', { status, before });
    if (JSON.stringify(status.access) !== JSON.stringify(before.access)) this.emit('rights');
  }

  /** @param {Changed} changed */
  async onChange(changed) {
    this.stale ||= SYSTEM.some((name) => name in changed);
    // If reading fails, the known definitions stay in use and the next change tries again.
    if (this.stale && (await this.readAgain())) this.emit('definitions');
    if ('overlays' in changed) this.emit('overlays');
    this.emit('changed', changed);
    if ('overlays' in changed && (await dropFixes(this).catch(() => false))) this.emit('drafts');
  }

  async readDefinitions() {
    const [types, layouts] = await Promise.all([this.moat.objects(), this.moat.layouts()]);
    this.types = new Map(types.map((type) => [type.table_name, type]));
    this.layouts = layouts;
  }

  /** @returns {Promise<boolean>} whether reading succeeded */
  async readAgain() {
    this.stale = false;
    try {
      await this.readDefinitions();
      return true;
    } catch {
      this.stale = true;
      return false;
    }
  }

  /** @param {string} table */
  rights(table) {
    return this.moat.rights(table);
  }

  /** @param {string} table */
  canCreate(table) {
    const type = this.types.get(table);
    return type !== undefined && canCreate(this.rights(table), type);
  }

  /**
   * Return what a form of a type may show and change.
   * @param {ObjectType} type
   * @param {boolean} isNew
   */
  formRights(type, isNew) {
    return formRights(this.rights(type.table_name), type, { isNew, types: this.types });
  }

  /**
   * Return the title of a record, or its ID.
   * @param {ObjectType | undefined} type
   * @param {Record<string, any> | null | undefined} record
   */
  titleOf(type, record) {
    return titleOf(type, record);
  }

  /** Queries of the reference widgets. */
  references = {
    /**
     * @param {Field} field
     * @param {string} text
     */
    search: async (field, text) => {
      const type = this.types.get(field.reference_table ?? '');
      if (!type) return [];
      const title = quote(titleField(type) ?? 'id');
      const words = text
        .trim()
        .split(/\s+/)
        .filter(Boolean)
        .map((word) => containing([title, '"id"'], word));
      const where = words.map(({ sql }) => sql).join(' AND ');
      const sql = [
        `SELECT "id", coalesce(${title}, "id") AS "title" FROM ${quote(type.table_name)}`,
        where && `WHERE ${where}`,
        `ORDER BY ${title}, "id" LIMIT ${FOUND}`,
      ].join(' ');
      const rows = await this.moat.query(
        sql,
        words.flatMap(({ params }) => params),
      );
      return rows.map((row) => ({ id: String(row.id), title: String(row.title) }));
    },
    /**
     * @param {Field} field
     * @param {string} id
     */
    title: async (field, id) => {
      const type = this.types.get(field.reference_table ?? '');
      return type ? this.titleOf(type, (await this.moat.get(type.table_name, id)) ?? { id }) : id;
    },
    /**
     * @param {Field} field
     * @param {string} id
     */
    open: (field, id) =>
      field.reference_table && this.types.has(field.reference_table)
        ? address({ page: 'record', table: field.reference_table, id })
        : null,
  };

  /**
   * Run an action of the user. If it fails, show why instead of failing silently.
   * @param {() => Promise<any>} work
   * @returns {Promise<boolean>} whether it worked
   */
  async attempt(work) {
    try {
      await work();
      return true;
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), { tone: 'bad' });
      return false;
    }
  }
}
