// The functions that `benchmarks/browser.py` runs in a page; `moat` is the page's replica.

const since = (began) => performance.now() - began;
const until = async (ready) => { while (!ready()) await new Promise((resolve) => setTimeout(resolve, 2)); };
const open = async () => { window.moat = await (await import('/static/web/sdk/index.js')).open({}); };
const live = () => until(() => moat.status().phase === 'live');

/** Rows/s of SQLite itself in this page: in memory, in one transaction. */
async function bareRows(count) {
  const { default: init } = await import('/static/web/sdk/vendor/sqlite3/index.mjs');
  const db = new (await init()).oo1.DB(':memory:', 'c');
  db.exec(
    'CREATE TABLE jobs (id TEXT PRIMARY KEY, version INTEGER, title TEXT, customer TEXT, priority INTEGER, ' +
    'price NUMERIC, day TEXT, notes TEXT)',
  );
  const statement = db.prepare('INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)'), began = performance.now();
  db.exec('BEGIN');
  for (let i = 0; i < count; i++) {
    const price = `${i % 900}.50`;
    const row = [`job-${i}`, 1, `Job number ${i}`, `Customer ${i % 977}`, i % 5, price, '2026-01-15', 'Ring twice.'];
    statement.bind(row).stepReset();
  }
  db.exec('COMMIT');
  const rate = count / since(began) * 1000;
  statement.finalize();
  db.close();
  return rate;
}

async function firstSync(credentials) {
  await open();
  const began = performance.now();
  await moat.login(credentials);
  await live();
  const seconds = since(began) / 1000;
  return { seconds, rows: (await moat.query('SELECT count(*) AS n FROM jobs'))[0].n };
}

async function lists() {
  const select = { sql: 'r.id, r.title, r.customer_name, r.priority' };
  let notify = () => {};
  const none = { sql: '"id" = ?', params: ['none'] };
  const list = moat.list({ table: 'jobs', select, where: none }, (update) => notify(update));
  const shown = (options) => new Promise((resolve) => {
    const began = performance.now();
    notify = ({ count, complete }) => {
      if (!count && !complete) return;
      notify = () => {};
      void list.rows(0, 100).then(() => resolve(since(began)));
    };
    list.show({ table: 'jobs', select, ...options });
  });
  const whole = () => new Promise((resolve) => {
    notify = ({ complete, count }) => { if (complete) resolve(count); };
    list.show({ table: 'jobs', select });
  });
  const first = await shown({});
  const like = '"title" LIKE ? OR "customer_name" LIKE ? OR "notes" LIKE ?';
  const search = await shown({ where: { sql: like, params: ['%77%', '%77%', '%77%'] } });
  const number = await shown({ order: { sql: '"price"', descending: true } });
  const text = await shown({ order: { sql: '"title"' } });
  const count = await whole(), windows = [];
  const window_ = async (at) => {
    const began = performance.now();
    await list.rows(at, 100);
    return since(began);
  };
  for (let i = 0; i < 60; i++) windows.push(await window_(Math.floor((i * 7919 * 101) % count)));
  list.show({ table: 'jobs', select, order: { sql: '"title"' } });
  const other = moat.list({ table: 'jobs', select }, () => {});
  await new Promise((resolve) => setTimeout(resolve, 50));
  const began = performance.now();
  await other.rows(0, 100);
  const during = since(began);
  await whole();
  const id = (await list.rows(count >> 1, 1))[0].id, edited = performance.now();
  const visible = new Promise((resolve) => {
    notify = async () => { if ((await list.rows(count >> 1, 1))[0].title === 'Edited here') resolve(since(edited)); };
  });
  await moat.update('jobs', id, { title: 'Edited here' });
  const edit = await visible;
  notify = () => {};
  list.close();
  other.close();
  await until(() => moat.status().pending === 0);
  return { first, search, number, text, windows, during, edit };
}

async function reopened() {
  await open();
  await live();
}

async function follow() {
  const times = window.times = {};
  const query = { sql: 'SELECT title FROM jobs WHERE id = ?', params: ['job-1'] };
  moat.watch(query, ([{ title }]) => { times[title] = Date.now(); });
  await live();
}

async function edit(title) {
  const began = Date.now();
  await moat.update('jobs', 'job-1', { title });
  return began;
}

async function seen(title) {
  await until(() => title in window.times);
  return window.times[title];
}
