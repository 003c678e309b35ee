/** Pure: the replica’s SQL: tables, live views, and the statements of schema commands (docs/spec/replica.md). */

import { toCell } from './values.js';
import { MoatError } from './errors.js';
import { words } from './words.js';

/** @typedef {import('./types.js').Field} Field */

export const APPLICATION_ID = 0x4d4f4154;
export const USER_VERSION = 1;

/** Columns that precede the fields in every record of an object type. */
export const RECORD_COLUMNS = ['id', 'version', 'object_type', 'status'];

/** @type {Record<string, string[]>} columns of the system tables that sync, and which of them hold JSON */
export const SYSTEM_COLUMNS = {
  object_metadata: [
    'id',
    'version',
    'table_name',
    'label',
    'label_plural',
    'icon',
    'title_field',
    'conflict_policy',
    'subtypes',
    'statuses',
    'fields',
    'json_schema',
  ],
  layout_definition: ['id', 'version', 'object_name', 'object_type', 'status', 'label', 'layout_json'],
};
export const SYSTEM_JSON = new Set(['subtypes', 'statuses', 'fields', 'json_schema', 'layout_json']);

const LOCAL_NAMES = new Set(['object_metadata', 'layout_definition', 'sync_state', 'overlays', 'device_state']);

export const SYSTEM_TABLES_SQL = [
  'CREATE TABLE "object_metadata" ("id" TEXT PRIMARY KEY NOT NULL, "version" INTEGER NOT NULL, "table_name" TEXT, ' +
    '"label" TEXT, "label_plural" TEXT, "icon" TEXT, "title_field" TEXT, "conflict_policy" TEXT, ' +
    '"subtypes" TEXT, "statuses" TEXT, "fields" TEXT, "json_schema" TEXT)',
  'CREATE TABLE "layout_definition" ("id" TEXT PRIMARY KEY NOT NULL, "version" INTEGER NOT NULL, "object_name" TEXT, ' +
    '"object_type" TEXT, "status" TEXT, "label" TEXT, "layout_json" TEXT)',
  'CREATE TABLE "sync_state" ("id" INTEGER PRIMARY KEY CHECK ("id" = 1), "tenant" TEXT NOT NULL, ' +
    '"channel" TEXT NOT NULL, "cursor" INTEGER NOT NULL, "state_hash" TEXT NOT NULL, ' +
    '"schema_version" INTEGER NOT NULL, "server_epoch" TEXT NOT NULL)',
];

export const LOCAL_TABLES_SQL = [
  'CREATE TABLE "overlays" ("op_id" INTEGER PRIMARY KEY, "tx" TEXT, "table_name" TEXT NOT NULL, ' +
    '"record_id" TEXT NOT NULL, "op" TEXT NOT NULL, "payload" TEXT, "base_version" INTEGER NOT NULL, ' +
    '"schema_version" INTEGER NOT NULL, "created_at" TEXT NOT NULL, ' +
    '"state" TEXT NOT NULL DEFAULT \'pending\', "acked_cursor" INTEGER, "settles" TEXT, ' +
    '"code" TEXT, "message" TEXT, "details" TEXT)',
  'CREATE INDEX "ix_overlays_record" ON "overlays" ("table_name", "record_id")',
  'CREATE INDEX "ix_overlays_state" ON "overlays" ("state", "acked_cursor")',
  'CREATE TABLE "device_state" ("key" TEXT PRIMARY KEY NOT NULL, "value" TEXT)',
];

/** @type {Record<string, string>} */
const AFFINITY = { integer: 'INTEGER', boolean: 'INTEGER', real: 'REAL', decimal: 'NUMERIC' };

/**
 * Quote an identifier. Names come from the server and end up in SQL, so any other form throws `bad_name`.
 * @param {string} name
 * @returns {string}
 */
export function quote(name) {
  if (typeof name !== 'string' || !/^_?[a-z][a-z0-9_]{0,99}$/.test(name))
    throw new MoatError('bad_name', words.invalidName(name));
  return `"${name}"`;
}

/**
 * @param {string} table
 * @returns {string}
 */
function tableName(table) {
  if (LOCAL_NAMES.has(table) || table.startsWith('_') || table.startsWith('sqlite_'))
    throw new MoatError('bad_name', words.reserved(table));
  return quote(table);
}

const literal = (/** @type {string | number} */ value) =>
  typeof value === 'number' ? String(value) : `'${value.replaceAll("'", "''")}'`;

/**
 * @param {Field} field
 * @returns {string}
 */
function columnSql(field) {
  const value = toCell(field, field.default ?? null);
  return `${quote(field.name)} ${AFFINITY[field.kind] ?? 'TEXT'}${value === null ? '' : ` DEFAULT ${literal(value)}`}`;
}

/**
 * @param {string} name
 * @param {Field[]} fields
 */
function tableSql(name, fields) {
  const columns = [
    '"id" TEXT PRIMARY KEY NOT NULL',
    '"version" INTEGER NOT NULL',
    '"object_type" TEXT',
    '"status" TEXT',
    ...fields.map(columnSql),
  ];
  return `CREATE TABLE ${quote(name)} (${columns.join(', ')})`;
}

const indexSql = (/** @type {string} */ table, /** @type {string} */ field) =>
  `CREATE INDEX ${quote(`ix_${table}__${field}`)} ON ${quote(table)} (${quote(field)})`;

/**
 * Return whether every replica keeps an index on a field.
 * @param {Field} field
 */
export const hasIndex = (field) => Boolean(field.indexed || field.unique || field.kind === 'reference');

/**
 * Return the statements that create an object type’s base table, without its `_patched_` companion.
 * @param {string} table
 * @param {Field[]} fields
 * @param {string[]} [indexes] names of the fields with an index
 * @returns {string[]}
 */
export function createTableSql(table, fields, indexes = fields.filter(hasIndex).map((field) => field.name)) {
  tableName(table);
  return [tableSql(table, fields), ...indexes.map((field) => indexSql(table, field))];
}

/**
 * Return the statement that creates the `_patched_` companion of a base table.
 * @param {string} table
 * @param {Field[]} fields
 */
export const createPatchedSql = (table, fields) => tableSql(`_patched_${table}`, fields);

const withPatched = (/** @type {string[]} */ [base, ...indexes], /** @type {string} */ companion) => [
  base,
  companion,
  ...indexes,
];

/**
 * Return the statements of one schema command.
 * @param {Record<string, any>} command
 * @returns {string[]}
 */
export function commandSql(command) {
  const { table, field } = command;
  const base = tableName(table);
  switch (command.command) {
    case 'create_table':
      return withPatched(
        createTableSql(table, command.columns, command.indexes ?? []),
        createPatchedSql(table, command.columns),
      );
    case 'add_column':
      return [table, `_patched_${table}`].map(
        (name) => `ALTER TABLE ${quote(name)} ADD COLUMN ${columnSql(command.column)}`,
      );
    case 'create_index':
      return [indexSql(table, field)];
    case 'drop_index':
      return [`DROP INDEX ${quote(`ix_${table}__${field}`)}`];
    case 'widen_column':
      return [];
    case 'retire_column':
      return [
        `DROP INDEX IF EXISTS ${quote(`ix_${table}__${field}`)}`,
        ...[table, `_patched_${table}`].map((name) => `ALTER TABLE ${quote(name)} DROP COLUMN ${quote(field)}`),
      ];
    case 'retire_table':
      return [`DROP TABLE ${base}`, `DROP TABLE ${quote(`_patched_${table}`)}`];
    default:
      throw new MoatError('unknown_command', words.unknownCommand(command.command));
  }
}

/**
 * Return the statement that creates a table’s live view, which is what an application’s SQL sees. Without overlays it
 * shows the base table.
 * @param {string} table
 * @param {string[]} columns
 * @param {boolean} overlaid
 * @returns {string}
 */
export function liveViewSql(table, columns, overlaid) {
  const list = columns.map(quote).join(', ');
  const base = `CREATE TEMP VIEW ${quote(table)} AS SELECT ${list} FROM main.${quote(table)} b`;
  if (!overlaid) return base;
  return (
    `${base} WHERE NOT EXISTS (SELECT 1 FROM main."overlays" o WHERE o."table_name" = '${table}' ` +
    `AND o."record_id" = b."id" AND o."state" IN ('pending','acked')) ` +
    `UNION ALL SELECT ${list} FROM main.${quote(`_patched_${table}`)}`
  );
}
