/** Pure: the replica’s tables in memory: their columns, and the conversion between records and rows. */

import { RECORD_COLUMNS, SYSTEM_COLUMNS, SYSTEM_JSON, quote } from './ddl.js';
import { fromCell, toCell } from './values.js';

/** @typedef {import('./types.js').Field} Field */
/** @typedef {import('./types.js').RecordValues} RecordValues */
/** @typedef {import('./sql.js').Value} Value */

/** @typedef {Pick<Field, 'name' | 'kind' | 'decimal_places'>} Codec how a column’s values are stored */

/** @type {Record<string, Codec>} */
const FIXED = {
  id: { name: 'id', kind: 'text' }, version: { name: 'version', kind: 'integer' },
  object_type: { name: 'object_type', kind: 'text' }, status: { name: 'status', kind: 'text' },
};

/** One table of the replica. */
export class Table {
  /**
   * @param {string} name
   * @param {Field[]} fields the published fields, in order; for a system table, its columns after `version`
   * @param {{system?: boolean, objectName?: string}} [more]
   */
  constructor(name, fields, { system = false, objectName = '' } = {}) {
    this.name = name;
    this.objectName = objectName;
    this.system = system;
    this.fields = fields;
    /** @type {Map<string, Field>} */
    this.byName = new Map(fields.map((field) => [field.name, field]));
    const fixed = system ? ['id', 'version'] : RECORD_COLUMNS;
    this.columns = [...fixed, ...fields.map((field) => field.name)];
    this.codecs = [...fixed.map((column) => /** @type {Field} */ (FIXED[column])), ...fields];
    /** @type {RecordValues} */
    this.empty = Object.fromEntries(this.columns.map((column) => [column, null]));
    const list = this.columns.map(quote).join(', ');
    const marks = this.columns.map(() => '?').join(', ');
    const sets = this.columns.slice(1).map((column) => `${quote(column)} = excluded.${quote(column)}`).join(', ');
    const upsert = (/** @type {string} */ table) =>
      `INSERT INTO main.${quote(table)} (${list}) VALUES (${marks}) ON CONFLICT ("id") DO UPDATE SET ${sets}`;
    this.sql = {
      get: `SELECT ${list} FROM main.${quote(name)} WHERE "id" = ?`,
      getPatched: `SELECT ${list} FROM main.${quote(`_patched_${name}`)} WHERE "id" = ?`,
      upsert: upsert(name),
      remove: `DELETE FROM main.${quote(name)} WHERE "id" = ?`,
      upsertPatched: upsert(`_patched_${name}`),
      removePatched: `DELETE FROM main.${quote(`_patched_${name}`)} WHERE "id" = ?`,
    };
  }

  /**
   * @param {RecordValues} record
   * @returns {Value[]}
   */
  toRow(record) {
    return this.codecs.map((field) => toCell(field, record[field.name]));
  }

  /**
   * @param {any[]} row
   * @returns {RecordValues}
   */
  toRecord(row) {
    /** @type {RecordValues} */
    const record = {};
    for (let i = 0; i < row.length; i++) record[this.columns[i]] = fromCell(this.codecs[i], row[i]);
    return record;
  }
}

/** @type {Table[]} */
const SYSTEM_TABLES = Object.entries(SYSTEM_COLUMNS).map(
  ([name, columns]) =>
    new Table(
      name,
      columns
        .slice(2)
        .map(
          (column) =>
            /** @type {Field} */ ({ name: column, label: column, kind: SYSTEM_JSON.has(column) ? 'json' : 'text' }),
        ),
      { system: true },
    ),
);

/** All tables of a replica. */
export class Schema {
  /** @type {Map<string, Table>} */
  tables = new Map(SYSTEM_TABLES.map((table) => [table.name, table]));

  /** The tables of object types. */
  get types() {
    return [...this.tables.values()].filter((table) => !table.system);
  }

  /**
   * Add an object type from `object_metadata`.
   * @param {string} objectName
   * @param {string} tableName
   * @param {Field[]} fields
   */
  set(objectName, tableName, fields) {
    this.tables.set(tableName, new Table(tableName, fields, { objectName }));
  }

  /**
   * Apply a schema command, so that values arriving with it can be stored before `object_metadata` is updated.
   * @param {Record<string, any>} command
   */
  follow(command) {
    const table = this.tables.get(command.table);
    if (command.command === 'create_table') this.set(command.object_name, command.table, command.columns);
    else if (command.command === 'retire_table') this.tables.delete(command.table);
    else if (table) this.set(table.objectName, table.name, changed(table.fields, command));
  }
}

/**
 * @param {Field[]} fields
 * @param {Record<string, any>} command
 * @returns {Field[]}
 */
function changed(fields, command) {
  switch (command.command) {
    case 'add_column': return [...fields, command.column];
    case 'retire_column': return fields.filter((field) => field.name !== command.field);
    case 'widen_column': return fields.map((field) => (field.name === command.field
      ? { ...field, kind: command.kind, decimal_places: command.decimal_places ?? field.decimal_places } : field));
    default: return fields;
  }
}
