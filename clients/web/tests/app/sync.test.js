import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Edit, Unparsed, typedTexts } from '../../app/forms/edit.js';
import { scalarOf, shapeOf, summary, wordsOf } from '../../app/forms/json.js';
import { inSentence, titleOf } from '../../app/forms/titles.js';
import { address, parse } from '../../app/router.js';
import { answer, question } from '../../app/sync/conflict.js';
import { alarm, describe, safety } from '../../app/sync/describe.js';
import { after, reason, fieldChanges, valuesOf } from '../../app/sync/ops.js';

/** @type {any} */
const type = {
  object_name: 'job',
  table_name: 'jobs',
  label: 'Job',
  title_field: 'title',
  subtypes: [],
  statuses: [{ value: 'open', label: 'Open' }],
  fields: [
    { name: 'title', kind: 'text', label: 'Title' },
    { name: 'crew', kind: 'integer', label: 'Crew' },
    { name: 'attrs', kind: 'json', label: 'Attributes' },
  ],
};
/** @returns {any} */
const status = (more = {}) => ({ phase: 'live', pending: 0, progress: null, problem: null, retry_at: null, ...more });
/** @returns {any} */
const conflict = (more = {}) => ({
  base: { title: 'a', crew: 1 },
  mine: { title: 'b', crew: 2 },
  theirs: { title: 'c', crew: 1 },
  fields: ['title'],
  by: 'olga',
  at: null,
  ...more,
});

test('every route has an address that parses back to it, for any ID', () => {
  for (const route of /** @type {any[]} */ ([
    { page: 'home' },
    { page: 'list', table: 'jobs' },
    { page: 'record', table: 'jobs', id: 'a/b %?#ü' },
    { page: 'new', table: 'jobs' },
    { page: 'fix', op: 12 },
    { page: 'outbox' },
    { page: 'diagnostics' },
  ])) {
    assert.deepEqual(parse(address(route)), route);
  }
  for (const hash of ['', '#', '#/nowhere', '#/fix/x', '#/o', '#/o/%E0%A4%A'])
    assert.ok(['home', 'list'].includes(parse(hash).page));
});

test('the status describes the sync', () => {
  assert.equal(describe(status(), 0).text, 'Online');
  assert.equal(describe(status({ pending: 2 }), 0).text, 'Syncing');
  assert.equal(describe(status({ phase: 'catching_up', progress: 0.419 }), 0).text, 'Catching up 41%');
  assert.match(
    describe(status({ phase: 'offline', pending: 1, retry_at: 5000 }), 0).hint,
    /1 edit will sync .* Retrying in 5 s/,
  );
});

test('a revoked device and a restored server raise an alarm, a sign-out does not', () => {
  assert.equal(alarm(status({ phase: 'signed_out' })), null);
  assert.equal(alarm(status({ phase: 'signed_out', problem: { code: 'bad_token', message: '' } }))?.action, 'login');
  assert.equal(alarm(status({ phase: 'halted', problem: { code: 'epoch', message: '' } }))?.action, 'start_over');
  assert.equal(alarm(status({ phase: 'halted', problem: { code: 'replaced', message: '' } }))?.action, null);
});

test('the safety of the data is described', () => {
  const kept = /** @type {any} */ ({ durable: true });
  assert.match(safety(kept, true), /^Your data is stored on this device and available offline\.$/);
  assert.match(safety(kept, false), /may delete it/);
  assert.match(safety(/** @type {any} */ ({ durable: false }), null), /are lost when you close/);
});

test('a label inside a sentence starts in lower case, except abbreviations', () => {
  assert.deepEqual(['Line item', 'VAT rate', 'Äpfel', ''].map(inSentence), ['line item', 'VAT rate', 'äpfel', '']);
});

test('a rejection names the field as the form does', () => {
  const rejected = (/** @type {string} */ message, /** @type {any} */ details) =>
    reason(type, { message, code: 'unique', details });
  assert.deepEqual(rejected('crew: another record has this value already.', { field: 'crew' }), {
    text: 'Another record has this value already.',
    field: 'crew',
  });
  assert.deepEqual(rejected('Your profile does not allow this.', { field: 'gone' }), {
    text: 'Your profile does not allow this.',
    field: null,
  });
  assert.equal(reason(type, { message: null, code: 'forbidden', details: null }).text, 'Forbidden');
});

test('an op lists what it sets, also inside a JSON field', () => {
  const patch = {
    op: 'update',
    payload: [
      { op: 'replace', path: '/title', value: 'x' },
      { op: 'add', path: '/attrs/a~1b', value: 1 },
    ],
  };
  assert.deepEqual(valuesOf(patch, { title: 'w', attrs: { c: 2 } }), { title: 'x', attrs: { c: 2, 'a/b': 1 } });
  assert.equal(valuesOf(patch).attrs, undefined);
  assert.deepEqual(
    fieldChanges(type, patch, { title: 'w', attrs: {} }).map(({ label, was, text }) => [label, was, text])[0],
    ['Title', 'w', 'x'],
  );
  assert.deepEqual(after({ title: 'w', crew: 1 }, { op: 'update', payload: [{ op: 'remove', path: '/crew' }] }), {
    title: 'w',
    crew: null,
  });
});

test('a conflict asks about its fields, and keeps the rest of the edit unless all of theirs is chosen', () => {
  const asked = question(conflict(), type);
  assert.deepEqual(
    [asked.kind, asked.fields.map(({ field }) => field.name), asked.others.map((field) => field.name)],
    ['fields', ['title'], ['crew']],
  );
  const picked = (/** @type {any} */ pick) => answer(asked, new Map([['title', pick]]));
  assert.equal(picked({ pick: 'mine' }), 'mine');
  assert.deepEqual(picked({ pick: 'theirs' }), { title: 'c' });
  assert.deepEqual(picked({ pick: 'own', value: 'd' }), { title: 'd' });
  const alone = question(conflict({ mine: { title: 'b' } }), type);
  assert.equal(answer(alone, new Map([['title', { pick: 'theirs' }]])), 'theirs');
});

test('a deletion by either user has its own question', () => {
  assert.equal(question(conflict({ mine: null }), type).kind, 'i_deleted');
  const theirs = question(conflict({ theirs: null }), type);
  assert.equal(theirs.kind, 'they_deleted');
  assert.deepEqual(
    theirs.fields.map(({ field, mine }) => [field.name, mine]),
    [
      ['title', 'b'],
      ['crew', 2],
    ],
  );
});

test('typed text stays when the record changes underneath, and the change is reported', () => {
  const edit = new Edit(type, { title: 'a', crew: 1 });
  edit.set('title', 'mine');
  edit.rebase({ title: 'theirs', crew: 5 });
  assert.deepEqual([edit.values.title, edit.values.crew, edit.incoming.get('title')], ['mine', 5, 'theirs']);
  edit.saved({ title: 'mine' });
  assert.deepEqual([edit.dirty, edit.incoming.size, edit.base.title], [false, 0, 'mine']);
});

test('text typed during a save is not lost', () => {
  const edit = new Edit(type, { title: 'a' });
  edit.set('title', 'b');
  const sent = edit.result();
  edit.set('title', 'bc');
  edit.saved(sent);
  assert.deepEqual([edit.dirty, edit.values.title], [true, 'bc']);
});

test('typed values can be read once their form is gone', () => {
  const edit = new Edit(type, { title: 'a', status: 'open', crew: 1 });
  for (const [name, value] of /** @type {[string, any][]} */ ([
    ['title', 'b'],
    ['status', ''],
    ['crew', 'two'],
    ['attrs', new Unparsed('{')],
    ['gone', 'x'],
  ]))
    edit.set(name, value);
  assert.deepEqual(typedTexts(edit), [
    ['Title', 'b'],
    ['Status', 'empty'],
    ['Crew', 'two'],
    ['Attributes', '{'],
    ['gone', 'x'],
  ]);
});

test('an equal value in another spelling is nothing to save', () => {
  const price = { name: 'price', kind: 'decimal', label: 'Price', decimal_places: 2 };
  const edit = new Edit({ ...type, fields: [...type.fields, price] }, { title: 'a', price: '95.00' });
  edit.set('price', '95');
  edit.set('title', 'b');
  const sent = edit.result();
  assert.deepEqual(sent, { title: 'b' });
  edit.saved(sent);
  assert.deepEqual([edit.dirty, edit.values.price], [false, '95.00']);
});

test('a JSON value is edited by its shape and summarized as text', () => {
  const list = [
    { id: 1, text: 'x', done: true },
    { id: 2, text: 'y', done: false },
  ];
  assert.deepEqual(shapeOf(list), { shape: 'checklist', text: 'text', done: 'done' });
  assert.equal(summary(list), '1 of 2 done');
  assert.deepEqual(
    [
      shapeOf(['a', 'b']).shape,
      shapeOf({ a: 1, b: null }).shape,
      shapeOf({ a: [] }).shape,
      shapeOf(null).shape,
      shapeOf([]).shape,
    ],
    ['words', 'pairs', 'text', 'text', 'text'],
  );
  assert.deepEqual([wordsOf(' a, ,b '), wordsOf(' , ')], [['a', 'b'], null]);
  assert.deepEqual(
    [scalarOf(1, '2.5'), scalarOf(1, 'x'), scalarOf(null, ''), scalarOf('1', '2'), scalarOf(1, '0x10')],
    [2.5, 'x', null, '2', '0x10'],
  );
});

test('a list is edited as words only if they parse back to the same list', () => {
  for (const value of [['Main St 1, Springfield', 'Elm St'], [' a'], ['a', ''], ['a,']])
    assert.equal(shapeOf(value).shape, 'text', JSON.stringify(value));
  assert.equal(shapeOf(['Elm St', 'a;b']).shape, 'words');
  assert.equal(summary(['Main St 1, Springfield', 'Elm St']), 'Main St 1, Springfield, Elm St');
});

test('a record without a title shows its ID, a type without a title field uses its first text', () => {
  assert.equal(titleOf(type, { id: 'j1', title: '' }), 'j1');
  assert.equal(titleOf({ ...type, title_field: '' }, { id: 'j1', title: 'T' }), 'T');
});
