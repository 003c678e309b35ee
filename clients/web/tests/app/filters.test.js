/** The filter panel of a list: it shows the filters that apply, and a redraw does not disturb the user. */

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { toLocalInput } from '../../app/forms/display.js';
import { filterOf, isSet, operatorsOf, shownValue, valueOf } from '../../app/lists/filters.js';
import { FilterPanel } from '../../app/views/filters.js';
import { page } from './page.js';

const field = (name, kind, more = {}) => ({ name, kind, label: name, ...more });
const TITLE = field('title', 'text'),
  PRICE = field('price', 'decimal'),
  URGENT = field('urgent', 'boolean'),
  AT = field('at', 'datetime');
const SIZE = field('size', 'choice', { choices: [{ value: 's', label: 'Small' }] });

/** A panel in a page, and how often it reported a change. */
function panelOf(fields) {
  const it = {
    said: 0,
    panel: new FilterPanel({
      changed: () => {
        it.said += 1;
      },
    }),
    choices: (more = {}) => ({
      fields,
      all: fields.map(({ name }) => name),
      columns: ['title'],
      sort: null,
      title: 'title',
      ...more,
    }),
  };
  document.body.append(it.panel.element);
  it.panel.use(it.choices());
  return it;
}
const value = ({ panel }, row = 0) => panel.list.children[row].children[2];

beforeEach(page);

test('a control shows the value it returned, for every kind', () => {
  const at = '2026-11-21T09:30:00.000000Z';
  for (const [of, given] of [
    [TITLE, 'a'],
    [PRICE, 1.5],
    [URGENT, true],
    [URGENT, false],
    [AT, at],
    [SIZE, 's'],
    [TITLE, ''],
  ])
    assert.equal(valueOf(of, shownValue(of, given)), given);
  assert.equal(shownValue(AT, at), toLocalInput(at));
  assert.deepEqual(
    [
      filterOf(URGENT).value,
      isSet(filterOf(URGENT)),
      isSet(filterOf(PRICE)),
      isSet({ ...filterOf(PRICE), op: 'empty' }),
    ],
    [true, true, false, true],
  );
  assert.deepEqual(operatorsOf(URGENT), [['eq', 'is']]);
});

test('a redraw keeps values in their inputs, and the focus', () => {
  const it = panelOf([TITLE, PRICE, AT]);
  it.panel.add();
  value(it).act('input', { value: 'roof' });
  const before = value(it);
  it.panel.use(it.choices({ sort: { field: 'title', descending: true }, columns: [] }));
  assert.equal(value(it), before);
  assert.equal(document.activeElement, before);
  assert.equal(before.value, 'roof');

  it.panel.add(); // another condition
  it.panel.rows[1].field = 'price';
  it.panel.draw();
  value(it, 1).act('input', { value: '1.0' });
  it.panel.draw();
  assert.deepEqual([value(it).value, value(it, 1).value], ['roof', '1.0'], 'text being typed is not normalized');
  assert.deepEqual(it.panel.filters, [
    { field: 'title', op: 'contains', value: 'roof' },
    { field: 'price', op: 'contains', value: 1 },
  ]);

  it.panel.use(it.choices({ fields: [PRICE, AT, TITLE].map((each) => ({ ...each, label: `The ${each.name}` })) }));
  assert.deepEqual([value(it).value, value(it, 1).value], ['roof', '1.0']);
});

test('a new input shows an existing value', () => {
  const it = panelOf([AT, TITLE]);
  it.panel.add();
  Object.assign(it.panel.rows[0], { op: 'lte', value: '2026-11-21T09:30:00.000000Z' });
  it.panel.draw();
  assert.equal(value(it).value, toLocalInput('2026-11-21T09:30:00.000000Z'));
  it.panel.list.children[0].children[1].act('change', { value: 'empty' });
  assert.equal(value(it).name, 'span');
  it.panel.list.children[0].children[1].act('change', { value: 'gte' });
  assert.equal(value(it).value, toLocalInput('2026-11-21T09:30:00.000000Z'));
});

test('changing a field, a condition, the sort, or a column by keyboard keeps the focus', () => {
  const it = panelOf([TITLE, SIZE, PRICE]);
  it.panel.add();
  const [which, how] = it.panel.list.children[0].children;
  const [, sort, order] = it.panel.sortBox.children;
  const box = it.panel.columnBox.children[1].children[0];
  for (const [element, change] of [
    [which, { value: 'size' }],
    [how, { value: 'ne' }],
    [sort, { value: 'price' }],
    [order, { value: 'desc' }],
  ]) {
    element.act('change', change);
    assert.equal(document.activeElement, element, change.value);
    it.panel.use({ ...it.choices(), sort: it.panel.sort, columns: it.panel.columns });
    assert.equal(document.activeElement, element, change.value);
  }
  box.act('input', { checked: true });
  it.panel.draw();
  assert.equal(document.activeElement, box);
  assert.deepEqual(
    [it.said, it.panel.sort, it.panel.columns],
    [5, { field: 'price', descending: true }, ['title', 'size']],
  );

  it.panel.use(it.choices({ fields: [{ ...TITLE, label: 'Name' }, SIZE, PRICE] }));
  which.focus();
  it.panel.use(it.choices({ fields: [{ ...TITLE, label: 'Title' }, SIZE, PRICE] }));
  assert.notEqual(document.activeElement, document.body);
});

test('removing a filter moves the focus to the next one, or to the Add button', () => {
  const it = panelOf([TITLE]);
  it.panel.add();
  it.panel.add();
  const removes = () => it.panel.list.children.map((row) => row.children[3]);
  const [first, second] = removes();
  first.act('click');
  assert.equal(document.activeElement, second);
  second.act('click');
  assert.equal(document.activeElement, it.panel.adder);
});

test('a boolean filter applies immediately, and a filter goes with its field', () => {
  const it = panelOf([URGENT, TITLE]);
  it.panel.add();
  assert.deepEqual(
    [it.said, value(it).value, it.panel.filters],
    [1, 'true', [{ field: 'urgent', op: 'eq', value: true }]],
  );
  value(it).act('change', { value: '' });
  it.panel.draw();
  assert.deepEqual([it.said, value(it).value, it.panel.filters[0].value], [2, '', false]);
  it.panel.use(it.choices({ fields: [TITLE] }));
  assert.deepEqual([it.panel.filters, it.panel.list.children.length], [[], 0]);
});
