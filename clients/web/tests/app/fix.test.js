import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Edit, defaults } from '../../app/forms/edit.js';
import { beginFix, dropFixes, endFix, fixKey } from '../../app/views/fix.js';
import { restored } from '../../app/views/undo.js';
import { rightsOf } from '../../sdk/access.js';
import { get } from '../../sdk/reading.js';
import { Writing } from '../../sdk/writing.js';
import { fieldService, JOB } from '../sdk/support.js';

const NOW = () => new Date('2026-11-21T09:00:00.000Z');
const TYPE = { ...JOB, label: 'Job', label_plural: 'Jobs' };

/** A replica, and the part of the app that a fix needs. */
function world({ access = null, type = TYPE } = {}) {
  const { log, replica } = fieldService();
  const act = (work) => {
    let result;
    replica.change((touched) => {
      result = work(new Writing(replica, touched, NOW));
    });
    return result;
  };
  const moat = {
    overlays: async () => replica.overlays.list(),
    get: async (table, id) => get(replica, table, id),
    retry: async (op, values) => act((writing) => writing.retry(op, values)),
  };
  /** @type {any} */
  const app = { moat, drafts: new Map(), types: new Map([['jobs', type]]), rights: (table) => rightsOf(access, table) };
  const rejected = (op, id, values, code, field) => {
    const [opId] = act((writing) => writing.write([{ op, table: 'jobs', id, values }], 'tx'));
    replica.change((touched) =>
      replica.overlays.acknowledge(
        [{ op_id: opId, status: 'rejected', code, message: code, field }],
        replica.state.cursor,
        touched,
      ),
    );
    return opId;
  };
  return { log, replica, act, app, rejected, payload: (op) => replica.overlays.get(op).payload };
}

test('a fixed update omits values that equal the record, and stays one op', async () => {
  const { replica, app, rejected, payload } = world();
  const op = rejected(
    'update',
    'j1',
    { title: 'New', customer: 'gone', attrs: { colour: 'blue', size: { w: 1, h: 2 } } },
    'missing_reference',
    'customer',
  );
  const fix = await beginFix(app, op);
  assert.deepEqual([...fix.rejected.keys()], ['customer']);
  fix.edit.set('customer', 'c1');
  const sent = await endFix(app, fix);
  assert.deepEqual(
    payload(sent).map((step) => [step.path, step.value]),
    [
      ['/title', 'New'],
      ['/attrs/colour', 'blue'],
    ],
  );
  assert.deepEqual(
    replica.overlays.list().map((overlay) => overlay.op_id),
    [sent],
  );
});

test('a fixed update without changes is not sent and disappears', async () => {
  const { replica, app, rejected } = world();
  const fix = await beginFix(app, rejected('update', 'j1', { customer: 'gone' }, 'missing_reference', 'customer'));
  fix.edit.set('customer', 'c1');
  assert.equal(await endFix(app, fix), null);
  assert.deepEqual(replica.overlays.list(), []);
});

test('a field removed from the fix keeps what others wrote', async () => {
  const { log, replica, app, rejected } = world();
  const fix = await beginFix(app, rejected('update', 'j1', { title: 'New', hours: 3 }, 'invalid', 'hours'));
  fix.edit.set('hours', '');
  log.add('jobs', 'j1', 'update', 2, [{ op: 'replace', path: '/hours', value: 7 }]);
  replica.applyChanges(log.frame());
  await endFix(app, fix);
  assert.deepEqual([get(replica, 'jobs', 'j1').title, get(replica, 'jobs', 'j1').hours], ['New', 7]);
});

test('a fixed new record omits cleared fields, and gets no defaults for null fields', async () => {
  const { app, rejected, payload } = world();
  const fix = await beginFix(
    app,
    rejected('insert', 'n', { title: 'New', customer: 'gone', price: null }, 'missing_reference', 'customer'),
  );
  fix.edit.set('customer', null);
  assert.deepEqual(payload(await endFix(app, fix)), { object_type: 'repair', status: 'open', title: 'New' });
});

test('a fix omits forbidden fields; a new record gets their defaults', async () => {
  const access = {
    rules: [
      {
        table: 'jobs',
        verbs: ['create', 'update'],
        readable: ['title', 'price', 'customer', 'status', 'object_type'],
        writable: ['title'],
      },
    ],
  };
  const { app, rejected, payload } = world({ access });
  const fresh = await beginFix(
    app,
    rejected('insert', 'n', { title: 'New', customer: 'c1', price: '5.00' }, 'forbidden', 'customer'),
  );
  assert.deepEqual(fresh.leftOut.sort(), ['customer', 'price']);
  const inserted = payload(await endFix(app, fresh));
  assert.deepEqual([inserted.title, inserted.price, inserted.customer], ['New', '0.00', undefined]);
  const changed = await beginFix(app, rejected('update', 'j1', { title: 'New', price: '5.00' }, 'forbidden', 'price'));
  assert.deepEqual(
    payload(await endFix(app, changed)).map((step) => step.path),
    ['/title'],
  );
});

test('an edit on hold for a retired field is sent without it, and stays if nothing else is left', async () => {
  const fields = JOB.fields.filter(({ name }) => name !== 'due');
  const { log, replica, act, app, payload } = world({ type: { ...TYPE, fields } });
  const [inserted, changed, again, only] = [
    ['insert', 'n', { title: 'x', due: '2026-01-01' }],
    ['update', 'j1', { title: 'y', due: '2026-01-01' }],
    ['update', 'j2', { title: 'z', due: '2026-01-01' }],
    ['update', 'j2', { due: '2026-02-01' }],
  ].map(([op, id, values]) => act((writing) => writing.write([{ op, table: 'jobs', id, values }], 'tx'))[0]);
  log.publish([{ command: 'retire_column', table: 'jobs', field: 'due' }], [{ ...JOB, fields }], 2);
  replica.applyChanges(log.frame(log.revisions.slice(-1)));
  assert.deepEqual(replica.overlays.counts().parked, 4);
  for (const op of [inserted, changed]) {
    const fix = await beginFix(app, op);
    assert.ok(!JSON.stringify(payload(await endFix(app, fix))).includes('due'));
  }
  assert.deepEqual(
    payload(await app.moat.retry(again)).map((step) => step.path),
    ['/title'],
  );
  await assert.rejects(app.moat.retry(only), { code: 'unknown_field' });
  assert.equal(replica.overlays.get(only).state, 'parked');
});

test('the draft of a fix survives leaving it, until its edit is no longer rejected', async () => {
  const { log, replica, app, rejected } = world();
  const [op, other] = [
    rejected('update', 'j1', { title: 'New', price: '1.00' }, 'invalid', 'title'),
    rejected('insert', 'n', { title: 'Taken' }, 'unique', 'title'),
  ];
  for (const [each, title] of [
    [op, 'Better'],
    [other, 'Free'],
  ]) {
    const { edit } = await beginFix(app, each);
    edit.set('title', title);
    app.drafts.set(fixKey(each), edit);
  }
  log.add('jobs', 'j1', 'update', 2, [{ op: 'replace', path: '/price', value: '7.00' }]);
  replica.applyChanges(log.frame());
  const back = await beginFix(app, op);
  assert.deepEqual(
    [back.edit.values.title, back.edit.incoming.get('price'), back.rejected.size],
    ['Better', '7.00', 0],
  );
  app.drafts.set('jobs/j1', back.edit);
  assert.equal(await dropFixes(app), false);
  await endFix(app, back);
  assert.equal(await dropFixes(app), true);
  assert.deepEqual([...app.drafts.keys()], [fixKey(other), 'jobs/j1']);
});

test('a cleared default stays null in a new record, a resent one, and a restored one', async () => {
  const { replica, act, app, rejected } = world();
  const insert = (values, id) => act((writing) => writing.write([{ op: 'insert', table: 'jobs', id, values }], 'tx'));
  const edit = new Edit(TYPE, defaults(TYPE), { isNew: true });
  edit.set('title', 'x');
  edit.set('price', '');
  edit.set('due', '2026-01-01');
  edit.set('due', '');
  insert(edit.result(), 'n');
  assert.deepEqual([get(replica, 'jobs', 'n').price, get(replica, 'jobs', 'n').status], [null, 'open']);
  // The server fills in defaults for fields that an op omits.
  const sent = (id) => replica.overlays.list('"record_id" = ? AND "op" = ?', [id, 'insert'])[0].payload;
  assert.deepEqual([sent('n').price, 'due' in sent('n')], [null, false]);
  await app.moat.retry(rejected('insert', 'm', { title: 'x', price: null }, 'unique', 'title'), null);
  assert.deepEqual([get(replica, 'jobs', 'm').price, sent('m').price], [null, null]);
  const before = get(replica, 'jobs', 'j2');
  act((writing) => writing.write([{ op: 'delete', table: 'jobs', id: 'j2' }], 'tx'));
  insert(restored(TYPE, { ...before, retired: 1 }), 'j2');
  assert.deepEqual({ ...get(replica, 'jobs', 'j2'), version: 0 }, { ...before, version: 0 });
});
