/** Shared by the tests of the SDK: a replica in memory, and the log of a small server. */

import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import { fold, genesis } from '../../sdk/chain.js';
import { Replica } from '../../sdk/replica.js';
import { memoryStorage } from '../../sdk/storage/memory.js';

export const sqlite3 = await sqlite3InitModule({ print() {}, printErr() {} });

export const EPOCH = 'e'.repeat(32);

/** A field in its wire form. */
export const field = (name, kind, more = {}) => ({
  name,
  kind,
  label: name,
  required: false,
  unique: false,
  indexed: false,
  default: null,
  help_text: '',
  choices: [],
  reference: null,
  reference_table: null,
  decimal_places: kind === 'decimal' ? 2 : null,
  ...more,
});

export const CUSTOMER = {
  object_name: 'customer',
  table_name: 'customers',
  fields: [field('name', 'text')],
  subtypes: [],
  statuses: [],
};
export const JOB = {
  object_name: 'job',
  table_name: 'jobs',
  subtypes: [{ value: 'repair', label: 'Repair' }],
  statuses: [
    { value: 'open', label: 'Open' },
    { value: 'done', label: 'Done' },
  ],
  fields: [
    field('title', 'text', { indexed: true }),
    field('price', 'decimal', { default: '0.00' }),
    field('hours', 'real'),
    field('count', 'integer'),
    field('urgent', 'boolean'),
    field('due', 'date'),
    field('attrs', 'json'),
    field('customer', 'reference', { reference: 'customer', reference_table: 'customers' }),
  ],
};

/** A tenant's log as a server would write it. */
export class Log {
  cursor = 0;
  schema_version = 0;
  state_hash = genesis(EPOCH, 'acme');
  revisions = [];
  #since = { cursor: 0, lines: [] };

  /** Append a change; returns its cursor. */
  add(table, id, op, version, payload, more = {}) {
    this.cursor++;
    const line = JSON.stringify({
      cursor: this.cursor,
      schema_version: this.schema_version,
      table,
      id,
      op,
      version,
      payload,
      at: '2026-11-21T09:00:00.000000Z',
      by: 'olga',
      ...more,
    });
    this.#since.lines.push(line);
    this.state_hash = fold(this.state_hash, [line]);
    return this.cursor;
  }

  /** Publish: raise the schema version, store the commands, and append the lines of the object types. */
  publish(commands, types = [], versions = 1) {
    this.schema_version++;
    this.revisions.push({ schema_version: this.schema_version, commands });
    for (const type of types) {
      const { object_name: id, ...rest } = type;
      const record = {
        label: id,
        label_plural: `${id}s`,
        icon: '',
        title_field: '',
        conflict_policy: 'field_merge',
        json_schema: {},
        ...rest,
      };
      if (versions === 1) this.add('object_metadata', id, 'insert', 1, record);
      else
        this.add('object_metadata', id, 'update', versions, [{ op: 'replace', path: '/fields', value: type.fields }]);
    }
  }

  /** Return everything since the last call as one `changes` frame with its revisions, ready for the replica. */
  frame(revisions = []) {
    const { cursor, lines } = this.#since;
    this.#since = { cursor: this.cursor, lines: [] };
    return {
      type: 'changes',
      channel: 'full',
      schema_version: this.schema_version,
      from: cursor,
      to: this.cursor,
      state_hash: this.state_hash,
      lines,
      revisions,
    };
  }
}

export const createTable = (type) => ({
  command: 'create_table',
  table: type.table_name,
  object_name: type.object_name,
  columns: type.fields,
  indexes: type.fields
    .filter((each) => each.indexed || each.unique || each.kind === 'reference')
    .map((each) => each.name),
});

/** A replica in memory at cursor 0 of tenant acme. */
export function emptyReplica() {
  const replica = new Replica(memoryStorage(sqlite3).open('r'));
  replica.adopt({ tenant: 'acme', channel: 'full', server_epoch: EPOCH, state_hash: genesis(EPOCH, 'acme') });
  return replica;
}

/** A replica and its log, with customers and jobs published and a few records. */
export function fieldService() {
  const log = new Log(), replica = emptyReplica();
  log.publish([createTable(CUSTOMER), createTable(JOB)], [CUSTOMER, JOB]);
  log.add('customers', 'c1', 'insert', 1, { name: 'Acme' });
  log.add('jobs', 'j1', 'insert', 1, {
    object_type: 'repair',
    status: 'open',
    title: 'Boiler',
    price: '95.00',
    urgent: true,
    attrs: { colour: 'red', size: { w: 1, h: 2 } },
    customer: 'c1',
  });
  log.add('jobs', 'j2', 'insert', 1, {
    object_type: 'repair',
    status: 'open',
    title: 'Roof',
    hours: 1.5,
    count: 2 ** 40,
    due: '2026-11-30',
  });
  replica.applyChanges(log.frame(log.revisions));
  return { log, replica };
}
