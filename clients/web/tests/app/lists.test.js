import assert from 'node:assert/strict';
import { test } from 'node:test';

import { countQuery, listColumns, windowQuery } from '../../app/lists/query.js';
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
  const query = windowQuery(type, state({ search: `50%_ "x'`, filters: [{ field: 'status', op: 'eq', value: 'open' }, { field: 'id"; DROP', op: 'eq', value: 1 }], sort: { field: 'zz', descending: true } }), { columns: ['title'], limit: 10, offset: 20 });
  assert.ok(!query.sql.includes('DROP') && !query.sql.includes('zz') && !query.sql.includes('50'));
  assert.equal((query.sql.match(/\?/g) ?? []).length, query.params.length);
  assert.ok(query.params.includes('%50\\%\\_%') && query.params.includes(`%"x'%`));
  assert.deepEqual(query.params.slice(-3), ['open', 10, 20]);
});

test('the count asks the same question as the window', () => {
  const filters = [{ field: 'crew', op: /** @type {const} */ ('gte'), value: 2 }, { field: 'notes', op: /** @type {const} */ ('empty') }];
  assert.equal(countQuery(type, state({ filters })).sql, `SELECT count(*) AS "count" FROM "jobs" WHERE "crew" >= ? AND ("notes" IS NULL OR "notes" = '')`);
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
