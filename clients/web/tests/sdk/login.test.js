/** Which server a replica belongs to: named at log-in, remembered in the replica, never left with unsent edits behind. */

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

/** A leader whose requests and sockets are written down; every server knows tom. */
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

/** What follows from a request has happened. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 50));
const code = (wanted) => (error) => error.code === wanted;

test('an address is https, or http on this very machine; what was copied with it is cut off', () => {
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

test('an app that was told no server asks for one at log-in, and remembers it in the replica', async () => {
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
  // The next start reads the same replica.
  sockets.length = 0;
  const again = new Leader(first.options, first.replica, 'r');
  await settled();
  assert.deepEqual([again.status().server, sockets], ['https://moat.example', ['wss://moat.example/ws/sync']]);
  again.event({ on: 'stop' });
  await settled();
  await first.close();
});

test('another server gets nothing of the data of the first, and unsent edits stay with theirs', async () => {
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

test('a page that comes from a server keeps to it', async () => {
  const { leader: it, asked } = await leader('https://moat.example');
  await assert.rejects(it.call('login', [{ ...TOM, server: 'https://two.example' }]), code('bad_server'));
  await it.call('login', [TOM]);
  assert.deepEqual(asked, ['https://moat.example/api/login']);
  await it.close();
});

test('who logs in again says which device it was and how far its edits are numbered; not to another server', async () => {
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
