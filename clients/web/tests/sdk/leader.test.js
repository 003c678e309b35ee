/** The leader against a fake server: what remains after a sign-out, and edits whose reply or storage failed. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Leader } from '../../sdk/leader.js';
import { chooseStorage } from '../../sdk/storage/choose.js';
import { memoryStorage } from '../../sdk/storage/memory.js';
import { memoryParts } from '../../sdk/storage/parts.js';
import { createTable, CUSTOMER, EPOCH, JOB, Log, sqlite3 } from './support.js';

const SECRET = 'TopSecretBoiler';
const as = (user) => ({ tenant: 'acme', user, password: 'secret' });
const pause = (ms = 40) => new Promise((resolve) => setTimeout(resolve, ms));
/** @type {Leader[]} */
const opened = [];
after(() => Promise.all(opened.map((each) => each.close())));

/** A leader, and a server with one job. `onPush` handles pushes; `mute` keeps the server silent. */
async function world({
  storage = memoryStorage(sqlite3),
  parts = memoryParts(),
  onPush = (_socket, _message, _ops, _log) => {},
} = {}) {
  const log = new Log(),
    server = { mute: false, pushes: [] };
  log.publish([createTable(CUSTOMER), createTable(JOB)], [CUSTOMER, JOB]);
  log.add('jobs', 'j1', 'insert', 1, { object_type: 'repair', status: 'open', title: SECRET, price: '95.00' });
  const first = log.frame();
  class WebSocket {
    static OPEN = 1;
    readyState = 1;
    constructor() {
      setTimeout(() => this.onopen?.({}), 1);
    }
    say(envelope, lines = []) {
      if (!server.mute)
        setTimeout(() => this.onmessage?.({ data: [JSON.stringify(envelope), ...lines].join('\n') }), 1);
    }
    frame({ lines, revisions: _, ...envelope }) {
      this.say(envelope, lines);
    }
    close() {
      this.readyState = 3;
    }
    send(text) {
      const [head, ...lines] = text.split('\n');
      const { type, ref, from, cursor } = JSON.parse(head);
      const at = { cursor: log.cursor, schema_version: log.schema_version };
      if (type === 'hello')
        this.say({
          type: 'welcome',
          ref,
          tenant: 'acme',
          user: 'x',
          device: 'd',
          profile: null,
          access: null,
          channel: 'full',
          server_epoch: EPOCH,
          limits: {},
          chain: 'ok',
          settled: [],
          ...at,
        });
      if (type === 'schema') this.say({ type: 'schema', ref, from, to: log.schema_version, revisions: log.revisions });
      if (type === 'subscribe') {
        this.say({ type: 'catch_up', mode: 'log', ref, from: cursor, to: log.cursor });
        if (cursor === 0) this.frame(first);
        if (cursor < log.cursor) this.frame(log.frame());
        this.say({ type: 'live', cursor: log.cursor, state_hash: log.state_hash });
      }
      if (type !== 'push') return;
      const ops = lines.map((line) => JSON.parse(line));
      server.pushes.push(...ops);
      onPush(this, { ref }, ops, log);
    }
  }
  let number = 0;
  const fetch = async (url, { body }) =>
    url.endsWith('/logout')
      ? new Response(null, { status: 204 })
      : new Response(
          JSON.stringify({ device: `d${++number}`, token: `t${number}`, tenant: 'acme', user: JSON.parse(body).user }),
        );
  const leader = await Leader.open({
    server: 'https://moat.example',
    client: 'test',
    storage,
    parts,
    emit() {},
    fetch,
    WebSocket,
  });
  opened.push(leader);
  return { leader, log, server };
}

/** @param {Leader} leader */
async function live(leader) {
  for (let i = 0; i < 300 && leader.status().phase !== 'live'; i++) await pause(10);
  assert.equal(leader.status().phase, 'live');
}

const titles = async (leader) => (await leader.call('find', [{ table: 'jobs' }])).records.map(({ title }) => title);
const insert = (id) => [[{ op: 'insert', table: 'jobs', id, values: { title: 'New' } }], null];
const update = [[{ op: 'update', table: 'jobs', id: 'j1', values: { title: 'Oops' } }], null];

test('a user never sees the previous user’s data, even before the server replies', async () => {
  const { leader, server } = await world();
  await leader.call('login', [as('tom')]);
  await live(leader);
  assert.deepEqual(await titles(leader), [SECRET]);
  leader.replica.setLocal('access', { rules: [] });
  await leader.call('logout', [{}]);
  server.mute = true;
  await leader.call('login', [as('olga')]);
  await pause();
  assert.deepEqual(
    [leader.status().user, leader.status().access, leader.replica.schema.types.length, leader.status().cursor],
    ['olga', null, 0, 0],
  );
  server.mute = false;
});

test('a user who signs in again finds their data', async () => {
  const { leader, server } = await world();
  await leader.call('login', [as('tom')]);
  await live(leader);
  await leader.call('logout', [{}]);
  server.mute = true;
  await leader.call('login', [as('tom')]);
  assert.deepEqual(await titles(leader), [SECRET]);
  server.mute = false;
});

test('removing the data also removes it from the file and from downloaded parts', async () => {
  const parts = memoryParts();
  const { leader } = await world({ parts });
  await leader.call('login', [as('tom')]);
  await live(leader);
  await parts.put('abc', new Uint8Array(3));
  const holds = () => Buffer.from(sqlite3.capi.sqlite3_js_db_export(leader.replica.sql.db)).includes(SECRET);
  assert.ok(holds());
  await leader.call('logout', [{ forget: true }]);
  assert.ok(!holds());
  assert.equal(await parts.get('abc'), null);
});

test('an edit whose reply was lost cannot be discarded', async () => {
  let lose = true;
  const { leader, server } = await world({ onPush: (socket, { ref }, ops, log) => {
    if (lose) {
      for (const op of ops) log.add(op.table, op.id, 'update', 2, op.payload, { device: 'd1', op_id: op.op_id });
      setTimeout(() => socket.onclose?.({ code: 1006, reason: '' }), 1);
    } else
      socket.say({
        type: 'ack',
        ref,
        results: ops.map(({ op_id }) => ({ op_id, status: 'rejected', code: 'bad_value', message: 'no' })),
      });
  } });
  await leader.call('login', [as('tom')]);
  await live(leader);
  const [op] = await leader.call('write', update);
  await pause();
  assert.equal(server.pushes.length, 1);
  assert.notEqual(leader.status().phase, 'live');
  await assert.rejects(leader.call('discard', [op]), (error) => error.code === 'sending');
  assert.deepEqual(leader.replica.local('unanswered'), [op], 'a restart knows about it');
  leader.event({ on: 'wake' });
  await live(leader);
  assert.deepEqual(await titles(leader), ['Oops']);
  lose = false;
  const [refused] = await leader.call(
    'write',
    update.map((each) => each && [{ ...each[0], values: { title: 'Again' } }]),
  );
  await pause();
  assert.equal(leader.status().rejected, 1);
  await leader.call('discard', [refused]);
  assert.deepEqual(await titles(leader), ['Oops']);
});

test('an edit that could not be stored is neither shown nor sent; repeating it adds it once', async () => {
  const storage = memoryStorage(sqlite3), { flush } = storage;
  let full = false;
  storage.flush = async () => {
    if (full) throw Object.assign(new Error('no room'), { code: 'storage_failed' });
    return flush();
  };
  const { leader, server } = await world({ storage });
  await leader.call('login', [as('tom')]);
  await live(leader);
  full = true;
  for (const id of ['n1', 'n2']) await assert.rejects(leader.call('write', insert(id), `request-${id}`));
  assert.deepEqual([await titles(leader), leader.status().pending], [[SECRET], 0]);
  full = false;
  await leader.call('write', insert('n3'), 'request-n2');
  await pause();
  assert.deepEqual([(await titles(leader)).sort(), server.pushes.map(({ id }) => id)], [['New', SECRET], ['n3']]);
});

test('pending ops are sent when storage is available again', async () => {
  const storage = memoryStorage(sqlite3), { flush } = storage;
  let full = false;
  storage.flush = async () => {
    if (full) throw Object.assign(new Error('no room'), { code: 'storage_failed' });
    return flush();
  };
  const { leader, server } = await world({
    storage,
    onPush: (socket, { ref }, ops) =>
      socket.say({ type: 'ack', ref, results: ops.map(({ op_id }) => ({ op_id, status: 'applied', cursor: 99 })) }),
  });
  await leader.call('login', [as('tom')]);
  await live(leader);
  const replica = leader.replica;
  const [op] = await leader.call('write', insert('n1'));
  await pause();
  assert.equal(server.pushes.length, 1);
  full = true;
  replica.change((touched) => {
    replica.sql.run(`UPDATE main."overlays" SET "state" = 'pending' WHERE "op_id" = ?`, [op]);
    touched.add('jobs', 'n1');
  });
  leader.event({ on: 'ops' });
  await pause();
  assert.deepEqual([server.pushes.length, leader.status().phase], [1, 'live']);
  full = false;
  for (let i = 0; i < 200 && server.pushes.length === 1; i++) await pause(10);
  assert.equal(server.pushes.length, 2);
});

test('a replica in OPFS is not abandoned because one start failed', async () => {
  const failing = {
    ...sqlite3,
    installOpfsSAHPoolVfs: async () => {
      throw new DOMException('transient', 'UnknownError');
    },
  };
  const folder = (size) => ({
    getDirectoryHandle: async () => folder(size),
    async *values() { yield { kind: 'file', getFile: async () => ({ size }) }; },
  });
  const there = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  try {
    for (const [size, outcome] of [[40_960, 'storage_failed'], [4096, 3]]) {
      Object.defineProperty(globalThis, 'navigator', {
        configurable: true,
        value: { userAgent: 'test', storage: { getDirectory: async () => folder(size) } },
      });
      const found = await chooseStorage(failing, 'main', 'auto').then(({ tier }) => tier, ({ code }) => code);
      assert.equal(found, outcome);
    }
  } finally {
    if (there) Object.defineProperty(globalThis, 'navigator', there);
    else delete globalThis.navigator;
  }
});
