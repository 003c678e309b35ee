/** The engine as a state machine against a scripted server. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { genesis } from '../../sdk/chain.js';
import { AT_10, changes, does, live, machine, sent, welcome } from './machine.js';
import { EPOCH } from './support.js';

test('the engine sends hello, learns the genesis, subscribes, and goes live', () => {
  const { engine, run, frame } = machine();
  assert.equal(does(run({ on: 'start' }), 'connect').length, 1);
  assert.deepEqual(sent(run({ on: 'open' })), [
    {
      type: 'hello',
      protocol: 'moat.v1',
      token: 't',
      device: 'd1',
      schema_version: 0,
      cursor: 0,
      state_hash: null,
      client: 'test',
    },
  ]);
  const effects = frame(welcome({ chain: 'new' }));
  assert.equal(does(effects, 'adopt')[0].state.state_hash, genesis(EPOCH, 'acme'));
  assert.deepEqual(sent(effects), [
    { type: 'subscribe', schema_version: 0, cursor: 0, state_hash: genesis(EPOCH, 'acme'), channel: 'full', ref: 1 },
  ]);
  frame({ type: 'catch_up', mode: 'log', from: 0, to: 0, ref: 1 });
  frame({ type: 'live', cursor: 0, state_hash: genesis(EPOCH, 'acme') });
  assert.equal(engine.phase, 'live');
  const filtered = machine();
  filtered.run({ on: 'start' });
  filtered.run({ on: 'open' });
  assert.equal(
    does(filtered.frame(welcome({ chain: 'new', channel: 'k7' })), 'adopt')[0].state.state_hash,
    genesis(EPOCH, 'acme', 'k7'),
  );
});

test('without a token the engine waits for a sign-in', () => {
  const { engine, run } = machine({ token: null });
  assert.deepEqual(run({ on: 'start' }), []);
  assert.equal(engine.phase, 'signed_out');
  assert.equal(does(run({ on: 'signed_in', token: 't2', device: 'd2' }), 'connect').length, 1);
  assert.equal(sent(run({ on: 'open' }))[0].device, 'd2');
});

test('a frame with a gap leads to a new subscribe, and the rest of its stream is ignored', () => {
  const { engine, frame } = live();
  assert.equal(does(frame(changes(10, 12)), 'apply').length, 1);
  const effects = frame(changes(14, 15));
  assert.deepEqual(
    sent(effects).map(({ type, cursor }) => [type, cursor]),
    [['subscribe', 12]],
  );
  assert.deepEqual(frame(changes(12, 13)), [], 'from the previous stream');
  frame({ type: 'catch_up', mode: 'log', from: 12, to: 15, ref: 99 });
  assert.deepEqual(frame(changes(12, 13)), [], 'a reply to another request');
  frame({ type: 'catch_up', mode: 'log', from: 12, to: 15, ref: sent(effects)[0].ref });
  assert.equal(does(frame(changes(12, 15)), 'apply').length, 1);
  assert.deepEqual([engine.phase, engine.progress], ['catching_up', 1]);
});

test('a frame of a newer schema and all later frames wait for the revisions', () => {
  const { engine, frame } = live();
  const [ask] = sent(frame(changes(10, 11, { schema_version: 3 })));
  assert.deepEqual([ask.type, ask.from, engine.phase], ['schema', 1, 'upgrading']);
  assert.deepEqual(frame(changes(11, 12, { schema_version: 3 })), []);
  assert.deepEqual(frame(changes(12, 13, { schema_version: 4 })), []);
  const revisions = [2, 3, 4].map((schema_version) => ({ schema_version, commands: [] }));
  const effects = frame({ type: 'schema', from: 1, to: 4, revisions, ref: ask.ref });
  assert.deepEqual(
    does(effects, 'apply').map(({ frame: { from, revisions: with_ } }) => [from, with_.map((r) => r.schema_version)]),
    [
      [10, [2, 3]],
      [11, []],
      [12, [4]],
    ],
  );
  assert.deepEqual([engine.state.cursor, engine.state.schema_version, engine.phase], [13, 4, 'live']);
});

test('rows of a newer schema wait for its revisions and are applied in one step', () => {
  const { engine, frame, run } = machine({ state: AT_10 });
  run({ on: 'start' });
  run({ on: 'open' });
  const [subscribe] = sent(frame(welcome({ chain: 'pruned' })));
  const [ask] = sent(
    frame({
      type: 'catch_up',
      mode: 'rows',
      from: 10,
      to: 90,
      schema_version: 2,
      state_hash: 'h90',
      total: 2,
      ref: subscribe.ref,
    }),
  );
  assert.equal(ask.type, 'schema');
  frame({ type: 'rows', table: 'jobs', columns: [], deleted: [], remaining: 0 }, ['[]']);
  const effects = frame({
    type: 'schema',
    from: 1,
    to: 2,
    revisions: [{ schema_version: 2, commands: [] }],
    ref: ask.ref,
  });
  assert.deepEqual(
    effects.map((effect) => effect.do),
    ['send'],
    'it runs with the rows, because the log may come instead',
  );
  const again = sent(effects)[0];
  assert.deepEqual([again.type, again.schema_version], ['subscribe', 2]);
  frame({
    type: 'catch_up',
    mode: 'rows',
    from: 10,
    to: 90,
    schema_version: 2,
    state_hash: 'h90',
    total: 2,
    ref: again.ref,
  });
  frame({ type: 'rows', table: 'jobs', columns: ['id'], deleted: ['x'], remaining: 1 }, ['["a"]']);
  assert.equal(engine.progress, 0.5);
  frame({ type: 'rows', table: 'jobs', columns: ['id'], deleted: [], remaining: 0 }, ['["b"]']);
  const [rows] = does(frame({ type: 'rows_end', from: 10, to: 90, schema_version: 2, state_hash: 'h90' }), 'rows');
  assert.deepEqual(
    [rows.frames.length, rows.end],
    [2, { to: 90, state_hash: 'h90', revisions: [{ schema_version: 2, commands: [] }] }],
  );
  assert.equal(engine.state.schema_version, 2);
  assert.equal(does(frame(changes(90, 91, { schema_version: 2 })), 'apply').length, 1);
  const behind = live();
  assert.deepEqual(
    sent(behind.frame({ type: 'error', code: 'schema_behind', message: '' })).map(({ type }) => type),
    ['schema'],
  );
});

test('a snapshot keeps downloading while offline and is subscribed to once installed', () => {
  const { engine, frame, run } = machine();
  run({ on: 'start' });
  run({ on: 'open' });
  const [subscribe] = sent(frame(welcome({ chain: 'new' })));
  const manifest = { snapshot: 's1' };
  assert.deepEqual(
    does(frame({ type: 'catch_up', mode: 'snapshot', manifest, ref: subscribe.ref }), 'install')[0].manifest,
    manifest,
  );
  run({ on: 'progress', share: 0.5 });
  assert.deepEqual([engine.phase, engine.progress], ['downloading', 0.5]);
  run({ on: 'close', code: 1006 });
  assert.equal(engine.phase, 'downloading');
  assert.equal(does(run({ on: 'timer', name: 'retry' }), 'connect').length, 1);
  run({ on: 'open' });
  assert.deepEqual(run({ on: 'installed', state: AT_10 }), [], 'not before welcome');
  assert.deepEqual(sent(frame(welcome())).map(({ type, cursor }) => [type, cursor]), [['subscribe', 10]]);
});

test('a failed download is retried later; a missing snapshot is requested again at once', () => {
  for (const [code, then] of [['network', 'offline'], ['snapshot_gone', 'catching_up']]) {
    const { engine, frame, run } = machine();
    run({ on: 'start' });
    run({ on: 'open' });
    const [subscribe] = sent(frame(welcome({ chain: 'new' })));
    frame({ type: 'catch_up', mode: 'snapshot', manifest: {}, ref: subscribe.ref });
    run({ on: 'download_failed', code, message: 'm' });
    assert.equal(engine.phase, then);
  }
});

test('ops are pushed when live, one push at a time, and the rest after the ack', () => {
  const queue = [1, 2, 3, 4].map((op_id) => ({ op_id, tx: null, wire: { op_id } }));
  const { frame, run, onLive } = live({ pending: (max) => queue.slice(0, max) });
  const [push] = sent(onLive);
  assert.deepEqual(
    [push.type, push.cursor, does(onLive, 'send')[0].lines],
    ['push', 10, [{ op_id: 1 }, { op_id: 2 }, { op_id: 3 }]],
  );
  assert.deepEqual(run({ on: 'ops' }), [], 'one is in flight');
  const effects = frame({ type: 'ack', ref: push.ref, results: [{ op_id: 1, status: 'applied' }] });
  assert.deepEqual(
    effects.map((effect) => effect.do),
    ['ack'],
    'until the replica has processed the ack, the op is not sent again',
  );
  queue.splice(0, 3);
  assert.deepEqual(does(run({ on: 'ops' }), 'send')[0].lines, [{ op_id: 4 }]);
});

test('a push waits while the server is busy; one that is rejected is narrowed down to the op at fault', () => {
  let queue = [1, 2, 3].map((op_id) => ({ op_id, tx: null, wire: { op_id } }));
  const { engine, frame, run, onLive } = live({ pending: (max) => queue.slice(0, max) });
  let [{ ref }] = sent(onLive);
  const wait = frame({ type: 'error', code: 'overloaded', message: '', ref, retry_after: 3 });
  assert.deepEqual(wait.map((effect) => [effect.do, effect.name, effect.ms >= 3000]), [['timer', 'push', true]]);
  assert.deepEqual(run({ on: 'ops' }), []);
  [{ ref }] = sent(run({ on: 'timer', name: 'push' }));
  let effects = frame({ type: 'error', code: 'too_large', message: 'big', ref });
  assert.deepEqual(does(effects, 'send')[0].lines, [{ op_id: 1 }]);
  effects = frame({ type: 'error', code: 'too_large', message: 'big', ref: sent(effects)[0].ref });
  assert.deepEqual(does(effects, 'ack')[0].results, [
    { op_id: 1, status: 'rejected', code: 'too_large', message: 'big' },
  ]);
  queue = queue.slice(1);
  [{ ref }] = sent(run({ on: 'ops' }));
  effects = frame({
    type: 'ack',
    ref,
    results: [
      { op_id: 2, status: 'applied', cursor: 11 },
      { op_id: 3, status: 'rejected', code: 'internal', message: '' },
    ],
  });
  assert.deepEqual(
    does(effects, 'ack')[0].results.map((result) => result.op_id),
    [2],
    'an op with an internal error stays pending',
  );
  assert.equal(does(effects, 'timer')[0].name, 'push');
});

test('a device revoked during a push keeps its ops', () => {
  const { engine, frame } = live({ pending: () => [{ op_id: 1, tx: null, wire: {} }] });
  const effects = frame({ type: 'error', code: 'revoked', message: 'm', ref: engine.pushing.inFlight.ref });
  assert.deepEqual([does(effects, 'ack'), engine.phase], [[], 'signed_out']);
});

test('a lost connection is retried with growing waits, and at once on wake-up', () => {
  const { engine, run } = live();
  const waits = [];
  for (let i = 0; i < 4; i++) {
    waits.push(does(run({ on: 'close', code: 1006 }), 'timer').find(({ name }) => name === 'retry').ms);
    assert.equal(engine.phase, 'offline');
    run({ on: 'timer', name: 'retry' });
  }
  assert.deepEqual(waits, [250, 500, 1000, 2000]);
  run({ on: 'close', code: 1006 });
  assert.equal(does(run({ on: 'wake' }), 'connect').length, 1);
});

test('a device that wakes up pings the server and reconnects at once without a reply', () => {
  const { engine, run, frame, pass } = live();
  pass(1_000);
  let effects = run({ on: 'wake' });
  assert.deepEqual(
    [sent(effects).map(({ type }) => type), does(effects, 'timer')[0].name, engine.phase],
    [['ping'], 'wake', 'live'],
  );
  assert.deepEqual(run({ on: 'wake' }), [], 'only one ping');
  pass(100);
  frame({ type: 'pong', ref: sent(effects)[0].ref });
  assert.deepEqual([run({ on: 'timer', name: 'wake' }), engine.phase], [[], 'live']);
  pass(1_000);
  run({ on: 'wake' });
  pass(4_000);
  effects = run({ on: 'timer', name: 'wake' });
  assert.deepEqual(
    [does(effects, 'disconnect').length, does(effects, 'connect').length, engine.phase],
    [1, 1, 'connecting'],
  );
});

test('after a long sleep the socket is replaced without a ping', () => {
  const { engine, run, pass } = live();
  pass(60_000);
  assert.deepEqual([does(run({ on: 'wake' }), 'connect').length, engine.phase], [1, 'connecting']);
  pass(1_000);
  assert.deepEqual(run({ on: 'wake' }), [], 'this attempt is young');
  pass(4_000);
  assert.deepEqual([does(run({ on: 'wake' }), 'connect').length, engine.phase], [1, 'connecting']);
});

test('waking up does not sign in', () => {
  const { engine, run, frame } = live();
  frame({ type: 'error', code: 'revoked', message: 'gone' });
  assert.deepEqual([run({ on: 'wake' }), engine.phase], [[], 'signed_out']);
});

test('`bye` closes the connection, and so does silence', () => {
  const { frame, engine } = live();
  const effects = frame({ type: 'bye', reason: 'drain', retry_after: 5 });
  assert.ok(does(effects, 'timer')[0].ms >= 5000);
  const quiet = live();
  quiet.pass(25_000);
  assert.equal(sent(quiet.run({ on: 'timer', name: 'heartbeat' }))[0].type, 'ping');
  quiet.pass(25_000);
  assert.equal(does(quiet.run({ on: 'timer', name: 'heartbeat' }), 'disconnect').length, 1);
  assert.equal(quiet.engine.phase, 'offline');
  assert.equal(engine.phase, 'offline');
  assert.deepEqual(sent(live().frame({ type: 'ping', ref: 4 })), [{ type: 'pong', ref: 4, cursor: 10 }]);
});

test('a revoked token, another server epoch, or another tenant stops the engine with a reason', () => {
  for (const [message, phase, code] of [
    [{ type: 'error', code: 'revoked', message: 'gone' }, 'signed_out', 'revoked'],
    [{ type: 'error', code: 'bad_token', message: '' }, 'signed_out', 'bad_token'],
    [{ type: 'error', code: 'protocol', message: '' }, 'halted', 'protocol'],
    [{ type: 'error', code: 'replaced', message: '' }, 'halted', 'replaced'],
    [welcome({ chain: 'epoch' }), 'halted', 'epoch'],
    [welcome({ chain: 'ahead' }), 'halted', 'ahead'],
    [welcome({ tenant: 'other' }), 'halted', 'other_tenant'],
  ]) {
    const { engine, frame, run } = machine({ state: AT_10 });
    run({ on: 'start' });
    run({ on: 'open' });
    const effects = frame(message);
    assert.deepEqual([engine.phase, engine.problem.code], [phase, code]);
    assert.equal(does(effects, 'disconnect').length, 1);
    assert.deepEqual(
      does(run({ on: 'close', code: 1006 }), 'timer').filter(({ name }) => name === 'retry'),
      [],
    );
  }
  const revoked = live();
  revoked.run({ on: 'close', code: 4401, reason: '' });
  assert.equal(revoked.engine.phase, 'signed_out');
});

test('starting over resets the replica and connects at cursor 0', () => {
  const { engine, run } = live();
  assert.deepEqual(
    run({ on: 'start_over' })
      .map((effect) => effect.do)
      .filter((kind) => ['reset', 'connect'].includes(kind)),
    ['reset', 'connect'],
  );
  assert.equal(engine.state.cursor, 0);
});

test('a failed step is requested again, then repaired, then left to a new connection', () => {
  const { engine, frame, run } = live();
  frame(changes(10, 11));
  const fail = () => run({ on: 'failed', code: 'chain', message: 'm', state: AT_10 });
  const [subscribe] = sent(fail());
  assert.equal(subscribe.type, 'subscribe');
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 11, ref: subscribe.ref });
  frame(changes(10, 11));
  const [schema] = sent(fail());
  assert.deepEqual([schema.type, engine.phase, engine.problem.code], ['schema', 'repairing', 'chain']);
  const effects = frame({
    type: 'schema',
    from: 1,
    to: 2,
    revisions: [{ schema_version: 2, commands: [] }],
    ref: schema.ref,
  });
  assert.deepEqual(
    effects.map((effect) => effect.envelope?.type ?? effect.do),
    ['upgrade', 'verify'],
    'rows need the server’s schema',
  );
  assert.equal(does(fail(), 'disconnect').length, 1);
  const waits = [];
  for (let i = 0; i < 3; i++) {
    run({ on: 'timer', name: 'retry' });
    run({ on: 'open' });
    const [{ ref }] = sent(frame(welcome()));
    frame({ type: 'catch_up', mode: 'log', from: 10, to: 11, ref });
    frame(changes(10, 11));
    frame({ type: 'live', cursor: 11, state_hash: 'h11' });
    waits.push(does(fail(), 'timer').find(({ name }) => name === 'retry').ms);
  }
  assert.ok(waits[2] > waits[0], 'repeated failures wait longer each time');
  assert.equal(engine.problem.code, 'chain');
});

test('a repair requested by the server upgrades the schema first', () => {
  const { frame, run } = machine({ state: AT_10 });
  run({ on: 'start' });
  run({ on: 'open' });
  const [{ ref }] = sent(frame(welcome({ chain: 'mismatch' })));
  const [ask] = sent(frame({ type: 'catch_up', mode: 'repair', cursor: 20, state_hash: 'h20', ref }));
  assert.deepEqual([ask.type, ask.from], ['schema', 1]);
  assert.deepEqual(
    sent(frame({ type: 'schema', from: 1, to: 1, revisions: [], ref: ask.ref })).map(({ type }) => type),
    ['verify'],
  );
});

test('a malformed frame drops the connection but does not break the engine', () => {
  for (const frame_ of [
    { type: 'schema', ref: 1 },
    { type: 'ack', ref: 1 },
    { type: 'verify', ref: 1, tables: { jobs: 5 } },
    { type: 'rows', ref: 1 },
  ]) {
    const { engine, frame, run } = live({ pending: () => [{ op_id: 1, tx: null, wire: {} }] });
    run({ on: 'verify' });
    const ref = frame_.type === 'ack' ? engine.pushing.inFlight.ref : undefined;
    frame({ ...frame_, ...(ref ? { ref } : {}) });
    assert.ok(['live', 'offline'].includes(engine.phase));
    run({ on: 'wake' });
  }
});
