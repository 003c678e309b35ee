/** The engine, event by event: what it reports, what it keeps, and what it ignores. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { words } from '../../sdk/words.js';
import { AT_10, changes, does, live, machine, sent, welcome } from './machine.js';

/** A machine that has subscribed at cursor 10, and the ref of its `subscribe`. */
function subscribed(more = {}, options = {}) {
  const it = machine({ state: AT_10, ...options });
  it.run({ on: 'start' });
  it.run({ on: 'open' });
  const effects = it.frame(welcome(more));
  return { ...it, ref: sent(effects)[0].ref, effects };
}

const queueOf = (...ids) => () => ids.map((op_id) => ({ op_id, tx: null, wire: { op_id } }));

test('an unknown event is a mistake of the caller', () => {
  assert.throws(() => machine().run({ on: 'nope' }), { message: 'unknown event nope' });
});

test('the head is the newest known cursor of the server', () => {
  assert.deepEqual([machine().engine.head, machine().engine.progress], [0, null]);
  const { engine, frame, ref } = subscribed({ cursor: 30 });
  assert.equal(engine.head, 30);
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 40, ref });
  assert.deepEqual([engine.head, engine.progress], [40, null]);
  frame(changes(10, 25));
  assert.deepEqual([engine.head, engine.progress], [40, 0.5]);
  frame(changes(25, 40));
  frame({ type: 'live', cursor: 40, state_hash: 'h40' });
  assert.deepEqual([engine.head, engine.progress], [40, null]);
  frame(changes(40, 41));
  assert.deepEqual([engine.head, engine.progress], [41, null], 'progress is about catching up only');
  const rows = subscribed();
  rows.frame({ type: 'catch_up', mode: 'rows', from: 10, to: 70, schema_version: 1, total: 2, ref: rows.ref });
  assert.equal(rows.engine.head, 70);
  const short = subscribed({ cursor: 50 });
  short.frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref: short.ref });
  short.frame({ type: 'live', cursor: 10, state_hash: 'h10' });
  assert.equal(short.engine.head, 10, 'of a channel that stands behind the log');
});

test('an empty catch-up is complete at once', () => {
  const { engine, frame, ref } = subscribed();
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref });
  frame(changes(10, 10));
  assert.equal(engine.progress, 1);
});

test('resolved conflicts in `welcome`, and those reported later, are handed on', () => {
  const settled = [{ conflict: 'k1' }];
  assert.deepEqual(does(subscribed({ settled }).effects, 'settled').map(({ conflicts }) => conflicts), [settled]);
  assert.deepEqual(does(subscribed().effects, 'settled'), []);
  const later = { type: 'settled', conflict: 'k2' };
  assert.deepEqual(does(live().frame(later), 'settled').map(({ conflicts }) => conflicts), [[later]]);
});

test('a verification requested early starts once live, and only one runs', () => {
  const { frame, run, ref } = subscribed();
  assert.deepEqual(run({ on: 'verify' }), []);
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref });
  const first = sent(frame({ type: 'live', cursor: 10, state_hash: 'h10' }));
  assert.deepEqual(first.map(({ type }) => type), ['verify']);
  assert.deepEqual(run({ on: 'verify' }), [], 'while one runs');
});

test('a confirmed state clears problem, failures, and waits', () => {
  const { engine, frame, run } = live();
  frame({ type: 'error', code: 'overloaded', message: 'busy', retry_after: 7 });
  assert.deepEqual([engine.problem.code, engine.phase], ['overloaded', 'offline']);
  run({ on: 'confirmed' });
  assert.deepEqual([engine.problem, engine.attempt], [null, 0]);
  const fail = () => run({ on: 'failed', code: 'chain', message: 'm', state: AT_10 });
  const again = subscribed();
  again.frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref: again.ref });
  const effects = again.run({ on: 'failed', code: 'chain', message: 'm', state: AT_10 });
  assert.deepEqual(sent(effects).map(({ type }) => type), ['subscribe'], 'the first failure only subscribes again');
  assert.deepEqual(fail(), [], 'without a connection there is nothing to do');
});

test('an error makes the next attempt wait as long as the server requested', () => {
  const { frame } = live();
  const effects = frame({ type: 'error', code: 'overloaded', message: '', retry_after: 9 });
  assert.ok(does(effects, 'timer').find(({ name }) => name === 'retry').ms >= 9000);
});

test('a reply to another `schema` is ignored, and each request has a ref of its own', () => {
  const { engine, frame } = live();
  const [ask] = sent(frame(changes(10, 11, { schema_version: 2 })));
  assert.ok(ask.ref > 1);
  assert.deepEqual(frame({ type: 'schema', from: 1, to: 2, revisions: [], ref: ask.ref + 1 }), []);
  assert.deepEqual(frame({ type: 'schema', from: 1, to: 2, revisions: [] }), []);
  assert.equal(engine.phase, 'upgrading');
  assert.equal(does(frame({ type: 'schema', from: 1, to: 2, revisions: [], ref: ask.ref }), 'apply').length, 1);
  assert.deepEqual(frame({ type: 'schema', from: 1, to: 2, revisions: [], ref: ask.ref }), [], 'a reply counts once');
});

test('a schema that is older than the frame that needs it drops the connection', () => {
  const { engine, frame } = live();
  const [{ ref }] = sent(frame(changes(10, 11, { schema_version: 3 })));
  const effects = frame({ type: 'schema', from: 1, to: 2, revisions: [], ref });
  assert.deepEqual([does(effects, 'apply'), does(effects, 'disconnect').length, engine.phase], [[], 1, 'offline']);
});

test('held frames run once, `live` among them in its place, and waiting ops follow', () => {
  const { engine, frame, run } = live({ pending: queueOf(1) });
  engine.pushing.reset();
  const [{ ref }] = sent(frame(changes(10, 11, { schema_version: 2 })));
  assert.deepEqual(run({ on: 'ops' }), [], 'not during an upgrade');
  const effects = frame({ type: 'schema', from: 1, to: 2, revisions: [], ref });
  assert.deepEqual(effects.map((effect) => effect.envelope?.type ?? effect.do), ['apply', 'push']);
  const [second] = sent(frame(changes(11, 12, { schema_version: 3 })));
  const applied = does(frame({ type: 'schema', from: 2, to: 3, revisions: [], ref: second.ref }), 'apply');
  assert.deepEqual(applied.map((effect) => effect.frame.from), [11]);

  const late = subscribed();
  late.frame({ type: 'catch_up', mode: 'log', from: 10, to: 11, ref: late.ref });
  const [ask] = sent(late.frame(changes(10, 11, { schema_version: 2 })));
  assert.deepEqual(late.frame({ type: 'live', cursor: 11, state_hash: 'h11' }), []);
  assert.equal(late.engine.phase, 'upgrading');
  const both = late.frame({ type: 'schema', from: 1, to: 2, revisions: [], ref: ask.ref });
  assert.deepEqual([both.map((effect) => effect.do), late.engine.phase], [['apply', 'confirm'], 'live']);
});

test('a repair without new revisions runs no upgrade', () => {
  const { frame, ref } = subscribed({ chain: 'mismatch' });
  const [ask] = sent(frame({ type: 'catch_up', mode: 'repair', cursor: 20, state_hash: 'h20', ref }));
  const effects = frame({ type: 'schema', from: 1, to: 1, revisions: [], ref: ask.ref });
  assert.deepEqual(effects.map((effect) => effect.do), ['send']);
});

test('rows outside of a catch-up are ignored, progress ends at 1, and an end elsewhere subscribes again', () => {
  const { engine, frame, ref } = subscribed();
  const rows = { type: 'rows', table: 'jobs', columns: ['id'], deleted: [], remaining: 0 };
  const end = { type: 'rows_end', from: 10, to: 90, schema_version: 1, state_hash: 'h90' };
  assert.deepEqual([frame(rows, ['["a"]']), frame(end)], [[], []]);
  frame({ type: 'catch_up', mode: 'rows', from: 10, to: 90, schema_version: 1, total: 2, ref });
  assert.deepEqual(frame(changes(10, 11)), [], 'the rows include it');
  frame(rows, ['["a"]', '["b"]', '["c"]']);
  assert.equal(engine.progress, 1);
  assert.deepEqual(sent(frame({ ...end, from: 9 })).map(({ type }) => type), ['subscribe']);
  assert.deepEqual(frame(end), [], 'the rows are gone');
  const empty = subscribed();
  empty.frame({ type: 'catch_up', mode: 'rows', from: 10, to: 90, schema_version: 1, total: 0, ref: empty.ref });
  empty.frame(rows, []);
  assert.equal(empty.engine.progress, null);
  const newer = sent(empty.frame({ ...end, schema_version: 2 }));
  assert.deepEqual(newer.map(({ type }) => type), ['schema']);
});

test('a download starts at 0, and its end only leads on when it was waited for', () => {
  const { engine, frame, run, ref } = subscribed();
  frame({ type: 'catch_up', mode: 'snapshot', manifest: {}, ref });
  assert.deepEqual([engine.phase, engine.progress], ['downloading', 0]);
  assert.deepEqual(frame(changes(10, 11)), [], 'the snapshot includes it');
  run({ on: 'close', code: 4401, reason: '' });
  run({ on: 'installed', state: { ...AT_10, cursor: 12 } });
  assert.deepEqual([engine.phase, engine.state.cursor, engine.progress], ['signed_out', 12, null]);
  assert.deepEqual(run({ on: 'download_failed', code: 'network', message: 'm' }), []);
  assert.notEqual(engine.problem.code, 'network');
});

test('a failed download is the problem shown', () => {
  const { engine, frame, run, ref } = subscribed();
  frame({ type: 'catch_up', mode: 'snapshot', manifest: {}, ref });
  run({ on: 'download_failed', code: 'network', message: 'm' });
  assert.deepEqual([engine.problem, engine.phase], [{ code: 'network', message: 'm' }, 'offline']);
});

test('a missing snapshot is requested three times in a row, then waits', () => {
  const { engine, frame, run, ref } = subscribed();
  let latest = ref;
  for (let i = 0; i < 3; i++) {
    frame({ type: 'catch_up', mode: 'snapshot', manifest: {}, ref: latest });
    [{ ref: latest }] = sent(run({ on: 'download_failed', code: 'snapshot_gone', message: 'm' }));
  }
  frame({ type: 'catch_up', mode: 'snapshot', manifest: {}, ref: latest });
  run({ on: 'download_failed', code: 'snapshot_gone', message: 'm' });
  assert.equal(engine.phase, 'offline');
  assert.deepEqual(sent(live().frame({ type: 'error', code: 'snapshot_gone', message: '' })).map(({ type }) => type), [
    'subscribe',
  ]);
});

test('a server restored from a backup says what to do, also as an error', () => {
  for (const code of ['ahead', 'epoch']) {
    const { engine, frame } = live();
    frame({ type: 'error', code, message: 'm' });
    assert.deepEqual([engine.phase, engine.problem], ['halted', { code, message: words.restored }]);
  }
});

test('`forbidden` ends a connection before `welcome`; later it is about one request', () => {
  const early = machine({ state: AT_10 });
  early.run({ on: 'start' });
  early.run({ on: 'open' });
  early.frame({ type: 'error', code: 'forbidden', message: 'm' });
  assert.equal(early.engine.phase, 'signed_out');
  const { engine, frame } = live();
  frame({ type: 'error', code: 'forbidden', message: 'm' });
  assert.equal(engine.phase, 'offline');
});

test('a push carries the replica’s position, and only a reply to it counts', () => {
  const { engine, frame, run, onLive } = live({ pending: queueOf(1) });
  const [push] = sent(onLive);
  assert.deepEqual([push.schema_version, push.cursor, push.state_hash], [1, 10, 'h10']);
  assert.deepEqual(frame({ type: 'ack', ref: push.ref + 1, results: [] }), []);
  assert.notEqual(engine.pushing.inFlight, null);
  assert.deepEqual(run({ on: 'timer', name: 'push' }), [], 'still in flight');
  const next = frame({ type: 'ack', ref: push.ref, results: [] });
  assert.deepEqual(sent(next).map(({ type }) => type), ['push'], 'an empty ack changes nothing, so the queue goes on');
});

test('a new connection pushes again what was in flight', () => {
  const { engine, frame, run, onLive } = live({ pending: queueOf(1) });
  assert.equal(sent(onLive).length, 1);
  const closed = run({ on: 'close', code: 1006 });
  assert.deepEqual(does(closed, 'clear').map(({ name }) => name).includes('push'), true);
  assert.equal(engine.pushing.inFlight, null);
  run({ on: 'timer', name: 'retry' });
  run({ on: 'open' });
  const [{ ref }] = sent(frame(welcome()));
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref });
  const effects = frame({ type: 'live', cursor: 10, state_hash: 'h10' });
  assert.deepEqual(does(effects, 'send').map(({ lines }) => lines), [[{ op_id: 1 }]]);
});

test('frames are ignored without a connection, and unknown ones always', () => {
  const { frame, run } = live();
  assert.deepEqual([frame({ type: 'pong' }), frame({ type: 'later' })], [[], []]);
  run({ on: 'close', code: 1006 });
  assert.deepEqual(frame(changes(10, 11)), []);
});

test('frames held before a new subscribe do not come back', () => {
  const { frame, run } = live();
  frame(changes(10, 11, { schema_version: 2 }));
  const [{ ref }] = sent(run({ on: 'failed', code: 'chain', message: 'm', state: AT_10 }));
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 11, ref });
  const [ask] = sent(frame(changes(10, 11, { schema_version: 2 })));
  const effects = frame({ type: 'schema', from: 1, to: 2, revisions: [], ref: ask.ref });
  assert.deepEqual(effects.map((effect) => effect.do), ['apply']);
});

test('after an upgrade the interrupted phase goes on', () => {
  const { engine, frame, ref } = subscribed({ cursor: 20 });
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 20, ref });
  const [ask] = sent(frame(changes(10, 11, { schema_version: 2 })));
  frame({ type: 'schema', from: 1, to: 2, revisions: [], ref: ask.ref });
  assert.equal(engine.phase, 'catching_up');
});

test('a repair moves the engine to the schema it upgraded to', () => {
  const { engine, frame, ref } = subscribed({ chain: 'mismatch' });
  const [ask] = sent(frame({ type: 'catch_up', mode: 'repair', cursor: 20, state_hash: 'h20', ref }));
  const revisions = [{ schema_version: 2, commands: ['c'] }];
  const effects = frame({ type: 'schema', from: 1, to: 2, revisions, ref: ask.ref });
  assert.deepEqual([does(effects, 'upgrade')[0].revisions, engine.state.schema_version], [revisions, 2]);
});

test('starting over drops the connection first, and the problem with it', () => {
  const { engine, frame, run } = live();
  frame({ type: 'error', code: 'ahead', message: '' });
  const kinds = run({ on: 'start_over' }).map((effect) => effect.do);
  assert.deepEqual(kinds.filter((kind) => kind !== 'clear' && kind !== 'timer'), ['disconnect', 'reset', 'connect']);
  assert.equal(engine.problem, null);
});

test('a replica without a channel subscribes without one', () => {
  const it = machine({ state: { ...AT_10, channel: '' } });
  it.run({ on: 'start' });
  assert.equal('channel' in sent(it.run({ on: 'open' }))[0], false);
  assert.equal('channel' in sent(it.frame(welcome()))[0], false);
});

test('failures are counted in a row: a confirmed state starts again at one', () => {
  const { frame, run } = live();
  for (let i = 0; i < 3; i++) {
    const [again] = sent(run({ on: 'failed', code: 'chain', message: 'm', state: AT_10 }));
    assert.equal(again.type, 'subscribe');
    frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref: again.ref });
    frame({ type: 'live', cursor: 10, state_hash: 'h10' });
    run({ on: 'confirmed' });
  }
});

test('`welcome` is handed on: it carries profile and access', () => {
  const access = { rules: [] };
  assert.deepEqual(does(subscribed({ access }).effects, 'welcomed').map(({ envelope }) => envelope.access), [access]);
});

test('a schema that arrives after a new subscribe is ignored', () => {
  const { frame, run } = live();
  const [ask] = sent(frame(changes(10, 11, { schema_version: 2 })));
  run({ on: 'failed', code: 'chain', message: 'm', state: AT_10 });
  assert.deepEqual(frame({ type: 'schema', from: 1, to: 2, revisions: [], ref: ask.ref }), []);
});

test('a new catch-up starts without the progress of the last', () => {
  const { engine, frame, ref } = subscribed();
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 20, ref });
  frame(changes(10, 15));
  assert.equal(engine.progress, 0.5);
  frame({ type: 'catch_up', mode: 'log', from: 15, to: 30 });
  assert.equal(engine.progress, null);
});

test('a malformed frame drops the connection with a problem', () => {
  const { engine, frame } = live();
  const [{ ref }] = sent(frame(changes(10, 11, { schema_version: 2 })));
  const effects = frame({ type: 'schema', from: 1, to: 2, ref });
  assert.deepEqual(
    [does(effects, 'disconnect').length, engine.phase, engine.problem.code],
    [1, 'offline', 'malformed'],
  );
});

test('`bye` without a wait retries as usual', () => {
  const timer = does(live().frame({ type: 'bye', reason: 'drain' }), 'timer').find(({ name }) => name === 'retry');
  assert.equal(timer.ms, 250);
});

test('a catch-up that the server starts by itself leaves the live phase', () => {
  for (const mode of ['log', 'rows']) {
    const { engine, frame } = live();
    frame({ type: 'catch_up', mode, from: 10, to: 20, schema_version: 1, total: 1 });
    assert.equal(engine.phase, 'catching_up', mode);
  }
  const { engine, frame, ref } = subscribed();
  assert.equal(does(frame({ type: 'catch_up', mode: 'later', ref }), 'disconnect').length, 1);
  assert.equal(engine.phase, 'offline');
});

test('`live` counts at the replica’s cursor only, and not for the previous stream', () => {
  const { engine, frame, ref } = subscribed({ cursor: 40 });
  assert.deepEqual(frame({ type: 'live', cursor: 10, state_hash: 'h10' }), [], 'before the reply to subscribe');
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 40, ref });
  const [again] = sent(frame({ type: 'live', cursor: 12, state_hash: 'h12' }));
  assert.deepEqual([again.type, engine.phase], ['subscribe', 'catching_up']);
  frame({ type: 'catch_up', mode: 'log', from: 10, to: 40, ref: again.ref });
  frame({ type: 'live', cursor: 10, state_hash: 'h10' });
  assert.deepEqual([engine.phase, engine.head], ['live', 10]);
});

test('a snapshot installed while offline waits for the connection; a failed download closes it', () => {
  const { engine, frame, run, ref } = subscribed();
  frame({ type: 'catch_up', mode: 'snapshot', manifest: {}, ref });
  run({ on: 'close', code: 1006 });
  assert.equal(engine.phase, 'downloading');
  assert.deepEqual(run({ on: 'installed', state: { ...AT_10, cursor: 12 } }), []);
  assert.equal(engine.phase, 'offline');
  const failed = subscribed();
  failed.frame({ type: 'catch_up', mode: 'snapshot', manifest: {}, ref: failed.ref });
  const effects = failed.run({ on: 'download_failed', code: 'network', message: 'm' });
  assert.equal(does(effects, 'disconnect').length, 1);
  assert.ok(does(effects, 'timer').some(({ name }) => name === 'retry'));
});

test('a failed step ends a running verification with its problem', () => {
  const { run } = live();
  run({ on: 'verify' });
  const effects = run({ on: 'failed', code: 'sql', message: 'm', state: AT_10 });
  assert.deepEqual(does(effects, 'verified').map(({ problem }) => problem), [{ code: 'sql', message: 'm' }]);
  const idle = live().run({ on: 'failed', code: 'sql', message: 'm', state: AT_10 });
  assert.deepEqual(does(idle, 'verified'), []);
});

test('revisions are requested again on a new connection', () => {
  const { frame, run } = live();
  const [ask] = sent(frame({ type: 'error', code: 'schema_behind', message: '' }));
  const revisions = [{ schema_version: 2, commands: [] }];
  const [known] = sent(frame({ type: 'schema', from: 1, to: 2, revisions, ref: ask.ref }));
  assert.equal(known.schema_version, 2);
  run({ on: 'close', code: 1006 });
  run({ on: 'timer', name: 'retry' });
  run({ on: 'open' });
  const [again] = sent(frame(welcome()));
  assert.deepEqual([again.type, again.schema_version], ['subscribe', 1]);
});
