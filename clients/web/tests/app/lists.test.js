import assert from 'node:assert/strict';
import { test } from 'node:test';

import { gridOf, tableColumns } from '../../app/lists/columns.js';
import { LiveList } from '../../app/lists/live.js';
import { idsQuery, listColumns, pageQuery } from '../../app/lists/query.js';
import { scrollTo, windowOf } from '../../app/lists/window.js';

/** @type {any} */
const type = {
  object_name: 'job', table_name: 'jobs', title_field: 'title', subtypes: [], statuses: [{ value: 'open', label: 'Open' }],
  fields: [{ name: 'notes', kind: 'text' }, { name: 'title', kind: 'text' }, { name: 'attrs', kind: 'json' }, { name: 'crew', kind: 'integer' }],
};
const state = (more = {}) => ({ search: '', filters: [], sort: null, ...more });

test('a list shows the title first, then the status, never json, never what is hidden', () => {
  assert.deepEqual(listColumns(type, () => true), ['title', 'status', 'notes', 'crew']);
  assert.deepEqual(listColumns(type, (f) => f !== 'notes', 2), ['title', 'status']);
});

test('every value of a query is a parameter, and a name the type does not have never reaches it', () => {
  const query = idsQuery(type, state({ search: `50%_ "x'`, filters: [{ field: 'status', op: 'eq', value: 'held' }, { field: 'id"; DROP', op: 'eq', value: 1 }], sort: { field: 'zz', descending: true } }));
  assert.ok(!query.sql.includes('DROP') && !query.sql.includes('zz') && !query.sql.includes('50') && !query.sql.includes('held'));
  assert.equal((query.sql.match(/\?/g) ?? []).length, query.params.length);
  assert.ok(query.params.includes('%50\\%\\_%') && query.params.includes(`%"x'%`));
  assert.equal(query.params.at(-1), 'held');
});

test('a status sorts in the order in which an administrator declared it', () => {
  const { sql, params } = idsQuery(type, state({ sort: { field: 'status', descending: false } }));
  assert.match(sql, /ORDER BY CASE "status" WHEN \? THEN 0 ELSE 1 END ASC, "id" ASC/);
  assert.deepEqual(params, ['open']);
});

test('a page brings the titles of what its references point to, and leaves out a type that is not here', () => {
  const job = { ...type, fields: [...type.fields, { name: 'customer', kind: 'reference', reference_table: 'customers' }, { name: 'van', kind: 'reference', reference_table: 'vans' }] };
  const types = new Map([['customers', { ...type, table_name: 'customers', title_field: 'name' }]]);
  const { sql, params } = pageQuery(job, { columns: ['title', 'customer', 'van', 'gone'], ids: ['a', 'b'], types });
  assert.ok(sql.includes('AS "customer title"') && !sql.includes('van title') && !sql.includes('gone') && sql.endsWith('IN (?, ?)'));
  assert.deepEqual(params, ['a', 'b']);
});

test('a window covers the viewport anywhere in a list of any length, to the very last row', () => {
  for (const rows of [0, 1, 7, 1000, 336_776, 5_000_000]) {
    const list = { rows, rowHeight: 56, viewport: 700 };
    const height = windowOf({ ...list, scrollTop: 0 }).height;
    for (const share of [0, 0.1, 0.5, 0.999, 1]) {
      const scrollTop = share * Math.max(0, height - 700);
      const { first, count, top } = windowOf({ ...list, scrollTop });
      assert.ok(first >= 0 && first + count <= rows);
      assert.ok(top <= scrollTop + 0.01 || first === 0, 'starts above the viewport');
      assert.ok(top + count * 56 >= Math.min(scrollTop + 700, height) - 0.01 || first + count === rows, 'ends below it');
    }
    const end = windowOf({ ...list, scrollTop: Math.max(0, height - 700) });
    assert.equal(end.first + end.count, rows);
    assert.ok(end.count < 40);
  }
});

test('scrolling to a row brings it into sight and moves no more than needed', () => {
  const list = { rows: 1000, rowHeight: 50, viewport: 500 };
  assert.equal(scrollTo({ ...list, scrollTop: 0, row: 3 }), 0);
  assert.equal(scrollTo({ ...list, scrollTop: 0, row: 20 }), 550);
  assert.equal(scrollTo({ ...list, scrollTop: 5000, row: 2 }), 100);
});

test('a list asks once for many changes, shows them, and drops the answer to a question that was replaced', async () => {
  /** @type {((rows: any[]) => void)[]} */
  const asked = [];
  /** @type {any[]} */
  const heard = [];
  const list = new LiveList({ query: () => new Promise((resolve) => { asked.push(resolve); }), changed: (how) => heard.push(how), failed: assert.fail, now: () => 0 });
  const turn = () => new Promise((resolve) => { setImmediate(resolve); });
  list.show(type, state(), { columns: ['title'], types: new Map() });
  list.show(type, state({ search: 'x' }), { columns: ['title'], types: new Map() });
  asked[0]([{ ids: '["old"]' }]);
  await turn();
  for (let n = 0; n < 5; n += 1) list.refresh();
  asked[1]([{ ids: '["a","b"]' }]);
  await turn();
  assert.deepEqual(heard, [{ count: 2, top: true }]);
  assert.equal(asked.length, 3);
  asked[2]([{ ids: '["b"]' }]);
  await turn();
  assert.deepEqual(heard[1], { count: 1, top: false });
  assert.equal(asked.length, 3);
  list.stop();
});

test('a wide list shows the columns that fit, the title first and numbers to the right', () => {
  const wide = { ...type, label: 'Job', fields: [...type.fields.map((/** @type {any} */ field) => ({ label: field.name, ...field })), { name: 'customer', kind: 'reference', label: 'Customer', reference_table: 'customers' }] };
  const columns = (/** @type {number} */ width) => tableColumns(wide, ['title', 'status', 'crew', 'customer', 'gone'], width).map(({ name }) => name);
  assert.deepEqual(columns(1000), ['title', 'status', 'crew', 'customer']);
  assert.deepEqual(columns(440), ['title', 'status', 'crew']);
  assert.deepEqual(columns(100), ['title']);
  const [title, status, crew, customer] = tableColumns(wide, ['title', 'status', 'crew', 'customer'], 1000);
  assert.deepEqual([title.grow > customer.grow, status.grow, crew.number, customer.sortable], [true, 0, true, false]);
  assert.equal(gridOf([title, crew]), 'minmax(240px, 2fr) 92px');
});
