/** The list page: what it shows without rows, and that chips and column heads keep their elements in use. */

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { ListView } from '../../app/views/list.js';
import { JOB } from '../sdk/support.js';
import { page } from './page.js';

const TYPE = { ...JOB, label: 'Job', label_plural: 'Jobs', icon: 'wrench', title_field: 'title' };

/** A list in a page, the queries its replica received, and a way to respond. */
function listOf() {
  const it = { shown: [], say: (_update) => {} };
  const app = {
    types: new Map([['jobs', TYPE]]),
    drafts: new Map(),
    on: () => () => {},
    canCreate: () => true,
    rights: () => ({ canRead: () => true }),
    titleOf: () => '',
    moat: {
      states: async () => ({}),
      list: (options, listener) => {
        it.say = (update) => listener({ complete: true, progress: null, top: false, ...update });
        it.shown.push(options);
        return { show: (next) => it.shown.push(next), rows: async () => [], close() {} };
      },
    },
  };
  it.view = new ListView(/** @type {any} */ (app), 'jobs');
  document.body.append(it.view.element);
  return it;
}

beforeEach(page);

test('a list that fails shows the error and a retry button', () => {
  const it = listOf(),
    { view } = it;
  it.say({ count: 0, error: { code: 'storage_failed', message: 'disk I/O error' } });
  assert.equal(view.nothing.text, 'Couldn’t load the list disk I/O error Try again');
  assert.deepEqual([view.nothing.hidden, view.virtual.element.hidden, view.count.textContent], [false, true, '']);
  view.nothing.called('Try again').act('click');
  assert.equal(it.shown.length, 2);
  it.say({ count: 3 });
  assert.deepEqual([view.nothing.hidden, view.virtual.element.hidden, view.count.textContent], [true, false, '3']);
  assert.equal(document.activeElement, view.virtual.element, 'the focus moves to the list');
  it.say({ count: 0 });
  assert.equal(view.nothing.text, 'No jobs yet Select New to create the first one.');
});

test('a list without matches says so, and keeps its button while the list changes', () => {
  const it = listOf(),
    { view } = it;
  view.chips.called('Done').act('click');
  it.say({ count: 0 });
  const all = view.nothing.called('Clear filters');
  all.focus();
  it.say({ count: 0 });
  assert.equal(document.activeElement, all);
  all.act('click');
  assert.deepEqual([view.status, it.shown.at(-1).where], ['', null]);
});

test('a pressed chip or column head keeps its element and updates its label', () => {
  const { view, shown } = listOf();
  view.widen(true);
  for (const [chip, status] of [
    ['Done', 'done'],
    ['Open', 'open'],
  ]) {
    const element = view.chips.called(chip);
    element.act('click');
    assert.deepEqual(
      [document.activeElement, element.attributes['aria-pressed'], shown.at(-1).where.params],
      [element, 'true', [status]],
    );
  }
  assert.equal(view.chips.called('Done').attributes['aria-pressed'], 'false');
  const head = view.tableHead.called('Sort by price');
  for (const [label, arrow] of [
    ['Sort by price, ascending', '↑'],
    ['Sort by price, descending', '↓'],
  ]) {
    head.act('click');
    assert.deepEqual(
      [document.activeElement, head.attributes['aria-label'], head.children[1].textContent],
      [head, label, arrow],
    );
  }
  assert.deepEqual(view.panel.sort, { field: 'price', descending: true });
});

test('a filter on a field that became unreadable is dropped', () => {
  const it = listOf(),
    { view } = it;
  view.panel.add();
  const { field } = view.panel.rows[0];
  Object.assign(view.panel.rows[0], { op: 'filled' });
  view.onPanel();
  assert.deepEqual([view.state.filters.length, view.more.classList.names.has('on')], [1, true]);
  view.app.rights = () => /** @type {any} */ ({ canRead: (name) => name !== field });
  view.drawHead();
  view.show();
  assert.deepEqual([view.state.filters, view.more.classList.names.has('on'), it.shown.at(-1).where], [[], false, null]);
});
