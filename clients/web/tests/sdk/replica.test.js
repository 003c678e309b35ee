/** The replica on real SQLite: changes of the server, edits of the user, and what SQL sees of both. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Digest } from '../../sdk/digest.js';
import { moveLocal } from '../../sdk/installing.js';
import * as reading from '../../sdk/reading.js';
import { Replica } from '../../sdk/replica.js';
import { memoryStorage } from '../../sdk/storage/memory.js';
import { Writing } from '../../sdk/writing.js';
import { CUSTOMER, JOB, Log, createTable, emptyReplica, field, fieldService, sqlite3 } from './support.js';

const beDevices = (replica, ...devices) => {
  replica.setLocal('devices', devices);
  replica.reload();
};

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

test('inserts, updates, nested patches, deletes, and evictions produce the server’s rows', () => {
  const { log, replica } = fieldService();
  assert.deepEqual(reading.get(replica, 'jobs', 'j1'), {
    id: 'j1',
    version: 1,
    object_type: 'repair',
    status: 'open',
    title: 'Boiler',
    price: '95.00',
    hours: null,
    count: null,
    urgent: true,
    due: null,
    attrs: { colour: 'red', size: { w: 1, h: 2 } },
    customer: 'c1',
  });
  log.add('jobs', 'j1', 'update', 2, [
    { op: 'replace', path: '/attrs/size/w', value: 9 },
    { op: 'remove', path: '/attrs/colour' },
  ]);
  log.add('jobs', 'j1', 'update', 3, [
    { op: 'replace', path: '/title', value: 'Pump' },
    { op: 'replace', path: '/price', value: null },
  ]);
  log.add('jobs', 'j2', 'delete', 2, null);
  log.add('jobs', 'j3', 'insert', 1, { title: 'New', status: 'open' });
  log.add('jobs', 'j3', 'delete', 2, null);
  log.add('jobs', 'j3', 'insert', 3, { title: 'Back', status: 'open' });
  log.add('customers', 'c1', 'evict', 1, null);
  const touched = replica.applyChanges(log.frame());
  assert.deepEqual(
    [...touched.tables].map(([table, ids]) => [table, [...ids].sort()]),
    [
      ['jobs', ['j1', 'j2', 'j3']],
      ['customers', ['c1']],
    ],
  );
  assert.deepEqual(reading.get(replica, 'jobs', 'j1').attrs, { size: { w: 9, h: 2 } });
  assert.deepEqual(titles(replica), ['j1:Pump', 'j3:Back']);
  assert.equal(reading.get(replica, 'jobs', 'j1').price, null);
  assert.equal(reading.get(replica, 'jobs', 'j3').version, 3);
  assert.equal(reading.get(replica, 'customers', 'c1'), null);
  assert.deepEqual([replica.state.cursor, replica.state.state_hash], [log.cursor, log.state_hash]);
});

test('a key missing in an insert is null, not the column’s default', () => {
  const { replica } = fieldService();
  assert.equal(reading.get(replica, 'jobs', 'j2').price, null);
});

test('a frame with a gap or with altered lines changes nothing', () => {
  const { log, replica } = fieldService();
  log.add('jobs', 'j1', 'update', 2, [{ op: 'replace', path: '/title', value: 'X' }]);
  const frame = log.frame();
  assert.throws(() => replica.applyChanges({ ...frame, from: frame.from - 1 }), { code: 'gap' });
  assert.throws(() => replica.applyChanges({ ...frame, lines: [frame.lines[0].replace('"X"', '"Y"')] }), {
    code: 'chain',
  });
  log.add('jobs', 'j2', 'update', 2, [{ op: 'replace', path: '/attrs/none/x', value: 'X' }]);
  replica.applyChanges(frame);
  const before = replica.state.cursor;
  assert.throws(() => replica.applyChanges(log.frame()), { code: 'bad_patch' });
  assert.equal(replica.state.cursor, before);
  assert.deepEqual(titles(replica), ['j1:X', 'j2:Roof']);
});

test('lines that a repaired record already includes are skipped', () => {
  const { log, replica } = fieldService();
  const columns = ['id', 'version', 'object_type', 'status', ...JOB.fields.map((each) => each.name)];
  const row = (id, version, title) => JSON.stringify([id, version, 'repair', 'open', title, ...Array(7).fill(null)]);
  replica.repair([
    {
      table: 'jobs',
      columns,
      deleted: [],
      range: [null, null],
      lines: [row('j1', 3, 'newest'), row('j9', 1, 'unknown')],
    },
  ]);
  assert.deepEqual(titles(replica), ['j1:newest', 'j9:unknown']);
  replica.adopt({ cursor: log.cursor }, log.cursor + 3);
  log.add('jobs', 'j1', 'update', 2, [{ op: 'replace', path: '/title', value: 'older' }]);
  log.add('jobs', 'j2', 'update', 2, [{ op: 'replace', path: '/title', value: 'of a record that is gone' }]);
  log.add('jobs', 'j1', 'update', 3, [{ op: 'replace', path: '/title', value: 'newest' }]);
  log.add('jobs', 'j1', 'update', 4, [{ op: 'replace', path: '/title', value: 'newer still' }]);
  replica.applyChanges(log.frame());
  assert.deepEqual(titles(replica), ['j1:newer still', 'j9:unknown']);
  log.add('jobs', 'j2', 'update', 3, [{ op: 'replace', path: '/title', value: 'missing, with nothing to explain it' }]);
  assert.throws(() => replica.applyChanges(log.frame()), { code: 'diverged' });
});

test('the op of an evicted record keeps the record’s last values, even when it is rejected', () => {
  const { log, replica } = fieldService();
  const [edit] = write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
  log.add('jobs', 'j1', 'evict', 2, null);
  replica.applyChanges(log.frame());
  assert.deepEqual(titles(replica), ['j2:Roof']);
  assert.equal(replica.overlays.get(edit).state, 'pending');
  ack(replica, { op_id: edit, status: 'rejected', code: 'not_found', message: 'There is no such record.' });
  const { state, code, payload, details } = replica.overlays.get(edit);
  assert.deepEqual(
    [state, code, payload[0].value, details.last.title, details.last.price],
    ['rejected', 'not_found', 'Mine', 'Boiler', '95.00'],
  );
});

test('a pending edit shows in SQL at once and is dropped together with its own change', () => {
  const { log, replica } = fieldService();
  beDevices(replica, 'd1');
  const [opId] = write(replica, {
    op: 'update',
    table: 'jobs',
    id: 'j1',
    values: { title: 'Mine', attrs: { colour: 'blue', size: { w: 1, h: 2 } } },
  });
  assert.deepEqual(titles(replica), ['j1:Mine', 'j2:Roof']);
  assert.equal(reading.query(replica, 'SELECT title FROM main."jobs" WHERE id = ?', ['j1']).rows[0].title, 'Boiler');
  assert.deepEqual(reading.states(replica, 'jobs'), { j1: 'pending' });
  ack(replica, { op_id: opId, status: 'applied', version: 2, cursor: log.cursor + 1 });
  assert.equal(replica.overlays.get(opId).state, 'acked');
  assert.deepEqual(titles(replica), ['j1:Mine', 'j2:Roof'], 'an accepted edit stays visible until its change arrives');
  log.add('jobs', 'j1', 'update', 2, [{ op: 'replace', path: '/title', value: 'Mine' }], { device: 'd1', op_id: opId });
  replica.applyChanges(log.frame());
  assert.deepEqual(replica.overlays.list(), []);
  assert.deepEqual(titles(replica), ['j1:Mine', 'j2:Roof']);
  assert.equal(replica.sql.value('SELECT count(*) FROM main."_patched_jobs"'), 0);
});

test('an op whose ack was lost is recognized by its change line, under any device of this replica', () => {
  const { log, replica } = fieldService();
  beDevices(replica, 'old', 'new');
  const [opId] = write(replica, { op: 'delete', table: 'jobs', id: 'j2' });
  assert.deepEqual(titles(replica), ['j1:Boiler']);
  log.add('jobs', 'j2', 'delete', 2, null, { device: 'old', op_id: opId });
  replica.applyChanges(log.frame());
  assert.deepEqual(replica.overlays.list(), []);
  ack(replica, { op_id: opId, status: 'duplicate', cursor: 1 });
  assert.deepEqual(titles(replica), ['j1:Boiler']);
});

test('an overlay is dropped as soon as the cursor reaches its ack', () => {
  const { log, replica } = fieldService();
  const [first] = write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'A' } });
  ack(replica, { op_id: first, status: 'duplicate', cursor: replica.state.cursor });
  assert.deepEqual(titles(replica)[0], 'j1:Boiler');
  const [second] = write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'B' } });
  ack(replica, { op_id: second, status: 'merged', cursor: log.cursor + 2 });
  log.add('jobs', 'j2', 'update', 2, []);
  replica.applyChanges(log.frame());
  assert.equal(titles(replica)[0], 'j1:B');
  log.add('jobs', 'j1', 'update', 2, [{ op: 'replace', path: '/title', value: 'B' }]);
  replica.applyChanges(log.frame());
  assert.deepEqual(replica.overlays.list(), []);
});

test('changes by others show on a record with pending edits', () => {
  const { log, replica } = fieldService();
  write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
  log.add('jobs', 'j1', 'update', 2, [{ op: 'replace', path: '/status', value: 'done' }]);
  replica.applyChanges(log.frame());
  const seen = reading.get(replica, 'jobs', 'j1');
  assert.deepEqual([seen.title, seen.status, seen.version], ['Mine', 'done', 2]);
});

test('inserts get defaults, the first subtype, and the first status; a transaction sees its own ops', () => {
  const { replica } = fieldService();
  const ops = write(
    replica,
    { op: 'insert', table: 'customers', id: 'c2', values: { name: 'Beta' } },
    { op: 'insert', table: 'jobs', id: 'j7', values: { customer: 'c2', title: 'T' } },
    { op: 'update', table: 'jobs', id: 'j7', values: { price: 5, title: 'T2' } },
  );
  assert.deepEqual(reading.get(replica, 'jobs', 'j7'), {
    id: 'j7',
    version: 0,
    object_type: 'repair',
    status: 'open',
    title: 'T2',
    price: '5.00',
    hours: null,
    count: null,
    urgent: null,
    due: null,
    attrs: null,
    customer: 'c2',
  });
  const sent = reading.pendingOps(replica, 100, 1e6).map((op) => op.wire);
  assert.deepEqual(
    sent.map(({ op_id, tx, op, base_version }) => [op_id, tx !== undefined && tx === sent[0].tx, op, base_version]),
    ops.map((id, i) => [id, true, ['insert', 'insert', 'update'][i], 0]),
  );
  assert.deepEqual(sent[1].payload, {
    price: '0.00',
    object_type: 'repair',
    status: 'open',
    customer: 'c2',
    title: 'T',
  });
  assert.deepEqual(sent[2].payload, [
    { op: 'replace', path: '/price', value: '5.00' },
    { op: 'replace', path: '/title', value: 'T2' },
  ]);
});

test('an invalid edit is rejected before it becomes an op, and its transaction changes nothing', () => {
  const { replica } = fieldService();
  const good = { op: 'insert', table: 'jobs', id: 'ok', values: { title: 'x' } };
  for (const [wish, code] of [
    [{ op: 'insert', table: 'jobs', id: 'j1', values: {} }, 'exists'],
    [{ op: 'update', table: 'jobs', id: 'nope', values: {} }, 'not_found'],
    [{ op: 'delete', table: 'jobs', id: 'nope' }, 'not_found'],
    [{ op: 'update', table: 'jobs', id: 'j1', values: { nope: 1 } }, 'unknown_field'],
    [{ op: 'update', table: 'jobs', id: 'j1', values: { count: 'x' } }, 'bad_value'],
    [{ op: 'update', table: 'jobs', id: 'j1', values: { status: 'nope' } }, 'bad_value'],
    [{ op: 'insert', table: 'nope', id: 'x', values: {} }, 'unknown_table'],
    [{ op: 'insert', table: 'layout_definition', id: 'x', values: {} }, 'read_only'],
    [{ op: 'insert', table: 'jobs', id: 'a\nb', values: {} }, 'bad_id'],
    [{ op: 'update', table: 'jobs', id: 'j1', values: [{ op: 'replace', path: '/count', value: 'x' }] }, 'bad_value'],
  ])
    assert.throws(() => write(replica, good, wish), { code }, JSON.stringify(wish));
  assert.deepEqual(replica.overlays.list(), []);
  assert.deepEqual(titles(replica), ['j1:Boiler', 'j2:Roof']);
  assert.deepEqual(
    write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Boiler' } }),
    [null],
    'an update that changes nothing creates no op',
  );
});

test('a push holds whole transactions within the limits, but at least one', () => {
  const { replica } = fieldService();
  const single = (i) => write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: `t${i}` } });
  single(1);
  write(
    replica,
    ...Array.from({ length: 5 }, (_, i) => ({
      op: 'insert',
      table: 'customers',
      id: `n${i}`,
      values: { name: 'x'.repeat(100) },
    })),
  );
  single(2);
  const sizes = (...limits) => reading.pendingOps(replica, ...limits).length;
  assert.deepEqual([sizes(100, 1e6), sizes(6, 1e6), sizes(5, 1e6), sizes(1, 1e6), sizes(100, 600)], [7, 6, 1, 1, 1]);
  act(replica, (writing) => writing.discard(replica.overlays.list()[0].op_id, new Set()));
  assert.equal(sizes(2, 10), 5, 'one transaction goes whole or not at all');
});

test('a conflict keeps both versions and is resolved by mine, theirs, or an edit', () => {
  for (const choice of ['mine', 'theirs', 'edit']) {
    const { log, replica } = fieldService();
    beDevices(replica, 'd1');
    const [opId] = write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
    log.add('jobs', 'j1', 'update', 2, [{ op: 'replace', path: '/title', value: 'Theirs' }]);
    replica.applyChanges(log.frame());
    ack(replica, {
      op_id: opId,
      status: 'conflict',
      conflict: 'k1',
      version: 2,
      base: { title: 'Boiler' },
      mine: { title: 'Mine' },
      theirs: { title: 'Theirs' },
      fields: ['title'],
      by: 'olga',
      at: 'now',
      cursor: 3,
    });
    assert.equal(titles(replica)[0], 'j1:Theirs', 'an op in conflict is not shown');
    assert.deepEqual(reading.states(replica, 'jobs'), { j1: 'conflict' });
    const [conflict] = reading.conflicts(replica);
    assert.deepEqual(
      [conflict.op_id, conflict.conflict, conflict.mine, conflict.theirs, conflict.by],
      [opId, 'k1', { title: 'Mine' }, { title: 'Theirs' }, 'olga'],
    );
    const settling = act(replica, (writing) =>
      writing.resolve(opId, choice, choice === 'edit' ? { title: 'Both' } : null, 'tx9'),
    );
    assert.deepEqual(reading.conflicts(replica), [], 'it is being resolved');
    assert.throws(() => act(replica, (writing) => writing.resolve(opId, 'mine', null, 'tx')), { code: 'resolving' });
    const [op] = reading.pendingOps(replica, 10, 1e6);
    if (choice === 'theirs') {
      assert.deepEqual([op.wire.op, op.wire.payload], ['settle', { conflict: 'k1', resolution: 'theirs' }]);
      ack(replica, { op_id: settling, status: 'applied', cursor: 99 });
    } else {
      assert.deepEqual(
        [op.wire.op, op.wire.settles, op.wire.base_version, op.wire.payload],
        ['update', 'k1', 2, [{ op: 'replace', path: '/title', value: choice === 'mine' ? 'Mine' : 'Both' }]],
      );
      log.add('jobs', 'j1', 'update', 3, op.wire.payload, { device: 'd1', op_id: settling });
      replica.applyChanges(log.frame());
    }
    assert.deepEqual(replica.overlays.list(), []);
    assert.equal(titles(replica)[0], `j1:${{ mine: 'Mine', theirs: 'Theirs', edit: 'Both' }[choice]}`);
  }
});

test('keeping mine over a deleted record inserts it again with all known values', () => {
  const { log, replica } = fieldService();
  const [opId] = write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
  log.add('jobs', 'j1', 'delete', 2, null);
  replica.applyChanges(log.frame());
  ack(replica, {
    op_id: opId,
    status: 'conflict',
    conflict: 'k',
    version: 2,
    base: { id: 'j1', version: 1, title: 'Boiler', price: '95.00' },
    mine: { title: 'Mine' },
    theirs: null,
    fields: ['title'],
    by: 'olga',
    at: 'now',
  });
  act(replica, (writing) => writing.resolve(opId, 'mine', null, 'tx'));
  const { op, base_version, payload } = reading.pendingOps(replica, 10, 1e6)[0].wire;
  assert.deepEqual([op, base_version, payload.title, payload.price], ['insert', 2, 'Mine', '95.00']);
});

test('the rest of a transaction is sent with the op that resolves its conflict', () => {
  const { replica } = fieldService();
  const [a, b] = write(
    replica,
    { op: 'update', table: 'jobs', id: 'j1', values: { title: 'A' } },
    { op: 'update', table: 'jobs', id: 'j2', values: { title: 'B' } },
  );
  ack(
    replica,
    {
      op_id: a,
      status: 'conflict',
      conflict: 'k',
      version: 2,
      base: null,
      mine: { title: 'A' },
      theirs: { title: 'T' },
      fields: ['title'],
      by: 'x',
      at: 'y',
    },
    { op_id: b, status: 'rejected', code: 'tx_aborted', message: 'm' },
  );
  act(replica, (writing) => writing.resolve(a, 'mine', null, 'tx2'));
  assert.deepEqual(
    reading.pendingOps(replica, 10, 1e6).map(({ wire }) => [wire.tx, wire.id, wire.settles]),
    [
      ['tx2', 'j1', 'k'],
      ['tx2', 'j2', undefined],
    ],
  );
});

test('a conflict resolved elsewhere drops its op', () => {
  const { replica } = fieldService();
  const [a] = write(replica, { op: 'update', table: 'jobs', id: 'j1', values: { title: 'A' } });
  ack(replica, { op_id: a, status: 'conflict', conflict: 'k', version: 2, fields: ['title'] });
  replica.change((touched) => replica.overlays.settled('k', touched));
  assert.deepEqual(replica.overlays.list(), []);
});

test('rejected edits are kept, hidden, and can be discarded or sent again', () => {
  const { replica } = fieldService();
  const [a] = write(replica, { op: 'insert', table: 'jobs', id: 'n', values: { title: 'A' } });
  ack(replica, { op_id: a, status: 'rejected', code: 'unique', message: 'taken', field: 'title' });
  assert.equal(reading.get(replica, 'jobs', 'n'), null);
  assert.deepEqual(
    [replica.overlays.get(a).state, replica.overlays.get(a).code, replica.overlays.get(a).details.field],
    ['rejected', 'unique', 'title'],
  );
  const b = act(replica, (writing) => writing.retry(a, { title: 'B' }));
  assert.ok(b > a);
  assert.equal(reading.get(replica, 'jobs', 'n').title, 'B');
  write(replica, { op: 'update', table: 'jobs', id: 'n', values: { title: 'C' } });
  assert.throws(() => act(replica, (writing) => writing.discard(b, new Set([b]))), { code: 'sending' });
  assert.equal(
    act(replica, (writing) => writing.discard(b, new Set())).length,
    2,
    'edits of a discarded insert are discarded too',
  );
  assert.deepEqual(replica.overlays.list(), []);
});

test('op_ids follow the clock and never decrease', () => {
  const { replica } = fieldService();
  const now = clock;
  const [a, b] = [
    write(replica, { op: 'delete', table: 'jobs', id: 'j1' })[0],
    write(replica, { op: 'delete', table: 'jobs', id: 'j2' })[0],
  ];
  assert.ok(a >= now && b > a);
  clock = 0;
  const [c] = write(replica, { op: 'insert', table: 'jobs', id: 'x', values: {} });
  assert.ok(c > b);
  clock = now + 1000;
});

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
