/** Pushing: one push in flight, the server’s limits, and what follows each reply. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pushing } from '../../sdk/pushing.js';

const op = (id, tx = null) => ({ op_id: id, tx, wire: { op_id: id } });
const ids = (ops) => ops && ops.map(({ op_id: id }) => id);
const ok = (id) => ({ op_id: id, status: 'applied', cursor: id });
const failed = (id) => ({ op_id: id, status: 'rejected', code: 'internal', message: '' });

/** A queue of ops, as read by `pending`, and the limits of each read. */
function world(...ops) {
  const reads = [];
  const pushing = new Pushing((maxOps, maxBytes) => {
    reads.push([maxOps, maxBytes]);
    return ops.slice(0, maxOps);
  });
  return { pushing, reads, ops };
}

test('ops are read within the server’s limits, with a tenth of a frame to spare', () => {
  const { pushing, reads } = world(op(1));
  pushing.next(1);
  assert.deepEqual(reads, [[500, Math.floor((1 << 20) * 0.9)]]);
  pushing.reset();
  Object.assign(pushing.limits, { ops: 7, frame: 1000 });
  pushing.next(2);
  assert.deepEqual(reads[1], [7, 900]);
  assert.deepEqual([new Pushing(() => []).limits.ops, pushing.limits.ops], [500, 7], 'limits are not shared');
});

test('one push is in flight at a time, and an empty queue sends none', () => {
  const { pushing, ops } = world(op(1), op(2));
  assert.deepEqual(ids(pushing.next(5)), [1, 2]);
  assert.deepEqual([pushing.inFlight.ref, ids(pushing.inFlight.ops)], [5, [1, 2]]);
  assert.equal(pushing.next(6), null);
  assert.equal(pushing.inFlight.ref, 5);
  ops.length = 0;
  pushing.acknowledged([ok(1), ok(2)]);
  assert.deepEqual([pushing.next(7), pushing.inFlight], [null, null]);
});

test('an ack hands on final results; an internal error is not final and waits', () => {
  const { pushing } = world(op(1), op(2));
  pushing.next(1);
  assert.deepEqual(pushing.acknowledged([ok(1), failed(2)]), { results: [ok(1)], wait: true });
  assert.deepEqual([pushing.waiting, pushing.next(2)], [true, null]);
  pushing.resume();
  assert.deepEqual([pushing.waiting, ids(pushing.next(3))], [false, [1, 2]]);
  const rejected = { op_id: 1, status: 'rejected', code: 'unique', message: '' };
  const odd = { op_id: 2, status: 'conflict', code: 'internal', message: '' };
  assert.deepEqual(pushing.acknowledged([rejected, odd]), { results: [rejected, odd], wait: false });
  assert.equal(pushing.waiting, false);
});

test('failures count in a row, for acks and for whole pushes, and end with a success', () => {
  const { pushing } = world(op(1));
  const push = (reply) => {
    pushing.resume();
    pushing.next(1);
    reply();
    return pushing.failures;
  };
  assert.equal(pushing.failures, 0);
  assert.equal(push(() => pushing.acknowledged([failed(1)])), 1);
  assert.equal(push(() => pushing.rejected('overloaded', '')), 2);
  assert.equal(push(() => pushing.rejected('too_large', '')), 2, 'the push is at fault, not the server');
  assert.equal(push(() => pushing.acknowledged([ok(1)])), 0);
});

test('a push that the server cannot process now is sent again unchanged after the wait', () => {
  const { pushing } = world(op(1), op(2), op(3));
  pushing.next(1);
  assert.deepEqual(pushing.rejected('overloaded', 'm'), { wait: true, results: [] });
  assert.deepEqual([pushing.inFlight, pushing.waiting, pushing.next(2)], [null, true, null]);
  pushing.resume();
  assert.deepEqual(ids(pushing.next(3)), [1, 2, 3]);
});

test('a push at fault is halved until one unit is left, which is rejected; then pushes grow again', () => {
  for (const code of ['malformed', 'too_large', 'too_many_ops', 'op_order']) {
    const { pushing, ops, reads } = world(op(1), op(2), op(3), op(4), op(5));
    pushing.next(1);
    assert.deepEqual(pushing.rejected(code, 'm'), { wait: false, results: [] });
    assert.deepEqual([pushing.waiting, pushing.inFlight], [false, null]);
    assert.deepEqual(ids(pushing.next(2)), [1, 2]);
    pushing.rejected(code, 'm');
    assert.deepEqual(ids(pushing.next(3)), [1]);
    assert.deepEqual(pushing.rejected(code, 'm'), {
      wait: false, results: [{ op_id: 1, status: 'rejected', code, message: 'm' }],
    });
    ops.shift();
    assert.deepEqual(ids(pushing.next(4)), [2, 3, 4, 5]);
    assert.equal(reads.at(-1)[0], 500);
  }
});

test('an accepted part of a narrowed push lifts the limit', () => {
  const { pushing, reads } = world(op(1), op(2), op(3), op(4));
  pushing.next(1);
  pushing.rejected('too_large', '');
  pushing.next(2);
  pushing.acknowledged([ok(1), ok(2)]);
  pushing.next(3);
  assert.deepEqual(reads.map(([maxOps]) => maxOps), [500, 2, 500]);
});

test('a transaction is one unit: it is rejected as a whole', () => {
  const { pushing } = world(op(1, 't'), op(2, 't'));
  pushing.next(1);
  assert.deepEqual(ids(pushing.rejected('too_large', 'm').results), [1, 2]);
  const two = world(op(1, 't'), op(2, 'u'));
  two.pushing.next(1);
  assert.deepEqual(two.pushing.rejected('too_large', 'm').results, []);
  const mixed = world(op(1, 't'), op(2));
  mixed.pushing.next(1);
  assert.deepEqual(mixed.pushing.rejected('too_large', 'm').results, []);
});

test('a new connection forgets the push in flight and the wait', () => {
  const { pushing } = world(op(1));
  pushing.next(1);
  pushing.reset();
  assert.deepEqual(ids(pushing.next(2)), [1]);
  pushing.rejected('overloaded', '');
  pushing.reset();
  assert.deepEqual([pushing.waiting, ids(pushing.next(3))], [false, [1]]);
});

test('a rejection without a push in flight rejects nothing', () => {
  const { pushing } = world(op(1));
  assert.deepEqual(pushing.rejected('too_large', 'm'), { wait: false, results: [] });
});
