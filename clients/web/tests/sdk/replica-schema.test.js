/** A replica follows schemas, answers queries, and installs snapshots. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Digest } from '../../sdk/digest.js';
import { moveLocal } from '../../sdk/installing.js';
import * as reading from '../../sdk/reading.js';
import { Replica } from '../../sdk/replica.js';
import { memoryStorage } from '../../sdk/storage/memory.js';
import { Writing } from '../../sdk/writing.js';
import { CUSTOMER, JOB, Log, createTable, emptyReplica, field, fieldService, sqlite3 } from './support.js';

let clock = Date.UTC(2026, 10, 21);
const act = (replica, work) => {
  let result;
  replica.change((touched) => { result = work(new Writing(replica, touched, () => new Date(clock++))); });
  return result;
};
const write = (replica, ...wishes) => act(replica, (writing) => writing.write(wishes, `tx-${clock}`));
const titles = (replica) =>
  reading
    .query(replica, 'SELECT "id", "title" FROM "jobs" ORDER BY "id"')
    .rows.map(({ id, title }) => `${id}:${title}`);
const ack = (replica, ...results) =>
  replica.change((touched) => replica.overlays.acknowledge(results, replica.state.cursor, touched));

test('a schema revision runs with the frame that needs it and keeps pending edits', () => {
  const { log, replica } = fieldService();
  const [kept] = write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
  const [lost] = write(replica, { op: 'update', table: 'jobs', id: 'j2', values: { hours: 9 } });
  const more = {
    ...JOB,
    fields: [...JOB.fields.filter(({ name }) => name !== 'hours'), field('done', 'boolean', { default: false })],
  };
  log.publish(
    [
      { command: 'add_column', table: 'jobs', column: more.fields.at(-1) },
      { command: 'create_index', table: 'jobs', field: 'done' },
      { command: 'retire_column', table: 'jobs', field: 'hours' },
      { command: 'widen_column', table: 'jobs', field: 'price', kind: 'decimal', decimal_places: 4 },
    ],
    [more],
    2,
  );
  log.add('jobs', 'j2', 'update', 2, [
    { op: 'replace', path: '/done', value: true },
    { op: 'replace', path: '/hours', value: 3 },
  ]);
  replica.applyChanges(log.frame(log.revisions));
  assert.equal(replica.state.schema_version, 2);
  const seen = reading.get(replica, 'jobs', 'j1');
  assert.deepEqual([seen.title, seen.done, 'hours' in seen], ['Mine', false, false]);
  assert.equal(reading.get(replica, 'jobs', 'j2').done, true);
  assert.equal(replica.overlays.get(kept).state, 'pending');
  assert.deepEqual([replica.overlays.get(lost).state, replica.overlays.get(lost).code], ['parked', 'retired']);
});

test('retiring a type parks its pending edits; a failed upgrade changes nothing', () => {
  const { log, replica } = fieldService();
  const [op] = write(replica, { op: 'insert', table: 'customers', id: 'c9', values: { name: 'N' } });
  log.publish([
    { command: 'retire_table', table: 'customers' },
    { command: 'drop_index', table: 'jobs', field: 'nope' },
  ]);
  log.add('object_metadata', 'customer', 'delete', 2, null);
  const frame = log.frame();
  assert.throws(() => replica.applyChanges({ ...frame, revisions: log.revisions }), { code: 'sql' });
  assert.equal(replica.state.schema_version, 1);
  assert.equal(reading.get(replica, 'customers', 'c9').name, 'N', 'views and overlays are unchanged');
  log.revisions[1].commands.pop();
  replica.applyChanges({ ...frame, revisions: log.revisions });
  assert.throws(() => reading.get(replica, 'customers', 'c9'), { code: 'unknown_table' });
  assert.equal(replica.overlays.get(op).state, 'parked');
});

test('columns come and go with any live views and indexes of other tables', () => {
  const { log, replica } = fieldService();
  const named = { ...CUSTOMER, fields: [...CUSTOMER.fields, field('code', 'text', { unique: true })] };
  log.publish(
    [
      { command: 'add_column', table: 'customers', column: named.fields[1] },
      { command: 'create_index', table: 'customers', field: 'code' },
    ],
    [named],
    2,
  );
  replica.applyChanges(log.frame(log.revisions));
  const fewer = { ...JOB, fields: JOB.fields.filter(({ name }) => name !== 'hours') };
  log.publish(
    [
      { command: 'retire_column', table: 'jobs', field: 'hours' },
      createTable({ ...CUSTOMER, table_name: 'vans', object_name: 'van' }),
    ],
    [fewer],
    3,
  );
  replica.applyChanges(log.frame(log.revisions));
  assert.equal('hours' in reading.get(replica, 'jobs', 'j1'), false);
});

test('rows of another schema are rejected as a whole', () => {
  const { replica } = fieldService();
  const frame = (table, columns) => [{ table, columns, deleted: [], range: [null, null], lines: ['["j1",2,"x"]'] }];
  for (const rows of [frame('jobs', ['id', 'version', 'colour']), frame('vans', ['id', 'version', 'title'])])
    assert.throws(() => replica.applyRows(rows, { to: 9, state_hash: '', revisions: [] }), { code: 'schema' });
  assert.deepEqual(titles(replica), ['j1:Boiler', 'j2:Roof']);
});

test('rows bring a replica forward in one step', () => {
  const { log, replica } = fieldService();
  write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
  const columns = ['id', 'version', 'title', 'status'];
  replica.applyRows(
    [{ table: 'jobs', columns, deleted: ['j2'], lines: ['["j1",7,"Theirs","done"]', '["j3",1,"Third","open"]'] }],
    { to: 500, state_hash: 'f'.repeat(64), revisions: [] },
  );
  assert.deepEqual(titles(replica), ['j1:Mine', 'j3:Third']);
  assert.equal(reading.get(replica, 'jobs', 'j1').version, 7);
  assert.deepEqual([replica.state.cursor, replica.state.state_hash], [500, 'f'.repeat(64)]);
  assert.ok(log.cursor < 500);
});

test('an application’s SQL runs one reading statement and nothing else', () => {
  const { replica } = fieldService();
  const run = (sql, params) => reading.query(replica, sql, params);
  assert.deepEqual(run('SELECT count(*) AS n FROM jobs').rows, [{ n: 2 }]);
  assert.deepEqual(
    run('SELECT j.title, c.name FROM jobs j JOIN customers c ON c.id = j.customer WHERE j.id = :id', { id: 'j1' }).rows,
    [{ title: 'Boiler', name: 'Acme' }],
  );
  assert.deepEqual(
    run('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(i) AS s FROM n').rows,
    [{ s: 6 }],
  );
  assert.deepEqual(run('SELECT ? AS a, ? AS b, ? AS c', ['é🎉', 2 ** 45, null]).rows, [
    { a: 'é🎉', b: 2 ** 45, c: null },
  ]);
  for (const bad of [
    'DELETE FROM jobs',
    'UPDATE main.jobs SET title = 1',
    'PRAGMA query_only = 0',
    'ATTACH ":memory:" AS x',
    'BEGIN',
    'CREATE TABLE x(y)',
    'SELECT * FROM device_state',
    'DROP VIEW jobs',
  ]) {
    assert.throws(() => run(bad), { name: 'MoatError' }, bad);
  }
  assert.throws(() => run('SELECT 1; DELETE FROM jobs'), { code: 'sql' });
  assert.throws(() => run('SELECT :nope', { x: 1 }), { code: 'sql' });
  assert.deepEqual(run('SELECT 1 AS x; -- end').rows, [{ x: 1 }]);
});

test('texts and IDs that start with U+FEFF are read as they were written', () => {
  const { log, replica } = fieldService();
  log.add('jobs', '\ufeffj9', 'insert', 1, { title: '\ufeffx', attrs: { '\ufeffk': '\ufeff' } });
  replica.applyChanges(log.frame());
  const { id, title, attrs } = reading.get(replica, 'jobs', '\ufeffj9');
  assert.deepEqual([id, title, attrs], ['\ufeffj9', '\ufeffx', { '\ufeffk': '\ufeff' }]);
  const digest = new Digest();
  for (const id of ['j1', 'j2', '\ufeffj9']) digest.add(id, 1);
  assert.deepEqual(
    replica.digest('jobs'),
    [digest.count, digest.hex],
    'otherwise every comparison with the server would differ',
  );
});

test('a query names the tables it reads, with and without overlays', () => {
  const { replica } = fieldService();
  const tables = (sql) => reading.query(replica, sql).tables.sort();
  assert.deepEqual(tables('SELECT count(*) FROM jobs'), ['jobs']);
  write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'x' } });
  assert.deepEqual(tables('SELECT title FROM jobs WHERE customer IN (SELECT id FROM customers)'), [
    'customers',
    'jobs',
  ]);
  assert.deepEqual(tables('SELECT state FROM overlays'), ['overlays']);
});

test('find filters, searches, sorts, and pages', () => {
  const { replica } = fieldService();
  write(replica, {
    op: 'insert',
    table: 'jobs',
    id: 'j3',
    values: { title: '100% Roof', price: 12, urgent: false, due: '2026-12-24' },
  });
  const ids = (options) => reading.find(replica, { table: 'jobs', ...options }).records.map(({ id }) => id);
  assert.deepEqual(ids({ where: { urgent: true } }), ['j1']);
  assert.deepEqual(ids({ where: { price: { '>': '11.5', '<=': 95 } }, order: '-price' }), ['j1', 'j3']);
  assert.deepEqual(ids({ where: { customer: null } }), ['j2', 'j3']);
  assert.deepEqual(ids({ where: { id: ['j1', 'j3'] }, order: ['-id'] }), ['j3', 'j1']);
  assert.deepEqual(ids({ search: 'roof' }), ['j2', 'j3']);
  assert.deepEqual(ids({ search: '0%' }), ['j3']);
  write(replica, { op: 'insert', table: 'jobs', id: 'j4', values: { title: 'Neue Öfen' } });
  assert.deepEqual(
    ['öfen', 'NEUE ÖFEN', 'neue öfen', 'e öf'].map((search) => ids({ search })),
    [['j4'], ['j4'], ['j4'], ['j4']],
  );
  assert.deepEqual(ids({ order: 'title', limit: 1, offset: 1 }), ['j1']);
  assert.throws(() => ids({ where: { nope: 1 } }), { code: 'unknown_field' });
  assert.throws(() => ids({ order: 'nope' }), { code: 'unknown_field' });
  assert.throws(() => ids({ where: { price: { 'or 1': 1 } } }), { code: 'bad_filter' });
  for (const wrong of [new Date(), {}, { '>=': new Date() }, [new Date()], { '=': {} }])
    assert.throws(() => ids({ where: { due: wrong } }), { code: 'bad_filter', field: 'due' });
});

test('a snapshot takes over all local data; ops of missing records keep their last values', () => {
  const { replica: old } = fieldService();
  const [kept] = write(old, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
  const [homeless] = write(old, { op: 'update', table: 'customers', id: 'c1', values: { name: 'N' } });
  const [done] = write(old, { op: 'delete', table: 'jobs', id: 'j2' });
  old.change(() => old.sql.run(`UPDATE overlays SET state = 'acked', acked_cursor = 5 WHERE op_id = ?`, [done]));
  old.setLocal('token', 'secret');
  const log = new Log(),
    fresh = emptyReplica();
  log.publish([createTable(JOB)], [JOB]);
  for (let i = 1; i < 9; i++) log.add('jobs', `j${i}`, 'insert', 1, { title: `Job ${i}` });
  fresh.applyChanges(log.frame(log.revisions));
  moveLocal(old, fresh);
  assert.deepEqual(
    fresh.overlays.list().map(({ op_id, state }) => [op_id, state]),
    [
      [kept, 'pending'],
      [homeless, 'pending'],
    ],
  );
  assert.equal(fresh.overlays.get(homeless).details.last.name, 'Acme');
  assert.equal(fresh.overlays.get(kept).details, null);
  ack(fresh, { op_id: homeless, status: 'rejected', code: 'unknown_table', message: 'There is no table customers.' });
  assert.deepEqual(
    [fresh.overlays.get(homeless).state, fresh.overlays.get(homeless).details.last.name],
    ['rejected', 'Acme'],
  );
  assert.equal(titles(fresh)[0], 'j1:Mine');
  assert.equal(titles(fresh).length, 8);
  assert.equal(fresh.local('token'), 'secret');
});

test('starting over deletes the server’s data and sends accepted ops again', () => {
  const { log, replica } = fieldService();
  const [a] = write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
  ack(replica, { op_id: a, status: 'applied', version: 2, cursor: 99 });
  replica.reset();
  assert.deepEqual(
    [replica.state.cursor, [...replica.objects.keys()], replica.overlays.get(a).state],
    [0, [], 'pending'],
  );
  const again = new Log();
  replica.adopt({ tenant: 'acme', channel: 'full', server_epoch: 'e'.repeat(32), state_hash: again.state_hash });
  again.publish([createTable(CUSTOMER), createTable(JOB)], [CUSTOMER, JOB]);
  again.add('jobs', 'j1', 'insert', 1, { title: 'Restored' });
  replica.applyChanges(again.frame(again.revisions));
  assert.deepEqual(titles(replica), ['j1:Mine']);
  assert.ok(log.cursor);
});

test('a database that is not a replica is rejected', () => {
  const storage = memoryStorage(sqlite3), sql = storage.open('x');
  sql.script(['CREATE TABLE sync_state (id)', 'CREATE TABLE object_metadata (table_name, fields)']);
  assert.throws(() => new Replica(sql), { code: 'not_a_replica' });
});
