/** The op queue of the client, states × events: which state each op is in afterwards, and what the user then sees. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as reading from '../../sdk/reading.js';
import { Writing } from '../../sdk/writing.js';
import { CUSTOMER, JOB, createTable, fieldService } from './support.js';

/** A replica of device d1 with one pending update of job j1, and its log. */
function queue() {
  const { log, replica } = fieldService();
  replica.setLocal('devices', ['d1']);
  replica.reload();
  let op;
  const act = (work) => {
    let result;
    replica.change((touched) => {
      result = work(new Writing(replica, touched, () => new Date()));
    });
    return result;
  };
  const write = (...edits) => act((writing) => writing.write(edits, 'tx'));
  [op] = write({ op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } });
  const ack = (result) => {
    let seen;
    replica.change((touched) => {
      replica.overlays.acknowledge([{ op_id: op, ...result }], replica.state.cursor, touched);
      seen = touched;
    });
    return seen;
  };
  return { log, replica, op, act, write, ack };
}

const conflict = (name) => ({
  status: 'conflict', conflict: name, code: 'conflict', message: `about ${name}`, version: 2, theirs: { title: name },
});
const rejected = (code) => ({ status: 'rejected', code, message: `because ${code}` });
const applied = (it, ahead) => ({ status: 'applied', version: 2, cursor: it.log.cursor + ahead });

/** How an op gets into each state. */
const STATES = {
  pending: () => {},
  acked: (it) => it.ack(applied(it, 3)),
  conflict: (it) => it.ack(conflict('first')),
  rejected: (it) => it.ack(rejected('first')),
  parked: (it) => it.ack(rejected('retired')),
};

/** What can happen to an op. */
const EVENTS = {
  'ack behind the cursor': (it) => it.ack(applied(it, 0)),
  'ack ahead of the cursor': (it) => it.ack(applied(it, 5)),
  'ack: conflict': (it) => it.ack(conflict('second')),
  'ack: rejected': (it) => it.ack(rejected('second')),
  'ack: retired': (it) => it.ack(rejected('retired')),
  'own change': (it) => {
    it.log.add('jobs', 'j1', 'update', 2, [], { device: 'd1', op_id: it.op });
    it.replica.applyChanges(it.log.frame());
  },
  'cursor reached': (it) => {
    for (let i = 0; i < 3; i++) it.log.add('jobs', 'j2', 'update', 2 + i, []);
    it.replica.applyChanges(it.log.frame());
  },
  'cursor short of it': (it) => {
    for (let i = 0; i < 2; i++) it.log.add('jobs', 'j2', 'update', 2 + i, []);
    it.replica.applyChanges(it.log.frame());
  },
  'conflict resolved elsewhere': (it) => it.replica.change((touched) => it.replica.overlays.settled('first', touched)),
  'another conflict resolved': (it) => it.replica.change((touched) => it.replica.overlays.settled('other', touched)),
  'field retired': (it) => {
    it.log.publish([{ command: 'retire_column', table: 'jobs', field: 'title' }]);
    it.log.add('object_metadata', 'job', 'update', 2, [
      { op: 'replace', path: '/fields', value: JOB.fields.filter(({ name }) => name !== 'title') },
    ]);
    it.replica.applyChanges(it.log.frame(it.log.revisions));
  },
  'another field retired': (it) => {
    it.log.publish([{ command: 'retire_column', table: 'jobs', field: 'hours' }]);
    it.log.add('object_metadata', 'job', 'update', 2, [
      { op: 'replace', path: '/fields', value: JOB.fields.filter(({ name }) => name !== 'hours') },
    ]);
    it.replica.applyChanges(it.log.frame(it.log.revisions));
  },
  'type retired': (it) => {
    it.log.publish([{ command: 'retire_table', table: 'jobs' }]);
    it.log.add('object_metadata', 'job', 'delete', 2, null);
    it.replica.applyChanges(it.log.frame(it.log.revisions));
  },
  'start over': (it) => it.replica.reset(),
};

/** State afterwards, and the code of the reason in brackets; `-` is no longer in the queue. Columns are STATES. */
const TABLE = {
  'ack behind the cursor': ['-', '-', 'conflict (conflict)', 'rejected (first)', '-'],
  'ack ahead of the cursor': ['acked', 'acked', 'conflict (conflict)', 'rejected (first)', 'acked (retired)'],
  'ack: conflict': [
    'conflict (conflict)',
    'conflict (conflict)',
    'conflict (conflict)',
    'rejected (first)',
    'conflict (conflict)',
  ],
  'ack: rejected': [
    'rejected (second)',
    'rejected (second)',
    'conflict (conflict)',
    'rejected (first)',
    'rejected (second)',
  ],
  'ack: retired': [
    'parked (retired)',
    'parked (retired)',
    'conflict (conflict)',
    'rejected (first)',
    'parked (retired)',
  ],
  'own change': ['-', '-', '-', '-', '-'],
  'cursor reached': ['pending', '-', 'conflict (conflict)', 'rejected (first)', 'parked (retired)'],
  'cursor short of it': ['pending', 'acked', 'conflict (conflict)', 'rejected (first)', 'parked (retired)'],
  'conflict resolved elsewhere': ['pending', 'acked', '-', 'rejected (first)', 'parked (retired)'],
  'another conflict resolved': ['pending', 'acked', 'conflict (conflict)', 'rejected (first)', 'parked (retired)'],
  'field retired': ['parked (retired)', 'parked (retired)', 'parked (retired)', 'parked (retired)', 'parked (retired)'],
  'another field retired': ['pending', 'acked', 'conflict (conflict)', 'rejected (first)', 'parked (retired)'],
  'type retired': ['parked (retired)', 'parked (retired)', 'parked (retired)', 'parked (retired)', 'parked (retired)'],
  'start over': ['pending', 'pending', 'conflict (conflict)', 'rejected (first)', 'parked (retired)'],
};

for (const [event, row] of Object.entries(TABLE)) {
  test(`each state of an op after "${event}"`, () => {
    Object.entries(STATES).forEach(([state, enter], i) => {
      const it = queue();
      enter(it);
      assert.equal(it.replica.overlays.get(it.op).state, state);
      EVENTS[event](it);
      const after = it.replica.overlays.get(it.op);
      assert.equal(after ? after.state + (after.code ? ` (${after.code})` : '') : '-', row[i], `from ${state}`);
    });
  });
}

test('a repeated reply does not replace the first: the conflict the user looks at stays', () => {
  const it = queue();
  it.ack(conflict('first'));
  const touched = it.ack(conflict('second'));
  const { message, details } = it.replica.overlays.get(it.op);
  assert.deepEqual([message, details.conflict, details.theirs], ['about first', 'first', { title: 'first' }]);
  assert.deepEqual([...touched.tables], [], 'nothing changed');
  it.ack({ status: 'applied', version: 2, cursor: 1 });
  assert.equal(it.replica.overlays.get(it.op).state, 'conflict');
  const other = queue();
  other.ack(rejected('unique'));
  other.ack({ status: 'duplicate', cursor: 1 });
  assert.equal(other.replica.overlays.get(other.op).code, 'unique', 'a rejected edit stays until the user decides');
});

test('a reply to an unknown op changes nothing', () => {
  const it = queue();
  const touched = it.ack({ ...rejected('x'), op_id: 1 });
  assert.deepEqual([[...touched.tables], it.replica.overlays.get(it.op).state], [[], 'pending']);
});

test('an op rejected because its field or type was retired is parked, with the server’s reason', () => {
  const it = queue();
  const touched = it.ack({ ...rejected('retired'), field: 'title' });
  const { state, code, message, details } = it.replica.overlays.get(it.op);
  assert.deepEqual([state, code, message, details.field], ['parked', 'retired', 'because retired', 'title']);
  assert.deepEqual([...touched.tables], [['jobs', new Set(['j1'])]]);
  assert.equal(it.replica.overlays.counts().parked, 1);
});

test('a reply without code or message gets the name of its status', () => {
  for (const status of ['conflict', 'rejected']) {
    const it = queue();
    it.ack({ status });
    const { state, code, message } = it.replica.overlays.get(it.op);
    assert.deepEqual([state, code, message], [status, status, null]);
  }
  const it = queue();
  it.ack({ status: 'applied' });
  assert.equal(it.replica.overlays.get(it.op), null, 'without a cursor there is nothing to wait for');
});

test('only pending and accepted ops are shown, and rebuilding from scratch shows the same', () => {
  for (const [state, enter] of Object.entries(STATES)) {
    const it = queue();
    enter(it);
    const shown = ['pending', 'acked'].includes(state);
    const title = () => reading.get(it.replica, 'jobs', 'j1').title;
    const patched = () => it.replica.sql.value('SELECT count(*) FROM main."_patched_jobs"');
    assert.deepEqual([title(), patched()], [shown ? 'Mine' : 'Boiler', shown ? 1 : 0], state);
    it.replica.sql.run(`UPDATE main."_patched_jobs" SET "title" = 'stale'`);
    it.replica.sql.run(`INSERT INTO main."_patched_jobs" ("id", "version", "title") VALUES ('j9', 1, 'left over')`);
    it.replica.change(() => it.replica.overlays.rebuildAll());
    assert.deepEqual([title(), patched()], [shown ? 'Mine' : 'Boiler', shown ? 1 : 0], state);
    assert.deepEqual([...it.replica.overlays.visibleTables()], shown ? ['jobs'] : []);
    assert.deepEqual(it.replica.overlays.counts(), {
      pending: 0, acked: 0, conflict: 0, rejected: 0, parked: 0, [state]: 1,
    });
  }
});

test('resolving a conflict drops the op in conflict as soon as the resolving op is accepted or confirmed', () => {
  for (const way of ['accepted', 'confirmed', 'settle op accepted', 'settle op rejected']) {
    const it = queue();
    it.ack(conflict('first'));
    const settle = way.startsWith('settle');
    const op = it.act((writing) => writing.resolve(it.op, settle ? 'theirs' : 'mine', null, 'tx2'));
    if (way === 'accepted') it.ack({ ...applied(it, 5), op_id: op });
    if (way === 'confirmed') {
      it.log.add('jobs', 'j1', 'update', 2, [], { device: 'd1', op_id: op });
      it.replica.applyChanges(it.log.frame());
    }
    // A settle op has no change of its own: the queue does not wait for one.
    if (way === 'settle op accepted') it.ack({ ...applied(it, 5), op_id: op });
    if (way === 'settle op rejected') it.ack({ ...rejected('unknown_conflict'), op_id: op });
    const left = it.replica.overlays.list().map(({ op_id: id, state }) => [id, state]);
    const expected = { accepted: [[op, 'acked']], 'settle op rejected': [[it.op, 'conflict']] }[way] ?? [];
    assert.deepEqual(left, expected, way);
  }
});

test('a conflict resolved elsewhere notifies the record', () => {
  const it = queue();
  it.ack(conflict('first'));
  const touched = it.replica.change((seen) => it.replica.overlays.settled('first', seen));
  assert.deepEqual([...touched.tables], [['jobs', new Set(['j1'])]]);
});

test('parking names the retired field or type, keeps earlier details, and leaves other tables alone', () => {
  const it = queue();
  const [other] = it.write({ op: 'update', table: 'customers', id: 'c1', values: { name: 'N' } });
  it.ack({ ...conflict('first'), op_id: it.op });
  EVENTS['field retired'](it);
  const { message, details } = it.replica.overlays.get(it.op);
  assert.equal(message, 'An administrator retired the field title.');
  assert.equal(details.conflict, 'first');
  assert.equal(it.replica.overlays.get(other).state, 'pending');
  const second = queue();
  const [kept] = second.write({ op: 'update', table: 'customers', id: 'c1', values: { name: 'N' } });
  EVENTS['type retired'](second);
  assert.equal(second.replica.overlays.get(second.op).message, 'An administrator retired the type jobs.');
  assert.equal(second.replica.overlays.get(kept).state, 'pending');
});

test('commands that retire nothing park nothing', () => {
  const it = queue();
  it.log.publish([
    { command: 'drop_index', table: 'jobs', field: 'title' },
    { command: 'widen_column', table: 'jobs', field: 'title', kind: 'text' },
  ]);
  const touched = it.replica.applyChanges(it.log.frame(it.log.revisions));
  assert.equal(it.replica.overlays.get(it.op).state, 'pending');
  assert.deepEqual([touched.rebuilt, [...touched.tables.keys()]], [true, ['jobs']]);
});

test('the last values of a deleted record are kept once, for pending and accepted ops only', () => {
  const it = queue();
  const last = () => it.replica.overlays.get(it.op)?.details?.last;
  it.log.add('jobs', 'j2', 'delete', 2, null);
  it.replica.applyChanges(it.log.frame());
  assert.equal(last(), undefined, 'another record');
  it.log.add('jobs', 'j1', 'evict', 2, null);
  it.replica.applyChanges(it.log.frame());
  assert.equal(last().title, 'Boiler');
  it.log.add('jobs', 'j1', 'insert', 3, { title: 'Back' });
  it.replica.applyChanges(it.log.frame());
  it.log.add('jobs', 'j1', 'delete', 4, null);
  it.replica.applyChanges(it.log.frame());
  assert.equal(last().title, 'Boiler', 'what the user edited, not a later record of the same ID');
  it.ack(rejected('not_found'));
  assert.deepEqual([last().title, it.replica.overlays.get(it.op).details.code], ['Boiler', 'not_found']);
  const failed = queue();
  failed.ack(rejected('unique'));
  failed.log.add('jobs', 'j1', 'delete', 2, null);
  failed.replica.applyChanges(failed.log.frame());
  assert.equal(failed.replica.overlays.get(failed.op).details.last, undefined);
});

test('an accepted op that the cursor reaches notifies its record', () => {
  const it = queue();
  it.ack(applied(it, 1));
  it.log.add('jobs', 'j2', 'update', 2, []);
  const touched = it.replica.applyChanges(it.log.frame());
  assert.deepEqual([...touched.tables.get('jobs')].sort(), ['j1', 'j2']);
});

test('a queue entry comes back as it was added, in op order', () => {
  const it = queue();
  it.replica.overlays.remove(it.op);
  const entry = {
    op_id: 7,
    tx: 't',
    table: 'jobs',
    id: 'x',
    op: 'insert',
    payload: { title: 'T' },
    base_version: 4,
    schema_version: 5,
    created_at: 'now',
    state: 'rejected',
    acked_cursor: 6,
    settles: 'k',
    code: 'c',
    message: 'm',
    details: { a: 1 },
  };
  const empty = { ...entry, op_id: 3, op: 'delete', tx: null, payload: null, settles: null, code: null, details: null };
  it.replica.change(() => [entry, empty].forEach((one) => it.replica.overlays.add(one)));
  assert.deepEqual(it.replica.overlays.list(), [empty, entry]);
  assert.deepEqual(it.replica.overlays.get(7), entry);
  assert.equal(it.replica.overlays.get(8), null);
  const stored = (id) =>
    it.replica.sql.first('SELECT "payload", "details" FROM main."overlays" WHERE "op_id" = ?', [id]);
  assert.deepEqual([stored(3), stored(7)], [[null, null], ['{"title":"T"}', '{"a":1}']]);
});

test('ops of a table that this replica lacks, or of a system table, show nothing and break nothing', () => {
  const it = queue();
  const stray = { ...it.replica.overlays.get(it.op), table: 'vans', op_id: 5 };
  const system = { ...stray, table: 'layout_definition', op_id: 6 };
  it.replica.change((touched) => {
    for (const one of [stray, system]) {
      it.replica.overlays.add(one);
      touched.add(one.table, one.id);
      it.replica.overlays.rebuild(one.table, one.id);
    }
  });
  assert.equal(reading.get(it.replica, 'jobs', 'j1').title, 'Mine');
  it.log.publish([createTable({ ...CUSTOMER, table_name: 'vans', object_name: 'van' })]);
  it.replica.applyChanges(it.log.frame(it.log.revisions));
  assert.equal(it.replica.overlays.get(5).state, 'pending');
});

test('an op that is parked is no longer shown', () => {
  const it = queue();
  it.write({ op: 'update', table: 'jobs', id: 'j2', values: { title: 'Mine', hours: 9 } });
  assert.equal(reading.get(it.replica, 'jobs', 'j2').title, 'Mine');
  EVENTS['another field retired'](it);
  assert.deepEqual(it.replica.sql.query(`SELECT "title" FROM "jobs" WHERE "id" = 'j2'`).rows, [['Roof']]);
});

test('dropping an own op notifies its record; frames without revisions rebuild no tables', () => {
  const it = queue();
  const touched = it.replica.change((seen) => it.replica.overlays.dropOwn(it.op, seen));
  assert.deepEqual([...touched.tables], [['jobs', new Set(['j1'])]]);
  it.log.add('jobs', 'j2', 'update', 2, []);
  assert.equal(it.replica.applyChanges(it.log.frame()).rebuilt, false);
});

test('an accepted op without a cursor is dropped even by an empty replica', () => {
  const it = queue();
  const result = { op_id: it.op, status: 'applied' };
  it.replica.change((touched) => it.replica.overlays.acknowledge([result], 0, touched));
  assert.equal(it.replica.overlays.get(it.op), null);
});

test('a change line of this device whose op is no longer in the queue is applied like any other', () => {
  const it = queue();
  it.log.add('jobs', 'j2', 'update', 2, [{ op: 'replace', path: '/title', value: 'Old' }], { device: 'd1', op_id: 1 });
  it.replica.applyChanges(it.log.frame());
  assert.equal(reading.get(it.replica, 'jobs', 'j2').title, 'Old');
});
