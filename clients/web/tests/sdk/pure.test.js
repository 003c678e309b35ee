/** The pure modules: hashes, chain, digest, canonical JSON, patches, values, DDL, frames. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { backoff } from '../../sdk/backoff.js';
import { canonical, same } from '../../sdk/canonical.js';
import { fold, genesis } from '../../sdk/chain.js';
import { commandSql, createTableSql, liveViewSql, quote } from '../../sdk/ddl.js';
import { Digest } from '../../sdk/digest.js';
import { uuid7 } from '../../sdk/ids.js';
import { makeFrame, parseBinary, parseChanges, parseFrame } from '../../sdk/lines.js';
import { applyPatch, diff, plain } from '../../sdk/patch.js';
import { Sha256, fromHex, sha256, toHex } from '../../sdk/sha256.js';
import { clean, fromCell, toCell } from '../../sdk/values.js';
import { guesses, split } from '../../sdk/verify.js';
import { JOB, field } from './support.js';

const hash = (data) => createHash('sha256').update(data).digest();

test('sha256 equals the platform’s, whole and in parts, around every block boundary', () => {
  for (const length of [0, 1, 3, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 70_001]) {
    const data = Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 255);
    assert.equal(toHex(sha256(data)), hash(data).toString('hex'));
    const pieces = new Sha256();
    for (let at = 0; at < length; at += 17) pieces.update(data.subarray(at, at + 17));
    assert.equal(toHex(pieces.digest()), hash(data).toString('hex'), `${length} in pieces`);
  }
  assert.throws(() => fromHex('xyz'), RangeError);
});

test('the chain is sha256(sha256(line) + state), from a genesis', () => {
  const state = genesis('e1', 'acme');
  assert.equal(state, hash(Buffer.from('moat.v1\0e1\0acme')).toString('hex'));
  assert.equal(genesis('e1', 'acme', 'k'), hash(Buffer.from('moat.v1\0e1\0acme\0k')).toString('hex'));
  const lines = ['{"a":1}', 'grüße, 世界 🎉', 'x'.repeat(9000)];
  let expected = Buffer.from(state, 'hex');
  for (const line of lines) expected = hash(Buffer.concat([hash(Buffer.from(line)), expected]));
  assert.equal(fold(state, lines), expected.toString('hex'));
  assert.equal(fold(state, []), state);
});

test('a digest sums the first 8 bytes modulo 2^64 in any order', () => {
  const records = Array.from({ length: 50 }, (_, i) => [`id-${i}-é`, i * 1000 + 1]);
  let expected = 0n;
  for (const [id, version] of records)
    expected = (expected + hash(Buffer.from(`${id}\0${version}`)).readBigUInt64BE()) % (1n << 64n);
  for (const order of [records, [...records].reverse()]) {
    const digest = new Digest();
    for (const [id, version] of order) digest.add(id, version);
    assert.deepEqual([digest.count, digest.hex], [50, expected.toString(16).padStart(16, '0')]);
  }
  assert.equal(new Digest().hex, '0'.repeat(16));
});

test('canonical JSON sorts keys by UTF-16, writes numbers as ECMAScript does, and rejects lone surrogates', () => {
  assert.equal(
    canonical({ b: [1, 1e21, 0.1, -0, true, null], a: '\u20ac"\\\n', '\ud83d\ude00': 1, '\ufb33': 2 }),
    '{"a":"€\\"\\\\\\n","b":[1,1e+21,0.1,0,true,null],"😀":1,"\ufb33":2}',
  );
  assert.throws(() => canonical('\ud800'), TypeError);
  assert.throws(() => canonical(NaN), TypeError);
  assert.ok(same({ a: [1, { b: null }] }, { a: [1, { b: null }] }));
  assert.ok(!same({ a: 1 }, { b: 1 }) && !same([], {}) && !same(null, {}));
});

test('a patch sets fields at the first level and is strict inside json', () => {
  const record = { title: 'a', attrs: { list: [1, 2], deep: { x: 1 }, 'a/b~c': 0 }, note: null };
  const patch = [
    { op: 'replace', path: '/title', value: 'b' },
    { op: 'add', path: '/note', value: 'n' },
    { op: 'add', path: '/attrs/list/1', value: 9 },
    { op: 'add', path: '/attrs/list/-', value: 3 },
    { op: 'remove', path: '/attrs/deep/x' },
    { op: 'replace', path: '/attrs/a~1b~0c', value: 5 },
    { op: 'copy', from: '/attrs/list/0', path: '/attrs/first' },
    { op: 'move', from: '/attrs/first', path: '/attrs/one' },
    { op: 'test', path: '/attrs/one', value: 1 },
  ];
  assert.ok(plain(record, patch).every(({ op }) => ['add', 'replace', 'remove'].includes(op)));
  assert.deepEqual(applyPatch(record, plain(record, patch)), {
    title: 'b',
    note: 'n',
    attrs: { list: [1, 9, 2, 3], deep: {}, 'a/b~c': 5, one: 1 },
  });
  assert.deepEqual(record.attrs.list, [1, 2], 'the given record is untouched');
  assert.equal(applyPatch(record, [{ op: 'remove', path: '/title' }]).title, null);
  for (const bad of [
    { op: 'replace', path: '/attrs/nothing', value: 1 },
    { op: 'remove', path: '/attrs/list/2' },
    { op: 'add', path: '/attrs/list/01', value: 1 },
    { op: 'add', path: '/title/x', value: 1 },
    { op: 'test', path: '/title', value: 'z' },
    { op: 'add', path: '/attrs/__proto__', value: {} },
    { op: 'move', from: '/attrs', path: '/attrs/x' },
    { op: 'replace', path: '', value: {} },
  ]) {
    assert.throws(() => applyPatch(record, plain(record, [bad])), { name: 'MoatError' }, JSON.stringify(bad));
    assert.deepEqual(applyPatch(record, [bad, { op: 'replace', path: '/title', value: 'b' }], { lenient: true }), {
      ...record,
      title: 'b',
    });
  }
});

test('a diff names changes inside an object and replaces whole lists', () => {
  assert.deepEqual(diff({ a: 1, b: 2 }, { a: 1, b: 3, c: null }), [{ op: 'replace', path: '/b', value: 3 }]);
  assert.deepEqual(diff({ attrs: { k: 1, z: 1, gone: 1 } }, { attrs: { k: 2, 'n/w': 1 } }), [
    { op: 'remove', path: '/attrs/gone' },
    { op: 'remove', path: '/attrs/z' },
    { op: 'replace', path: '/attrs/k', value: 2 },
    { op: 'add', path: '/attrs/n~1w', value: 1 },
  ]);
  assert.deepEqual(diff({ attrs: { list: [1, 2] } }, { attrs: { list: [1, 2, 3] } }), [
    { op: 'replace', path: '/attrs/list', value: [1, 2, 3] },
  ]);
  assert.deepEqual(diff({ attrs: null }, { attrs: { a: 1 } }), [{ op: 'replace', path: '/attrs', value: { a: 1 } }]);
});

test('values are accepted in looser spellings unless something would be lost', () => {
  const decimal = field('p', 'decimal');
  assert.deepEqual(
    [1, '1.5', '-0.00', '007.1', -3.25, '1.25e1', '125e-1', 1e-7 * 1e7].map((value) => clean(decimal, value)),
    ['1.00', '1.50', '0.00', '7.10', '-3.25', '12.50', '12.50', '1.00'],
  );
  for (const bad of ['1.234', '1e-3', '1e99', 'e5', 'x', '', '.', 12345678901234.56, true])
    assert.throws(() => clean(decimal, bad), { code: 'bad_value' }, String(bad));
  const datetime = field('t', 'datetime');
  assert.equal(clean(datetime, '2026-03-01T10:00:00+02:00'), '2026-03-01T08:00:00.000000Z');
  assert.equal(clean(datetime, '2026-03-01 10:00:00.123456Z'), '2026-03-01T10:00:00.123456Z');
  assert.equal(clean(datetime, new Date(Date.UTC(2026, 0, 1))), '2026-01-01T00:00:00.000000Z');
  for (const bad of ['2026-02-30T10:00:00Z', '2026-03-01T25:00:00Z', '2026-03-01', '2026-03-01T10:00:00', 5])
    assert.throws(() => clean(datetime, bad), { code: 'bad_value' });
  assert.equal(clean(field('d', 'date'), '2024-02-29'), '2024-02-29');
  for (const bad of ['2023-02-29', '0000-01-01', '2026-1-1'])
    assert.throws(() => clean(field('d', 'date'), bad), { code: 'bad_value' });
  assert.equal(
    clean(field('u', 'uuid'), 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'),
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  );
  assert.ok(Object.is(clean(field('r', 'real'), -0), 0));
  for (const bad of [2 ** 53, 1.5, '15', true, []])
    assert.throws(() => clean(field('i', 'integer'), bad), { code: 'bad_value' });
  assert.throws(() => clean(field('x', 'text'), 'a\0b'), { code: 'bad_value', field: 'x' });
  assert.throws(() => clean(field('x', 'text'), '\ud800'), { code: 'bad_value' });
  assert.throws(() => clean(field('c', 'choice', { choices: [{ value: 'a', label: 'A' }] }), 'b'), {
    code: 'bad_value',
  });
  assert.throws(() => clean(field('j', 'json'), JSON.parse('{"__proto__":1}')), { code: 'bad_value' });
  assert.throws(() => clean(field('j', 'json'), [2 ** 53]), { code: 'bad_value' });
  assert.deepEqual(clean(field('j', 'json'), { b: 1, a: undefined }), { b: 1 });
  assert.equal(clean(field('x', 'text'), null), null);
});

test('stored values come back as wire values', () => {
  for (const [kind, wire, cell] of [
    ['boolean', true, 1],
    ['json', { b: 1, a: [1] }, '{"a":[1],"b":1}'],
    ['integer', 5, 5],
    ['real', 1.5, 1.5],
    ['date', '2026-01-01', '2026-01-01'],
  ]) {
    assert.equal(toCell(field('f', kind), wire), cell);
    assert.deepEqual(fromCell(field('f', kind), cell), wire);
  }
  assert.equal(fromCell(field('p', 'decimal', { decimal_places: 4 }), 12.3), '12.3000');
  assert.equal(fromCell(field('p', 'decimal', { decimal_places: 0 }), 12), '12');
  assert.equal(fromCell(field('b', 'boolean'), null), null);
});

test('DDL matches docs/spec/replica.md', () => {
  const [table, ...indexes] = createTableSql(JOB.table_name, JOB.fields);
  assert.equal(
    table,
    'CREATE TABLE "jobs" ("id" TEXT PRIMARY KEY NOT NULL, "version" INTEGER NOT NULL, "object_type" TEXT, ' +
      `"status" TEXT, "title" TEXT, "price" NUMERIC DEFAULT '0.00', "hours" REAL, "count" INTEGER, "urgent" INTEGER, ` +
      '"due" TEXT, "attrs" TEXT, "customer" TEXT)',
  );
  assert.deepEqual(indexes, [
    'CREATE INDEX "ix_jobs__title" ON "jobs" ("title")',
    'CREATE INDEX "ix_jobs__customer" ON "jobs" ("customer")',
  ]);
  assert.deepEqual(
    commandSql({ command: 'add_column', table: 'jobs', column: field('ok', 'boolean', { default: true }) }),
    [
      'ALTER TABLE "jobs" ADD COLUMN "ok" INTEGER DEFAULT 1',
      'ALTER TABLE "_patched_jobs" ADD COLUMN "ok" INTEGER DEFAULT 1',
    ],
  );
  assert.match(
    liveViewSql('jobs', ['id', 'version'], false),
    /^CREATE TEMP VIEW "jobs" AS SELECT "id", "version" FROM main\."jobs" b$/,
  );
  assert.match(liveViewSql('jobs', ['id'], true), /UNION ALL SELECT "id" FROM main\."_patched_jobs"$/);
  for (const bad of ['a"b', 'A', '', 'sqlite_x', 'overlays', '_x', 'a'.repeat(200)])
    assert.throws(() => commandSql({ command: 'retire_table', table: bad }), { code: 'bad_name' }, bad);
  assert.throws(() => quote('x; DROP TABLE y'), { code: 'bad_name' });
  assert.throws(() => commandSql({ command: 'exec', table: 'jobs' }), { code: 'unknown_command' });
});

test('frames keep their data lines unchanged', () => {
  const text = '{"type":"changes","from":1}\n{"cursor": 2 , "x":"\\u00e9"}\n{}';
  assert.deepEqual(parseFrame(text), {
    envelope: { type: 'changes', from: 1 },
    lines: ['{"cursor": 2 , "x":"\\u00e9"}', '{}'],
  });
  assert.equal(makeFrame({ type: 'push', ref: 1 }, [{ op_id: 1 }]), '{"type":"push","ref":1}\n{"op_id":1}');
  for (const bad of ['', '[]', '{"a":1}', 'null', '{"type":5}'])
    assert.throws(() => parseFrame(bad), { code: 'malformed' });
  assert.throws(() => parseChanges(['{"cursor":1}']), { code: 'malformed' });
  const header = new TextEncoder().encode('{"snapshot":"s","part":3}');
  const frame = new Uint8Array(4 + header.length + 2);
  new DataView(frame.buffer).setUint32(0, header.length);
  frame.set(header, 4);
  frame.set([7, 8], 4 + header.length);
  assert.deepEqual(parseBinary(frame.buffer), { header: { snapshot: 's', part: 3 }, bytes: Uint8Array.of(7, 8) });
  assert.throws(() => parseBinary(new ArrayBuffer(2)), { code: 'malformed' });
});

test('ranges are cut without a gap, even without own records to cut at', () => {
  assert.deepEqual(split([null, 'z'], ['b', 'm']), [[null, 'b'], ['b\u0001', 'm'], ['m\u0001', 'z']]);
  assert.ok(guesses([null, null]).length > 10);
  const inside = guesses(['job-1\u0001', 'job-2']);
  assert.ok(inside.length > 10 && inside.every((cut) => cut > 'job-1\u0001' && cut < 'job-2'));
  // Repeated cutting ends at single IDs.
  let range = ['job-1\u0001', 'job-2'];
  for (let i = 0; i < 200 && guesses(range).length; i++) range = split(range, guesses(range))[1];
});

test('waits grow, have jitter, and follow the server’s request', () => {
  assert.equal(backoff(0, () => 0), 250);
  assert.equal(backoff(0, () => 1), 500);
  assert.equal(backoff(50, () => 1), 30_000);
  assert.ok(backoff(0, () => 0.5, 10) >= 10_000);
  assert.ok(backoff(0, () => 1, 4e9) <= 4_500_000, 'a timer of over 24 days would fire at once');
});

test('IDs sort by time', () => {
  const ids = [1, 1e12, Date.now(), 2 ** 45].map((time) => uuid7(time));
  assert.deepEqual([...ids].sort(), ids);
  assert.match(ids[2], /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
