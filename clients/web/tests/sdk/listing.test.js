/** Long lists equal a query on the live view, in every order and after every change. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { List } from '../../sdk/list.js';
import { Lists } from '../../sdk/lists.js';
import { Sorter, compare } from '../../sdk/sorting.js';
import { Writing } from '../../sdk/writing.js';
import { fieldService } from './support.js';

const TITLES = ['roof', 'Boiler', 'boiler', 'Attic', null, 'zinc', 'Ärmel', 'attic 2'];
const SORTS = {
  id: null,
  title: { sql: '"title"' },
  'title desc': { sql: '"title"', descending: true },
  count: { sql: '"count"' },
  'count desc': { sql: '"count"', descending: true },
  urgent: { sql: 'CASE "urgent" WHEN ? THEN 0 ELSE 1 END', params: [1] },
};
const RULES = {
  id: 'id',
  title: 'title',
  'title desc': 'title DESC',
  count: 'count NULLS LAST',
  'count desc': 'count DESC NULLS LAST',
  urgent: 'CASE urgent WHEN 1 THEN 0 ELSE 1 END',
};

/** A replica of 3000 jobs with its lists and their messages. */
function world(hear = () => {}) {
  const { log, replica } = fieldService();
  for (let i = 0; i < 3000; i++) {
    log.add('jobs', `k${String((i * 7919) % 3000).padStart(4, '0')}`, 'insert', 1, {
      title: TITLES[i % 8],
      count: i % 5 ? (i * 31) % 97 : null,
      urgent: i % 3 === 0,
    });
  }
  replica.applyChanges(log.frame());
  /** @type {any[]} */
  const news = [];
  const lists = new Lists(() => replica, (message) => { news.push(message); hear(message); });
  const apply = (touched) => (touched.rebuilt ? lists.replaced() : lists.changed(touched.tables));
  return { log, replica, lists, news, apply };
}

const until = async (condition) => {
  for (let i = 0; !condition(); i++) {
    assert.ok(i < 2000, 'it never happened');
    await new Promise((resolve) => { setTimeout(resolve, 2); });
  }
};
const idle = async ({ news }, list) => until(() => news.findLast((each) => each.list === list)?.complete);
const ids = ({ lists }, list, from = 0, count = 9999) => lists.rows(list, 1, from, count).map((row) => row && row.id);

/** Assert that a list has the records of the live view, in an order their values allow. */
function assertOrdered(it, list, rule, where = '1') {
  const column = rule.replace(/ (DESC|ASC|NULLS LAST)/g, '');
  const expected = it.replica.sql.query(`SELECT id, ${column} FROM jobs WHERE ${where} ORDER BY ${rule}`).rows;
  const values = new Map(expected);
  const shown = ids(it, list);
  assert.deepEqual([...shown].sort(), expected.map(([id]) => id).sort());
  assert.deepEqual(shown.map((id) => values.get(id)), expected.map(([, value]) => value), rule);
}

test('a list equals a query in any order, with and without a condition', async () => {
  const it = world();
  for (const [name, order] of Object.entries(SORTS)) {
    it.lists.open(name, { table: 'jobs', order, select: { sql: 'r.id, r.title' } }, 1);
    it.lists.open(
      `${name}?`,
      { table: 'jobs', order, where: { sql: '"count" > ? OR "urgent" = ?', params: [50, 1] }, select: { sql: 'r.id' } },
      1,
    );
    await idle(it, name);
    await idle(it, `${name}?`);
    assertOrdered(it, name, RULES[name]);
    assertOrdered(it, `${name}?`, RULES[name], 'count > 50 OR urgent = 1');
  }
  assert.deepEqual(it.lists.rows('id', 1, 2999, 5).length, 3, 'a window ends with the list');
  it.lists.stop();
});

test('changes, pending edits, and confirmations move rows to their places without a new scan', async () => {
  const it = world();
  const { log, replica } = it;
  for (const [name, order] of Object.entries(SORTS))
    it.lists.open(name, { table: 'jobs', order, select: { sql: 'r.id' } }, 1);
  it.lists.open('few', { table: 'jobs', where: { sql: '"title" = ?', params: ['Attic'] }, select: { sql: 'r.id' } }, 1);
  for (const name of [...Object.keys(SORTS), 'few']) await idle(it, name);
  const check = () => {
    for (const name of Object.keys(SORTS)) assertOrdered(it, name, RULES[name]);
    assertOrdered(it, 'few', 'id', "title = 'Attic'");
  };
  log.add('jobs', 'k0010', 'update', 2, [
    { op: 'replace', path: '/title', value: 'Attic' },
    { op: 'replace', path: '/count', value: null },
  ]);
  log.add('jobs', 'zz', 'insert', 1, { title: 'Attic', count: 3 });
  it.apply(replica.applyChanges(log.frame()));
  check();
  replica.devices.add('d1');
  const write = (wish) => {
    let opIds;
    it.apply(
      replica.change((touched) => {
        opIds = new Writing(replica, touched, () => new Date()).write([wish], 't');
      }),
    );
    return opIds[0];
  };
  const edit = write({ op: 'update', table: 'jobs', id: 'k0500', values: { title: 'Attic', count: 96, urgent: true } });
  check();
  write({ op: 'insert', table: 'jobs', id: 'a-new-one', values: { title: 'boiler', count: 1 } });
  check();
  write({ op: 'update', table: 'jobs', id: 'a-new-one', values: { title: 'Attic' } });
  write({ op: 'delete', table: 'jobs', id: 'k0501' });
  check();
  log.add(
    'jobs',
    'k0500',
    'update',
    2,
    [
      { op: 'replace', path: '/title', value: 'Attic' },
      { op: 'replace', path: '/count', value: 96 },
      { op: 'replace', path: '/urgent', value: true },
    ],
    { device: 'd1', op_id: edit },
  );
  it.apply(replica.applyChanges(log.frame()));
  check();
  const heard = it.news.length;
  log.add('jobs', 'k0502', 'delete', 2, null);
  it.apply(replica.applyChanges(log.frame()));
  await until(() => it.news.length >= heard + 7);
  check();
  it.lists.stop();
});

test('an edit that keeps a row’s value keeps its place', async () => {
  const it = world();
  it.lists.open('l', { table: 'jobs', order: { sql: '"urgent"' }, select: { sql: 'r.id' } }, 1);
  await idle(it, 'l');
  const before = ids(it, 'l'), id = before[700];
  it.apply(
    it.replica.change((touched) => {
      new Writing(it.replica, touched, () => new Date()).write(
        [{ op: 'update', table: 'jobs', id, values: { hours: 2 } }],
        't',
      );
    }),
  );
  assert.deepEqual(ids(it, 'l'), before);
  it.lists.stop();
});

test('a newer list replaces the older, a retired table is reported, forbidden SQL is rejected', async () => {
  const it = world();
  it.lists.open('l', { table: 'jobs', where: { sql: '"title" LIKE ?', params: ['%o%'] } }, 1);
  const before = it.news.length;
  it.lists.open('l', { table: 'jobs', where: { sql: '"title" = ?', params: ['zinc'] } }, 2);
  await idle(it, 'l');
  assert.deepEqual([...new Set(it.news.slice(before).map(({ turn }) => turn))], [2]);
  assert.equal(it.news.at(-1).count, 375);
  assert.throws(() => it.lists.rows('l', 1, 0, 1), { code: 'unknown_list' });
  for (const [list, options, code] of [
    ['a', { table: 'vans' }, 'unknown_table'],
    ['b', { table: 'jobs', where: { sql: '(SELECT value FROM device_state)' } }, 'not_allowed'],
    ['c', { table: 'object_metadata' }, 'unknown_table'],
  ]) {
    it.lists.open(list, options, 1);
    await idle(it, list);
    assert.equal(it.news.at(-1).error.code, code);
  }
  it.lists.open('d', { table: 'jobs' }, 1);
  it.log.publish([{ command: 'retire_table', table: 'jobs' }]);
  it.log.add('object_metadata', 'job', 'delete', 2, null);
  it.apply(it.replica.applyChanges(it.log.frame(it.log.revisions.slice(-1))));
  await until(() => it.news.findLast((each) => each.list === 'd').error?.code === 'unknown_table');
  it.lists.stop();
});

/** A tab whose lists use the leader’s. While `lives` is false, it gets no messages. */
function tabOf(it) {
  const methods = { listOpen: 'open', listRows: 'rows', listClose: 'close' };
  const tab = { lives: true, opened: 0, news: [], lists: new Map() };
  const call = async (method, ...args) => {
    if (method === 'listOpen') tab.opened += 1;
    return it.lists[methods[method]](...args);
  };
  tab.open = (options) => {
    const list = new List(call, options, (news) => tab.news.push(news));
    tab.lists.set(list.id, list);
    return list;
  };
  it.tabs = [...it.tabs ?? [], tab];
  return tab;
}

test('lists of dead tabs are closed, those of live tabs stay, and a tab that slept opens its list again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const turn = () =>
    new Promise((resolve) => {
      setImmediate(resolve);
    });
  const it = world((message) => {
    for (const tab of it.tabs ?? []) if (tab.lives) tab.lists.get(message.list)?.onMessage(message);
  });
  const quiet = tabOf(it),
    other = tabOf(it);
  const list = quiet.open({ table: 'jobs' });
  for (let i = 0; i < 12; i++) it.lists.open(`dead${i}`, { table: 'customers' }, 1);
  await turn();
  t.mock.timers.tick(6000);
  await turn();
  assert.equal((await list.rows(0, 10)).length, 10);
  assert.equal(quiet.opened, 1, 'it was never closed');
  assert.throws(() => it.lists.rows('dead0', 1, 0, 1), { code: 'unknown_list' });

  const many = Array.from({ length: 14 }, () => other.open({ table: 'jobs' }));
  await turn();
  t.mock.timers.tick(6000);
  await turn();
  t.mock.timers.tick(6000);
  await turn();
  assert.deepEqual([quiet.opened, other.opened], [1, 14], 'live lists do not close each other');
  quiet.news.length = 0;
  it.log.add('jobs', 'k0010', 'update', 2, [{ op: 'replace', path: '/title', value: 'X' }]);
  it.apply(it.replica.applyChanges(it.log.frame()));
  assert.equal(quiet.news.length, 1, 'each list gets updates');

  quiet.lives = false; // it sleeps
  other.open({ table: 'jobs' });
  await turn();
  const told = it.news.length;
  t.mock.timers.tick(6000);
  await turn();
  const missed = it.news.slice(told).filter((message) => message.list === list.id);
  assert.deepEqual(
    missed.map(({ asked }) => asked),
    ['again'],
  );
  quiet.lives = true;
  for (const message of missed) list.onMessage(message);
  await turn();
  assert.equal((await list.rows(0, 10)).length, 10);
  for (const each of many) each.close();
  it.lists.stop();
});

test('a rejected write during a scan neither stops nor shrinks a list, and a closed list stays closed', async (t) => {
  const asked = [];
  const it = world(({ count }) => {
    if (count > 1000 && asked.length < 2) refused(count);
  });
  let now = 0;
  t.mock.method(performance, 'now', () => (now += 200)); // every slice is as short as can be
  const refused = (about) => {
    asked.push(about);
    assert.throws(
      () =>
        it.replica.change((touched) => {
          new Writing(it.replica, touched, () => new Date()).write(
            [{ op: 'insert', table: 'jobs', id: 'j1', values: {} }],
            't',
          );
        }),
      { code: 'exists' },
    );
  };
  it.lists.open('l', { table: 'jobs', order: SORTS.title, select: { sql: 'r.id' } }, 1);
  refused('at once');
  await idle(it, 'l');
  assertOrdered(it, 'l', RULES.title);
  const counts = it.news.map(({ count }) => count);
  assert.ok(asked[1] > 1000 && asked[1] < 3002);
  assert.deepEqual(
    counts,
    [...counts].sort((a, b) => a - b),
    'the count never decreases',
  );

  it.lists.open('closed', { table: 'jobs', order: SORTS.title }, 1);
  it.lists.close('closed');
  refused('closed');
  const heard = it.news.length;
  await new Promise((resolve) => {
    setTimeout(resolve, 20);
  });
  assert.equal(it.news.length, heard);
});

test('in index order a change finds its place in any alphabet', async () => {
  const it = world();
  const titles = [
    '\uff21',
    '\u{1f600}',
    '\uff22',
    '\u{1f601}x',
    '\u{1f601}',
    'a\u{1f600}',
    'a\uffee',
    '\ue000',
    '\ud7ff',
  ];
  titles.forEach((title, at) => it.log.add('jobs', `x${at}`, 'insert', 1, { title }));
  it.apply(it.replica.applyChanges(it.log.frame()));
  for (const order of [SORTS.title, SORTS['title desc']])
    it.lists.open(String(Boolean(order.descending)), { table: 'jobs', order, select: { sql: 'r.title' } }, 1);
  for (const list of ['false', 'true']) await idle(it, list);
  titles.forEach((title, at) => {
    it.log.add('jobs', `y${at}`, 'insert', 1, { title });
    it.log.add('jobs', `z${at}`, 'insert', 1, { title: `${title}z` });
  });
  it.apply(it.replica.applyChanges(it.log.frame()));
  for (const [list, way] of [['false', 'ASC'], ['true', 'DESC']]) {
    assert.deepEqual(
      it.lists.rows(list, 1, 0, 9999).map(({ title }) => title),
      it.replica.sql.rows(`SELECT title FROM main.jobs ORDER BY title ${way}`).flat(),
    );
  }
  it.lists.stop();
});

test('sorting is stable, numbers come before text, and null comes last in both directions', () => {
  const sorter = new Sorter();
  const values = ['b', null, 2, 'A', 'a', 1, null, 10, 'B'];
  values.forEach((value, key) => sorter.add(key, value));
  assert.deepEqual([...sorter.sorted(1)].map((key) => values[key]), [1, 2, 10, 'A', 'a', 'b', 'B', null, null]);
  assert.deepEqual([...sorter.sorted(-1)].slice(-2).map((key) => values[key]), [null, null]);
  assert.ok(compare('b', 'A', 1) > 0 && compare(null, 'A', -1) > 0 && compare(3, 'A', -1) > 0);
});
