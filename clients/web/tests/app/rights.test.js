import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Edit } from '../../app/forms/edit.js';
import { controls, planForm } from '../../app/forms/plan.js';
import { defaultLayout } from '../../app/forms/resolve.js';
import {
  allows,
  canCreate,
  canFix,
  forbiddenFields,
  formRights,
  rejectedValues,
  startOf,
} from '../../app/sync/rights.js';
import { rightsOf } from '../../sdk/access.js';

/** @type {any} */
const type = {
  object_name: 'job',
  table_name: 'jobs',
  version: 1,
  label: 'Job',
  label_plural: 'Jobs',
  icon: '',
  title_field: 'title',
  conflict_policy: 'field_merge',
  json_schema: {},
  subtypes: [],
  statuses: [
    { value: 'open', label: 'Open' },
    { value: 'done', label: 'Done' },
  ],
  fields: [
    { name: 'title', kind: 'text', label: 'Title', required: true },
    { name: 'notes', kind: 'text', label: 'Notes' },
    { name: 'urgent', kind: 'boolean', label: 'Urgent', default: false },
    {
      name: 'technician',
      kind: 'reference',
      label: 'Technician',
      reference: 'technician',
      reference_table: 'technicians',
    },
    { name: 'vault', kind: 'reference', label: 'Vault', reference: null, reference_table: null },
  ],
};
const types = new Map([
  ['jobs', type],
  ['technicians', type],
]);
const rights = (/** @type {any} */ rule) =>
  rightsOf(
    {
      rules: [
        {
          object_name: 'job',
          table: 'jobs',
          verbs: ['create', 'update', 'delete'],
          readable: null,
          writable: null,
          rows: [],
          rows_complete: true,
          ...rule,
        },
      ],
    },
    'jobs',
  );
const edit = (/** @type {any[]} */ ...names) => ({
  op: 'update',
  payload: names.map((name) => ({ op: 'replace', path: `/${name}`, value: 'x' })),
});

test('a form shows readable fields, enables writable ones, and offers the choices allowed in a new record', () => {
  const own = rights({
    readable: ['title', 'notes', 'technician', 'vault'],
    writable: ['status', 'notes', 'vault'],
    rows: [['status', ['done']]],
  });
  const form = (/** @type {boolean} */ isNew) =>
    controls(planForm(defaultLayout(type), type, {}, formRights(own, type, { isNew, types })));
  assert.deepEqual(
    form(false).map((c) => [c.field.name, c.enabled]),
    [
      ['status', true],
      ['title', false],
      ['notes', true],
      ['technician', false],
      ['vault', false],
    ],
  );
  assert.deepEqual(
    form(false)[0].field.choices?.map((c) => c.value),
    ['open', 'done'],
  );
  assert.deepEqual(
    form(true)[0].field.choices?.map((c) => c.value),
    ['done'],
  );
  const creates = rights({ verbs: ['create'] });
  assert.ok(
    formRights(creates, type, { isNew: true, types }).writable('title') &&
      !formRights(creates, type, { isNew: false, types }).writable('title'),
  );
});

test('creating is offered only where the server would accept the record and show it', () => {
  for (const [rule, offered] of /** @type {[any, boolean][]} */ ([
    [{}, true],
    [{ verbs: ['update'] }, false],
    [{ writable: ['notes'] }, false],
    [{ writable: ['title'] }, true],
    [{ rows: [['technician', ['t1']]] }, true],
    [{ rows: [['technician', []]] }, false],
    [{ rows: [['technician', ['t1']]], writable: ['title'] }, false],
    [{ rows: [['urgent', [false]]], writable: ['title'] }, true],
    [{ rows: [['status', ['open']]], writable: ['title'] }, true],
    [{ rows: [['status', ['done']]], writable: ['title'] }, false],
    [{ rows: [['status', ['gone']]] }, false],
    [{ rows: [['<visit.job.crew', ['c1']]] }, false],
    [{ rows: [['id', ['j1']]] }, false],
    [{ rows: [['technician.crew', ['c1']]] }, true],
    [{ rows: [['technician.crew', ['c1']]], writable: ['title'] }, false],
  ]))
    assert.equal(canCreate(rights(rule), type), offered, JSON.stringify(rule));
  assert.ok(
    !canCreate(rightsOf({ rules: [] }, 'jobs'), type) &&
      canCreate(rightsOf({ rules: null }, 'jobs'), type) &&
      canCreate(rightsOf(null, 'jobs'), type),
  );
});

test('a new record starts with the values its row rules require, and reports what they reject', () => {
  const own = rights({
    rows: [
      ['technician', ['t1']],
      ['status', ['done']],
      ['notes', ['a', 'b']],
    ],
  });
  assert.deepEqual(startOf(own, type), { urgent: false, status: 'done', technician: 't1' });
  assert.deepEqual(
    [...rejectedValues(own, type, { technician: 't2', status: 'open', notes: 'a' })],
    [
      ['technician', 'Your profile doesn’t allow this value.'],
      ['status', 'Your profile only allows Done.'],
    ],
  );
  assert.equal(rejectedValues(own, type, { technician: 't1', status: 'done', notes: 'b' }).size, 0);
});

test('a required boolean starts as No and is saved, unless the profile requires Yes or forbids it', () => {
  const safe = { name: 'safe', kind: 'boolean', label: 'Safe', required: true };
  const more = {
    ...type,
    fields: [
      type.fields[0],
      safe,
      { ...safe, name: 'optional', required: false },
      { ...safe, name: 'preset', default: true },
    ],
  };
  const edit = new Edit(more, startOf(rights({}), more), { isNew: true });
  edit.set('title', 'x');
  assert.deepEqual(
    [edit.problems().size, edit.result()],
    [0, { title: 'x', safe: false, preset: true, status: 'open' }],
  );
  assert.equal(startOf(rights({ rows: [['safe', [true]]] }), more).safe, true);
  assert.equal(startOf(rights({ writable: ['title'] }), more).safe, undefined);
  assert.ok(
    !canCreate(rights({ writable: ['title'] }), more),
    'the server accepts no value that the user may not write',
  );
});

test('a rejected edit can be resent only as the profile allows', () => {
  const own = rights({ verbs: ['update'], writable: ['status', 'notes'] });
  assert.deepEqual(forbiddenFields(own, edit('notes', 'title', 'urgent'), type), ['title', 'urgent']);
  assert.ok(
    allows(own, edit('notes', 'status'), type) &&
      !allows(own, edit('title'), type) &&
      !allows(own, { op: 'delete', payload: null }, type),
  );
  assert.ok(canFix(own, { op: 'update' }) && !canFix(own, { op: 'insert' }) && !canFix(own, { op: 'delete' }));
  const creates = rights({ verbs: ['create'], writable: ['title'] });
  assert.deepEqual(
    forbiddenFields(
      creates,
      { op: 'insert', payload: { title: 'x', status: 'open', urgent: false, notes: null, id: 'j1' } },
      type,
    ),
    [],
  );
  assert.deepEqual(
    forbiddenFields(creates, { op: 'insert', payload: { title: 'x', status: 'done', urgent: true } }, type),
    ['status', 'urgent'],
  );
});
