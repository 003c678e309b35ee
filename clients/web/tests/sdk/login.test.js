/** The server of a replica: given at sign-in, stored in the replica, kept while edits are unsent. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { serverAddress } from '../../sdk/account.js';
import { Leader } from '../../sdk/leader.js';
import { memoryStorage } from '../../sdk/storage/memory.js';
import { memoryParts } from '../../sdk/storage/parts.js';
import { sqlite3 } from './support.js';

const TOM = { tenant: 'acme', user: 'tom', password: 'secret' };

/** @type {Leader[]} their timers would keep the tests waiting */
const opened = [];
after(() => Promise.all(opened.map((each) => each.close())));

/** A leader whose requests and sockets are recorded. Every server knows tom. */
async function leader(server = '') {
  const asked = [], sockets = [], bodies = [];
  class WebSocket {
    static OPEN = 1;
    constructor(url) { sockets.push(url); }
    send() {}
    close() {}
  }
  const fetch = async (url, { body }) => {
    asked.push(url);
    bodies.push(JSON.parse(body));
    const { tenant, user } = JSON.parse(body);
    return new Response(JSON.stringify({ device: `d${asked.length}`, token: `t${asked.length}`, tenant, user }), {
      status: 200,
    });
  };
  const it = await Leader.open({
    server,
    client: 'test',
    storage: memoryStorage(sqlite3),
    parts: memoryParts(),
    emit() {},
    fetch,
    WebSocket,
  });
  opened.push(it);
  return { leader: it, asked, sockets, bodies };
}

/** Wait for the effects of a request. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 50));
const code = (wanted) => (error) => error.code === wanted;

test('an address is https, or http on this machine; paths and spaces are cut off', () => {
  for (const [typed, origin] of [
    ['moat.example', 'https://moat.example'],
    [' https://Moat.Example:8443/app/#/o/jobs ', 'https://moat.example:8443'],
    ['http://localhost:8000/', 'http://localhost:8000'],
    ['http://127.0.0.1:1', 'http://127.0.0.1:1'],
    ['http://[::1]:8000', 'http://[::1]:8000'],
  ])
    assert.equal(serverAddress(typed), origin);
  for (const typed of [
    '',
    '   ',
    'http://moat.example',
    'http://localhost.evil.example',
    'ws://localhost',
    'javascript://moat.example',
    'file:///etc',
    'https://tom:secret@moat.example',
    'https://tom@moat.example',
    'https://',
    'no server',
  ]) {
    assert.throws(() => serverAddress(typed), code('bad_server'), typed);
  }
});

test('an app without a server needs one to sign in and remembers it in the replica', async () => {
  const { leader: first, asked, sockets } = await leader();
  assert.deepEqual([first.status().phase, first.status().server, sockets], ['signed_out', '', []]);
  await assert.rejects(first.call('login', [TOM]), code('bad_server'));
  await assert.rejects(first.call('login', [{ ...TOM, server: 'http://moat.example' }]), code('bad_server'));
  assert.deepEqual(asked, []);
  await first.call('login', [{ ...TOM, server: 'moat.example' }]);
  await settled();
  assert.deepEqual(
    [asked, sockets, first.status().server],
    [['https://moat.example/api/login'], ['wss://moat.example/ws/sync'], 'https://moat.example'],
  );
  assert.equal(first.replica.local('server'), 'https://moat.example');
  // The next start opens the same replica.
  sockets.length = 0;
  const again = new Leader(first.options, first.replica, 'r');
  await settled();
  assert.deepEqual([again.status().server, sockets], ['https://moat.example', ['wss://moat.example/ws/sync']]);
  again.event({ on: 'stop' });
  await settled();
  await first.close();
});

test('another server gets no data of the first, and unsent edits prevent signing in to it', async () => {
  const { leader: it, asked, sockets } = await leader();
  await it.call('login', [{ ...TOM, server: 'https://one.example' }]);
  it.replica.adopt({ tenant: 'acme', channel: 'full', server_epoch: 'e'.repeat(32), state_hash: 'h', cursor: 7 });
  it.replica.overlays.add({
    op_id: 1,
    tx: null,
    table: 'jobs',
    id: 'j',
    op: 'insert',
    payload: {},
    base_version: 0,
    schema_version: 0,
    created_at: '',
    state: 'pending',
    acked_cursor: null,
    settles: null,
    code: null,
    message: null,
    details: null,
  });
  await it.call('logout', [{}]);
  await settled();
  asked.length = sockets.length = 0;
  await assert.rejects(it.call('login', [{ ...TOM, server: 'https://two.example' }]), code('other_server'));
  assert.deepEqual([asked, sockets, it.status().server, it.replica.state.cursor], [[], [], 'https://one.example', 7]);
  await it.call('discard', [1]);
  await it.call('login', [{ ...TOM, server: 'https://two.example' }]);
  await settled();
  assert.deepEqual(
    [asked, sockets, it.replica.state.tenant, it.replica.state.cursor],
    [['https://two.example/api/login'], ['wss://two.example/ws/sync'], '', 0],
  );
  await it.call('logout', [{}]);
  assert.equal(asked.at(-1), 'https://two.example/api/logout');
  await it.close();
});

test('a page served by a server signs in to that server only', async () => {
  const { leader: it, asked } = await leader('https://moat.example');
  await assert.rejects(it.call('login', [{ ...TOM, server: 'https://two.example' }]), code('bad_server'));
  await it.call('login', [TOM]);
  assert.deepEqual(asked, ['https://moat.example/api/login']);
  await it.close();
});

test('signing in again sends the previous device and its last op_id, but not to another server', async () => {
  const { leader: it, bodies } = await leader();
  await it.call('login', [{ ...TOM, server: 'moat.example' }]);
  it.replica.setLocal('last_op_id', 1700000000042);
  await it.call('login', [TOM]);
  await it.call('login', [{ ...TOM, server: 'two.example' }]);
  assert.deepEqual(
    bodies.map(({ device_id, last_op_id }) => [device_id, last_op_id]),
    [
      [undefined, undefined],
      ['d1', 1700000000042],
      [undefined, undefined],
    ],
  );
  it.event({ on: 'stop' });
});
