/** The engine verifies, repairs, and follows changes of rights, schema, and servers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT_10, LIMITS, changes, does, live, machine, sent, welcome } from './machine.js';

/** A server that answers verify, ranges and repair from a map of id → version. */
const answer = (truth, message, state) => {
  const inside = ([low, high]) =>
    Object.keys(truth).filter((id) => (low === null || id >= low) && (high === null || id <= high));
  if (message.type === 'repair') {
    return [
      {
        type: 'rows',
        table: 'jobs',
        columns: ['id', 'version', 'title'],
        deleted: [],
        range: [message.low, message.high],
        ref: message.ref,
      },
      inside([message.low, message.high]).map((id) => JSON.stringify([id, truth[id], `t${truth[id]}`])),
    ];
  }
  const sum = (range) => [inside(range).length, inside(range).map((id) => `${id}:${truth[id]}`).join()];
  if (message.ranges)
    return [
      {
        type: 'verify',
        cursor: 99,
        state_hash: 'later',
        table: 'jobs',
        ranges: message.ranges.map(sum),
        ref: message.ref,
      },
      [],
    ];
  return [{ type: 'verify', ...state, tables: { jobs: sum([null, null]) }, ref: message.ref }, []];
};

test('a replica that differs is repaired by bisection and continues at the cursor of the first reply', () => {
  const ids = Array.from({ length: 5000 }, (_, i) => `j${String(i).padStart(5, '0')}`);
  const truth = Object.fromEntries(ids.map((id) => [id, 1]));
  const mine = { ...truth };
  mine.j00007 = 2;
  delete mine.j04000;
  mine.j04001x = 1;
  const inside = ([low, high]) =>
    Object.keys(mine)
      .sort()
      .filter((id) => (low === null || id >= low) && (high === null || id <= high));
  const port = {
    tables: () => ['jobs'],
    digest: (_, range = [null, null]) => [
      inside(range).length,
      inside(range)
        .map((id) => `${id}:${mine[id]}`)
        .join(),
    ],
    cuts: (_, range, pieces) => {
      const all = inside(range),
        step = Math.ceil(all.length / pieces);
      return all.filter((_id, i) => (i + 1) % step === 0 && i + 1 < all.length);
    },
  };
  const { engine, frame, run } = live({ port });
  let effects = run({ on: 'verify' });
  let fetched = 0;
  for (let rounds = 0; engine.phase === 'repairing' || rounds === 0; rounds++) {
    assert.ok(rounds < 50);
    const message = sent(effects)[0];
    effects = frame(...answer(truth, message, { cursor: 10, state_hash: 'h10' }));
    for (const { frames } of does(effects, 'repair')) {
      const [{ range, lines }] = frames;
      for (const id of inside(range)) delete mine[id];
      for (const [id, version] of lines.map((line) => JSON.parse(line))) mine[id] = version;
      fetched += lines.length;
    }
    assert.deepEqual(frame(changes(10, 11)), [], 'the stream waits');
  }
  assert.deepEqual(mine, truth);
  assert.ok(fetched <= 1000, `${fetched} rows fetched`);
  const [verified] = does(effects, 'verified');
  assert.deepEqual(
    [verified.tables.jobs.equal, verified.problem, does(effects, 'adopt')[0].state],
    [false, null, { cursor: 10, state_hash: 'h10', channel: 'full' }],
  );
  assert.deepEqual(
    sent(effects).map(({ type, cursor }) => [type, cursor]),
    [['subscribe', 10]],
  );
});

test('verifying an intact replica does not pause the stream', () => {
  const { engine, frame, run } = live({ port: { tables: () => ['jobs'], digest: () => [0, ''] } });
  const [verify] = sent(run({ on: 'verify' }));
  assert.equal(does(frame(changes(10, 11)), 'apply').length, 1);
  const [verified] = does(
    frame({ type: 'verify', cursor: 11, state_hash: 'h11', tables: { jobs: [0, ''] }, ref: verify.ref }),
    'verified',
  );
  assert.deepEqual([verified.repaired, engine.phase], [0, 'live']);
});

test('revisions fetched for rows wait for their place in the log if the log comes instead', () => {
  const { engine, frame } = live();
  const [ask] = sent(frame({ type: 'error', code: 'schema_behind', message: '' }));
  const [{ ref, schema_version }] = sent(
    frame({ type: 'schema', from: 1, to: 2, revisions: [{ schema_version: 2, commands: ['c'] }], ref: ask.ref }),
  );
  assert.deepEqual([schema_version, engine.state.schema_version], [2, 1]);
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 12, ref });
  const applied = [changes(10, 11), changes(11, 12, { schema_version: 2 })].flatMap((each) =>
    does(frame(each), 'apply'),
  );
  assert.deepEqual(applied.map((effect) => effect.frame.revisions.length), [0, 1]);
});

test('changed rights reconnect at once and lead to a snapshot of the new channel', () => {
  const { engine, frame, run } = live();
  const closing = frame({ type: 'error', code: 'access_changed', message: 'Your rights changed.' });
  assert.deepEqual([engine.phase, engine.problem, does(closing, 'disconnect').length], ['offline', null, 1]);
  assert.ok(does(closing, 'timer').find(({ name }) => name === 'retry').ms <= 500);
  run({ on: 'timer', name: 'retry' });
  assert.equal(sent(run({ on: 'open' }))[0].channel, 'full');
  const [subscribe] = sent(frame(welcome({ chain: 'switch', channel: 'k7', cursor: 14 })));
  assert.deepEqual([subscribe.type, subscribe.channel, subscribe.cursor], ['subscribe', 'full', 10]);
  const manifest = { snapshot: 's', cursor: 14 };
  assert.deepEqual(
    does(frame({ type: 'catch_up', mode: 'snapshot', manifest, ref: subscribe.ref }), 'install').length,
    1,
  );
  assert.deepEqual(sent(run({ on: 'ops' })), [], 'nothing is pushed before the new channel is installed');
  const [again] = sent(run({ on: 'installed', state: { ...AT_10, channel: 'k7', cursor: 14, state_hash: 'h14' } }));
  assert.deepEqual([again.channel, again.cursor], ['k7', 14]);
  frame({ type: 'catch_up', mode: 'log', from: 14, to: 14, ref: again.ref });
  frame({ type: 'live', cursor: 14, state_hash: 'h14' });
  assert.deepEqual([engine.phase, engine.state.channel], ['live', 'k7']);
});

test('close code 4406 without an error only reconnects', () => {
  const { engine, run } = live();
  const effects = run({ on: 'close', code: 4406, reason: '' });
  assert.deepEqual([engine.phase, engine.problem, does(effects, 'timer').at(-1).name], ['offline', null, 'retry']);
});

test('`live` at the same cursor with another hash starts a repair', () => {
  const { engine, frame, run } = machine({ state: AT_10 });
  run({ on: 'start' });
  run({ on: 'open' });
  const [{ ref }] = sent(frame(welcome()));
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref });
  assert.deepEqual(
    sent(frame({ type: 'live', cursor: 10, state_hash: 'another' })).map(({ type }) => type),
    ['schema'],
  );
  assert.equal(engine.phase, 'repairing');
});

test('a repair that is too large stops and is left to the user', () => {
  const { engine, frame, run } = machine({ state: AT_10 });
  run({ on: 'start' });
  run({ on: 'open' });
  const [{ ref }] = sent(frame(welcome({ chain: 'mismatch' })));
  const [ask] = sent(frame({ type: 'catch_up', mode: 'repair', cursor: 20, state_hash: 'h20', ref }));
  const [verify] = sent(frame({ type: 'schema', from: 1, to: 1, revisions: [], ref: ask.ref }));
  frame({ type: 'error', code: 'too_large', message: '', ref: verify.ref });
  assert.deepEqual([engine.phase, engine.problem.code], ['halted', 'diverged']);
});

test('final close codes end the connection even without an error frame', () => {
  for (const [code, problem, phase] of [
    [4401, 'bad_token', 'signed_out'],
    [4403, 'forbidden', 'signed_out'],
    [4409, 'replaced', 'halted'],
    [4426, 'protocol', 'halted'],
  ]) {
    const { engine, run } = live();
    run({ on: 'close', code, reason: '' });
    assert.deepEqual([engine.problem.code, engine.phase], [problem, phase]);
  }
});

test('a verify message has no more ranges than the server accepts', () => {
  const port = { tables: () => ['jobs'], digest: () => [0, ''], cuts: () => [] };
  const { frame, run } = machine({ state: AT_10, port });
  run({ on: 'start' });
  run({ on: 'open' });
  const [{ ref }] = sent(frame(welcome({ limits: { ...LIMITS, ranges_per_verify: 8 } })));
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref });
  frame({ type: 'live', cursor: 10, state_hash: 'h10' });
  const [verify] = sent(run({ on: 'verify' }));
  const [{ ranges }] = sent(
    frame({ type: 'verify', cursor: 10, state_hash: 'h10', tables: { jobs: [90_000, 'f'] }, ref: verify.ref }),
  );
  assert.equal(ranges.length, 8);
});
