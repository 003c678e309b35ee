import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withPoint } from '../../app/forms/display.js';
import { gridOf, tableColumns } from '../../app/lists/columns.js';
import { LiveList } from '../../app/lists/live.js';
import { listColumns, listOptions } from '../../app/lists/query.js';
import { scrollTo, windowOf } from '../../app/lists/window.js';
import { JOB, fieldService } from '../sdk/support.js';

/** @type {any} */
const type = {
  object_name: 'job',
  table_name: 'jobs',
  title_field: 'title',
  subtypes: [],
  statuses: [{ value: 'open', label: 'Open' }],
  fields: [
    { name: 'notes', kind: 'text' },
    { name: 'title', kind: 'text' },
    { name: 'attrs', kind: 'json' },
    { name: 'crew', kind: 'integer' },
  ],
};
const state = (more = {}) => ({ search: '', filters: [], sort: null, ...more });

test('a list shows the title, then the status, and never JSON or unreadable fields', () => {
  assert.deepEqual(
    listColumns(type, () => true),
    ['title', 'status', 'notes', 'crew'],
  );
  assert.deepEqual(
    listColumns(type, (f) => f !== 'notes', 2),
    ['title', 'status'],
  );
});

const PAGE = { columns: ['title'], types: new Map() };

test('every value is a parameter, and unknown field names never reach the SQL', () => {
  const { where, order, select } = listOptions(
    type,
    state({
      search: `50%_ "x'`,
      filters: [
        { field: 'status', op: 'eq', value: 'held' },
        { field: 'id"; DROP', op: 'eq', value: 1 },
      ],
      sort: { field: 'zz', descending: true },
    }),
    PAGE,
  );
  const sql = where.sql + select.sql;
  assert.ok(!sql.includes('DROP') && !sql.includes('50') && !sql.includes('held'));
  assert.equal(order, null);
  assert.equal((sql.match(/\?/g) ?? []).length, where.params.length);
  assert.ok(where.params.includes('%50\\%\\_%') && where.params.includes(`%"x'%`));
  assert.equal(where.params.at(-1), 'held');
});

const DECIMALS = {
  ...JOB,
  label: 'Job',
  label_plural: 'Jobs',
  title_field: 'title',
  conflict_policy: 'field_merge',
  json_schema: {},
  icon: '',
};
/** @param {any} replica */
const finder = (replica) => (/** @type {any} */ more) => {
  const where = /** @type {any} */ (listOptions(/** @type {any} */ (DECIMALS), state(more), PAGE).where);
  return replica.sql.query(`SELECT id FROM jobs WHERE ${where.sql} ORDER BY id`, where.params).rows.flat();
};

test('a search ignores case in every alphabet, and finds numbers as shown', () => {
  const { log, replica } = fieldService();
  ['Ölwechsel', 'ALTÖL', 'Ёлка', 'Straße 5'].forEach((title, at) =>
    log.add('jobs', `k${at}`, 'insert', 1, { title, price: '1234.50' }),
  );
  replica.applyChanges(log.frame());
  const find = finder(replica);
  assert.deepEqual(
    ['öl', 'ÖL', 'altöl', 'ёЛ', 'STRASSE', 'straße', 'boiler', 'b%'].map((search) => find({ search })),
    [['k0', 'k1'], ['k0', 'k1'], ['k1'], ['k2'], [], ['k3'], ['j1'], []],
  );
  assert.deepEqual(
    ['95.00', '95', '1234.5', '.50', '0.00'].map((search) => find({ search })),
    [['j1'], ['j1'], ['k0', 'k1', 'k2', 'k3'], ['k0', 'k1', 'k2', 'k3'], []],
  );
  assert.deepEqual(find({ search: withPoint('1.234,5', 'de') }), ['k0', 'k1', 'k2', 'k3']);
  assert.deepEqual(
    [withPoint('1,234.5', 'en'), withPoint('-95,', 'de'), withPoint('Roof', 'de')],
    ['1234.5', '-95.', 'Roof'],
  );
  assert.deepEqual(find({ filters: [{ field: 'title', op: 'contains', value: 'ölw' }] }), ['k0']);
  const { where } = /** @type {any} */ (listOptions(/** @type {any} */ (DECIMALS), state({ search: 'roof' }), PAGE));
  assert.ok(!where.sql.includes('printf') && where.params.length === 3, 'a plain word costs one comparison per column');
});

test('filtering by No finds records whose boolean was never set', () => {
  const find = finder(fieldService().replica);
  const urgent = (/** @type {boolean} */ value) => find({ filters: [{ field: 'urgent', op: 'eq', value }] });
  assert.deepEqual([urgent(true), urgent(false)], [['j1'], ['j2']]);
});

test('statuses sort in their declared order', () => {
  const { order } = listOptions(type, state({ sort: { field: 'status', descending: true } }), PAGE);
  assert.deepEqual(order, { sql: 'CASE "status" WHEN ? THEN 0 ELSE 1 END', params: ['open'], descending: true });
});

test('rows include titles of references, except to types that are not on this device', () => {
  const job = {
    ...type,
    fields: [
      ...type.fields,
      { name: 'customer', kind: 'reference', reference_table: 'customers' },
      { name: 'van', kind: 'reference', reference_table: 'vans' },
    ],
  };
  const types = new Map([['customers', { ...type, table_name: 'customers', title_field: 'name' }]]);
  const { select, where } = listOptions(job, state(), { columns: ['title', 'customer', 'van', 'gone'], types });
  assert.ok(
    select.sql.includes('AS "customer title"') && !select.sql.includes('van title') && !select.sql.includes('gone'),
  );
  assert.equal(where, null);
});

test('a window covers the viewport at any position of a list of any length', () => {
  for (const rows of [0, 1, 7, 1000, 336_776, 5_000_000]) {
    const list = { rows, rowHeight: 56, viewport: 700 };
    const height = windowOf({ ...list, scrollTop: 0 }).height;
    for (const share of [0, 0.1, 0.5, 0.999, 1]) {
      const scrollTop = share * Math.max(0, height - 700);
      const { first, count, top } = windowOf({ ...list, scrollTop });
      assert.ok(first >= 0 && first + count <= rows);
      assert.ok(top <= scrollTop + 0.01 || first === 0, 'starts above the viewport');
      assert.ok(
        top + count * 56 >= Math.min(scrollTop + 700, height) - 0.01 || first + count === rows,
        'ends below it',
      );
    }
    const end = windowOf({ ...list, scrollTop: Math.max(0, height - 700) });
    assert.equal(end.first + end.count, rows);
    assert.ok(end.count < 40);
  }
});

test('scrolling to a row moves no further than needed', () => {
  const list = { rows: 1000, rowHeight: 50, viewport: 500 };
  assert.equal(scrollTo({ ...list, scrollTop: 0, row: 3 }), 0);
  assert.equal(scrollTo({ ...list, scrollTop: 0, row: 20 }), 550);
  assert.equal(scrollTo({ ...list, scrollTop: 5000, row: 2 }), 100);
});

test('rows stay visible until the next list has some, which starts at its first row', async () => {
  /** @type {any[]} */
  const received = [],
    opened = [];
  /** @type {(update: any) => void} */
  let say = () => {};
  const list = new LiveList({
    open: (options, listener) => {
      say = listener;
      opened.push(options);
      return {
        show: (next) => opened.push(next),
        rows: async () => [{ id: 'a' }, null],
        close: () => opened.push('closed'),
      };
    },
    changed: (how) => received.push(how),
    progress: (share) => received.push(share),
    failed: ({ code }) => received.push(code),
  });
  list.show(type, state(), PAGE);
  say({ count: 0, complete: false, progress: 0.5, top: true });
  say({ count: 2, complete: true, progress: null, top: true });
  say({ count: 3, complete: true, progress: null, top: false });
  list.show(type, state({ search: 'x' }), PAGE);
  say({ count: 0, complete: true, progress: null, top: true });
  say({ count: 0, complete: true, progress: null, top: false, error: { code: 'unknown_table', message: '' } });
  assert.deepEqual(received, [
    0.5,
    null,
    { count: 2, top: true },
    null,
    { count: 3, top: false },
    null,
    { count: 0, top: true },
    null,
    'unknown_table',
  ]);
  assert.deepEqual(await list.rows(0, 2), [{ id: 'a' }, { id: '' }]);
  list.stop();
  assert.deepEqual([opened.length, opened[2]], [3, 'closed']);
});

test('a wide list shows the columns that fit, title first, numbers aligned right', () => {
  const wide = {
    ...type,
    label: 'Job',
    fields: [
      ...type.fields.map((/** @type {any} */ field) => ({ label: field.name, ...field })),
      { name: 'customer', kind: 'reference', label: 'Customer', reference_table: 'customers' },
    ],
  };
  const columns = (/** @type {number} */ width) =>
    tableColumns(wide, ['title', 'status', 'crew', 'customer', 'gone'], width).map(({ name }) => name);
  assert.deepEqual(columns(1000), ['title', 'status', 'crew', 'customer']);
  assert.deepEqual(columns(440), ['title', 'status', 'crew']);
  assert.deepEqual(columns(100), ['title']);
  const [title, status, crew, customer] = tableColumns(wide, ['title', 'status', 'crew', 'customer'], 1000);
  assert.deepEqual([title.grow > customer.grow, status.grow, crew.number, customer.sortable], [true, 0, true, false]);
  assert.equal(gridOf([title, crew]), 'minmax(240px, 2fr) 92px');
});
