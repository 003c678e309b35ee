/** Folding change lines and overlays: cases beyond the shared vectors. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldChanges } from '../../sdk/fold.js';
import { patched, touchedFields } from '../../sdk/overlay.js';

const line = (op, version, payload = null, id = 'a') => ({ table: 't', id, op, version, payload });
const set = (path, value) => [{ op: 'replace', path, value }];
const none = () => assert.fail('the base row is not read');

/** The fold of the lines of one table as plain values. */
function fold(lines, { current = none, known = null } = {}) {
  const { rows, patches, gone } = foldChanges(lines, current, known).get('t');
  return { rows: [...rows.entries()], patches: [...patches.entries()], gone: [...gone] };
}

test('each record ends in exactly one of rows, patches, and gone', () => {
  const insert = () => line('insert', 3, { x: 1 }), row = ['a', { x: 1, id: 'a', version: 3 }];
  const only = (more) => ({ rows: [], patches: [], gone: [], ...more });
  assert.deepEqual(fold([line('update', 2, set('/x', 0)), insert()]), only({ rows: [row] }));
  assert.deepEqual(fold([line('delete', 2), insert()]), only({ rows: [row] }));
  for (const op of ['delete', 'evict']) {
    assert.deepEqual(fold([insert(), line(op, 4)]), only({ gone: ['a'] }));
    assert.deepEqual(fold([line('update', 2, set('/x', 0)), line(op, 3)]), only({ gone: ['a'] }));
  }
  assert.throws(() => fold([line('delete', 2), line('update', 3, set('/x', 0))]), { code: 'diverged' });
  assert.throws(() => fold([line('rename', 2)]), { code: 'malformed' });
});

test('a nested patch starts from the row of the same fold, else from the base row', () => {
  const nested = set('/j/k', 2);
  const base = { current: (table, id, field) => (table === 't' && id === 'a' && field === 'j' ? { k: 1 } : none()) };
  assert.deepEqual(fold([line('update', 2, nested)], base).patches, [['a', { version: 2, j: { k: 2 } }]]);
  const rows = fold([line('insert', 1, { j: { k: 1 } }), line('update', 2, nested)]).rows;
  assert.deepEqual(rows, [['a', { j: { k: 2 }, id: 'a', version: 2 }]]);
  assert.throws(() => fold([line('insert', 1, {}), line('update', 2, nested)]), { code: 'bad_patch' });
  const retired = fold([line('update', 2, nested)], { current: () => undefined });
  assert.deepEqual(retired.patches, [['a', { version: 2 }]], 'a field without a column is left out');
});

test('after a repair, lines that the replica or the fold already includes are skipped', () => {
  const at = (version) => ({ known: () => version });
  const x = (lines, version) => fold(lines, at(version)).patches[0]?.[1].x;
  assert.equal(x([line('update', 3, set('/x', 3)), line('update', 2, set('/x', 2))], 1), 3, 'older than a patch');
  assert.equal(x([line('update', 2, set('/x', 2))], 2), undefined, 'in the base row');
  assert.equal(x([line('update', 3, set('/x', 3))], 2), 3);
  const inserted = fold([line('insert', 3, { x: 3 }), line('update', 2, set('/x', 2))], at(1));
  assert.equal(inserted.rows[0][1].x, 3, 'older than a row');
  const deleted = fold([line('delete', 3), line('update', 2, set('/x', 2))], at(1));
  assert.deepEqual([deleted.gone, deleted.patches], [['a'], []], 'an update of a record that is gone');
  const missing = fold([line('update', 2, set('/x', 2)), line('insert', 3, { x: 3 })], at(null));
  assert.deepEqual([missing.patches, missing.rows[0][1].x], [[], 3]);
  assert.deepEqual(fold([line('delete', 3)], at(null)).gone, ['a']);
});

test('the fields an op touches', () => {
  assert.deepEqual(touchedFields({ op: 'insert', payload: { a: 1, b: null } }), ['a', 'b']);
  assert.deepEqual(touchedFields({ op: 'insert', payload: null }), []);
  assert.deepEqual(
    touchedFields({ op: 'update', payload: [...set('/a/x', 1), ...set('/a/y', 1), ...set('/b~1c', 1)] }),
    ['a', 'b/c'],
  );
  assert.deepEqual(touchedFields({ op: 'delete', payload: null }), []);
  assert.deepEqual(touchedFields({ op: 'settle', payload: { conflict: 'k' } }), []);
});

test('an insert without values shows an empty record of version 0', () => {
  const shown = patched('a', null, [{ op: 'insert', payload: null }], ['id', 'version', 'x']);
  assert.deepEqual(shown, { id: 'a', version: 0, x: null });
  assert.equal(patched('a', { x: 1, version: 2 }, [{ op: 'delete', payload: null }], ['x']), null);
  assert.equal(patched('a', null, [{ op: 'update', payload: set('/x', 1) }], ['x']), null);
  assert.deepEqual(patched('a', { x: 1, version: 2 }, [{ op: 'settle', payload: {} }], ['x']), {
    id: 'a',
    version: 2,
    x: 1,
  });
});
