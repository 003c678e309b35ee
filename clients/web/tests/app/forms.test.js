import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ago, display, fromLocalInput, toLocalInput } from '../../app/forms/display.js';
import { Edit, Unparsed } from '../../app/forms/edit.js';
import { plainNumber, readNumber, typedNumber } from '../../app/forms/numbers.js';
import { controls, planForm } from '../../app/forms/plan.js';
import { defaultLayout, fieldOf, resolve } from '../../app/forms/resolve.js';
import { evaluate, matches } from '../../app/forms/rules.js';

/** @returns {any} */
const type = () => ({
  object_name: 'job',
  table_name: 'jobs',
  version: 1,
  label: 'Job',
  label_plural: 'Jobs',
  icon: '',
  title_field: 'title',
  conflict_policy: 'field_merge',
  subtypes: [{ value: 'res', label: 'Residential' }],
  statuses: [
    { value: 'open', label: 'Open' },
    { value: 'done', label: 'Done' },
  ],
  json_schema: {},
  fields: [
    { name: 'notes', kind: 'text', label: 'Notes' },
    { name: 'title', kind: 'text', label: 'Title' },
    { name: 'price', kind: 'decimal', label: 'Price', decimal_places: 2 },
  ],
});
const layout = (object_type, status, id = `${object_type}/${status}`) => ({
  id,
  version: 1,
  object_name: 'job',
  object_type,
  status,
  label: '',
  layout_json: {},
});
const control = (name, more = {}) => ({ type: 'Control', scope: `#/properties/${name}`, ...more });
const when = (effect, field, schema) => ({ rule: { effect, condition: { scope: `#/properties/${field}`, schema } } });

test('the most specific layout wins in any order', () => {
  const all = [layout('*', '*'), layout('res', '*'), layout('*', 'done'), layout('res', 'done')];
  for (const list of [all, [...all].reverse()]) {
    assert.equal(resolve(list, 'job', 'res', 'done')?.id, 'res/done');
    assert.equal(resolve(list, 'job', 'res', 'open')?.id, 'res/*');
    assert.equal(resolve(list, 'job', null, 'done')?.id, '*/done');
    assert.equal(resolve(list, 'job', 'other', null)?.id, '*/*');
    assert.equal(resolve(list, 'customer', 'res', 'done'), null);
  }
});

test('a type without a layout gets a default: head, title, the rest', () => {
  const plan = planForm(defaultLayout(type()), type(), {});
  assert.deepEqual(
    controls(plan).map((c) => c.field.name),
    ['object_type', 'status', 'title', 'notes', 'price'],
  );
});

test('rules show, hide, enable, and disable by value', () => {
  for (const [effect, holds, visible, enabled] of /** @type {const} */ ([
    ['SHOW', true, true, true],
    ['SHOW', false, false, true],
    ['HIDE', true, false, true],
    ['HIDE', false, true, true],
    ['ENABLE', true, true, true],
    ['ENABLE', false, true, false],
    ['DISABLE', true, true, false],
    ['DISABLE', false, true, true],
  ])) {
    const element = { ...control('notes'), ...when(effect, 'status', { const: 'done' }) };
    assert.deepEqual(
      evaluate(element, { status: holds ? 'done' : 'open' }),
      { visible, enabled },
      `${effect} ${holds}`,
    );
  }
});

test('conditions support the schema keywords of layouts, and compare decimals as numbers', () => {
  assert.ok(
    matches({ minimum: 10 }, '10.50') && !matches({ minimum: 11 }, '10.50') && matches({ const: 10.5 }, '10.50'),
  );
  assert.ok(
    matches({ anyOf: [{ const: 'a' }, { enum: ['b', 'c'] }] }, 'c') && !matches({ not: { type: 'null' } }, null),
  );
  assert.ok(
    matches({ minLength: 2, maxLength: 3 }, 'äöü') && !matches({ minLength: 1 }, null) && matches({ unheardOf: 1 }, 1),
  );
  assert.ok(
    !matches({ exclusiveMinimum: 5 }, 5) && matches({ exclusiveMaximum: 6 }, 5) && !matches({ minimum: 0 }, null),
  );
});

test('a plan omits unknown and unreadable fields, disables unwritable ones, and hides empty boxes', () => {
  const tree = {
    type: 'VerticalLayout',
    elements: [
      { type: 'Group', label: 'Gone', elements: [control('retired'), control('price')] },
      {
        type: 'Group',
        label: 'Locked',
        ...when('DISABLE', 'status', { const: 'done' }),
        elements: [control('title'), control('notes')],
      },
      control('title', { options: { readonly: true } }),
      { type: 'Unheard' },
      { type: 'Label', text: 'Hello' },
    ],
  };
  const rights = { readable: (f) => f !== 'price', writable: (f) => f !== 'notes' };
  const plan = /** @type {any} */ (planForm(tree, type(), { status: 'open' }, rights));
  assert.deepEqual(
    plan.children.map((c) => [c.kind, c.visible]),
    [
      ['group', false],
      ['group', true],
      ['control', true],
      ['label', true],
    ],
  );
  assert.deepEqual(
    controls(plan).map((c) => [c.field.name, c.enabled]),
    [
      ['title', true],
      ['notes', false],
      ['title', false],
    ],
  );
  assert.deepEqual(
    controls(planForm(tree, type(), { status: 'done' })).map((c) => c.enabled),
    [true, false, false, false],
  );
  assert.equal(fieldOf('#/properties/__proto__'), null);
});

test('values are formatted for the locale', () => {
  const where = { locale: 'en-GB', timeZone: 'UTC' };
  const field = (kind, more = {}) => ({ name: 'f', kind, label: 'F', ...more });
  assert.equal(display(field('decimal'), '12345.50', where), '12,345.50');
  assert.equal(display(field('date'), '2026-11-05', where), '5 Nov 2026');
  assert.equal(display(field('datetime'), '2026-11-05T13:05:00.000000Z', where), '5 Nov 2026, 13:05');
  assert.equal(display(field('boolean'), false, where), 'No');
  assert.equal(display(field('choice', { choices: [{ value: 'a', label: 'Apple' }] }), 'a'), 'Apple');
  assert.equal(display(field('text'), null), '');
  assert.equal(fromLocalInput(toLocalInput('2026-11-05T13:05:00.000000Z')), '2026-11-05T13:05:00.000000Z');
  assert.equal(ago('2026-11-05T13:00:00Z', Date.parse('2026-11-05T15:30:00Z'), 'en'), '2 hours ago');
});

test('numbers are parsed as their language writes them, without guessing', () => {
  const read = (locale, ...texts) => texts.map((text) => plainNumber(text, locale));
  assert.deepEqual(read('en', '1,234', '-1,234,567.5', '1234', ' 0.5 ', '.5', '12.', '+7', '1e-7', '1e+21'), [
    '1234',
    '-1234567.5',
    '1234',
    '0.5',
    '.5',
    '12.',
    '+7',
    '1e-7',
    '1e+21',
  ]);
  assert.deepEqual(
    read(
      'en',
      '1,23',
      '12,34',
      '1,2345',
      ',234',
      '1,,234',
      '1.5,5',
      '1.2.3',
      '0x10',
      '1_000',
      'Infinity',
      '-',
      '.',
      '1 234',
      '1,234e5',
      'e5',
    ),
    Array(15).fill(null),
  );
  assert.deepEqual(read('de', '1,5', '1.234', '1.234,5', '-0,5', '1,5e-7'), [
    '1.5',
    '1234',
    '1234.5',
    '-0.5',
    '1.5e-7',
  ]);
  assert.deepEqual(read('de', '12.5', '1.23', '1,234,567', '1,2.3'), Array(4).fill(null));
  assert.deepEqual(
    [
      read('fr', '1 234,5', '1\u202f234,5', '1.234'),
      read('sv', '\u22121 234,5'),
      read('de-CH', "1'234.5", '1’234.5', '1,5'),
    ],
    [['1234.5', '1234.5', null], ['-1234.5'], ['1234.5', '1234.5', null]],
  );
  assert.deepEqual(
    [read('en-IN', '12,34,567', '123,456'), read('ar-EG', '١٬٢٣٤٫٥', '12.5', '1,5')],
    [
      ['1234567', null],
      ['1234.5', '12.5', null],
    ],
  );
});

test('the text of a number input parses back to the same number in every language', () => {
  for (const locale of ['en', 'de', 'fr', 'sv', 'de-CH', 'en-IN', 'es', 'pl', 'ar-EG', 'fa', 'bn-BD', 'he']) {
    for (const value of [0, 5, -1234.5, 1.234, 1e-7, 1.5e-9, 1e21, 2 ** 40])
      assert.equal(readNumber('real', typedNumber(value, locale), locale), value, `${locale} ${value}`);
    for (const value of ['95.00', '-1234.567', '123456789012.345'])
      assert.equal(readNumber('decimal', typedNumber(value, locale), locale), value, `${locale} ${value}`);
    for (const value of [1234, -1234567.5])
      assert.equal(
        readNumber('real', new Intl.NumberFormat(locale).format(value), locale),
        value,
        `${locale}: as lists show ${value}`,
      );
  }
  assert.deepEqual(
    [readNumber('integer', '1,234', 'en'), readNumber('decimal', '1,234.50', 'en'), readNumber('real', ' ', 'en')],
    [1234, '1234.50', ''],
  );
});

test('text that is not a number is a problem of its field, and stays as typed', () => {
  for (const [kind, text] of [
    ['integer', '1,5'],
    ['real', '0x10'],
    ['real', '1e999'],
    ['decimal', '1,23'],
    ['decimal', '0x10'],
  ]) {
    const value = readNumber(kind, text, 'en');
    assert.ok(value instanceof Unparsed && value.text === text);
    const edit = new Edit(
      /** @type {any} */ ({ subtypes: [], statuses: [], fields: [{ name: 'n', kind, label: 'N', decimal_places: 2 }] }),
      { n: null },
    );
    edit.set('n', value);
    assert.match(edit.problems().get('n'), /^N: must be a .*number$/);
  }
  assert.equal(readNumber('integer', '1.5', 'en'), 1.5);
});
