/** The replica on real SQLite: changes of the server, edits of the user, and what SQL sees of both. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as reading from '../../sdk/reading.js';
import { Writing } from '../../sdk/writing.js';
import { JOB, field, fieldService } from './support.js';

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
