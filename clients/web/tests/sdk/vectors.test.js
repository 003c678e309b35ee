/** The shared vectors (clients/vectors): this client computes what every other client computes. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { rightsOf } from '../../sdk/access.js';
import { canonical } from '../../sdk/canonical.js';
import { fold, genesis } from '../../sdk/chain.js';
import { LOCAL_TABLES_SQL, SYSTEM_TABLES_SQL, commandSql, liveViewSql } from '../../sdk/ddl.js';
import { Digest } from '../../sdk/digest.js';
import { foldChanges } from '../../sdk/fold.js';
import { parseChanges } from '../../sdk/lines.js';
import { patched } from '../../sdk/overlay.js';
import { applyPatch, diff } from '../../sdk/patch.js';
import { toWire } from '../../sdk/reading.js';
import { memoryStorage } from '../../sdk/storage/memory.js';
import { clean, toCell } from '../../sdk/values.js';
import { sqlite3 } from './support.js';

const each = (name, check) => test(name, () => {
  const { cases } = JSON.parse(readFileSync(new URL(`../../../vectors/${name}.json`, import.meta.url), 'utf8'));
  assert.ok(cases.length);
  cases.forEach((one, i) => {
    try {
      check(one);
    } catch (error) {
      error.message = `case ${i} ${JSON.stringify(one).slice(0, 300)}: ${error.message}`;
      throw error;
    }
  });
});
/** Drop keys that are null: a line leaves them out, Python does not. */
const present = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));

each('access', ({ access, table, verbs, read, write, fill, records }) => {
  const rights = rightsOf(access, table);
  const fields = ['object_type', 'status', 'title', 'notes', 'technician', 'price', 'number', 'paid'];
  assert.deepEqual(['create', 'update', 'delete'].filter((verb) => rights[verb]), verbs);
  assert.deepEqual(
    [
      fields.filter((f) => rights.canRead(f)),
      fields.filter((f) => rights.canWrite(f)),
      fields.filter((f) => rights.canFill(f)),
    ],
    [read, write, fill],
  );
  for (const { record, keeps } of records) assert.equal(rights.wouldKeep(record), keeps, JSON.stringify(record));
});

each('canonical', (one) => {
  if (one.error) assert.throws(() => canonical(JSON.parse(one.json)));
  else assert.equal(canonical(JSON.parse(one.json)), one.canonical);
});

each('chain', (one) => {
  if (one.genesis) return assert.equal(genesis(one.epoch, one.slug, one.channel_key), one.genesis);
  const { start, lines, hashes: steps } = one;
  assert.equal(steps.length, lines.length);
  let state = start;
  lines.forEach((line, i) => assert.equal(state = fold(state, [line]), steps[i]));
  return assert.equal(fold(start, lines), state);
});

each('digest', ({ records, count, digest }) => {
  const sum = new Digest();
  for (const [id, version] of records) sum.add(id, version);
  assert.deepEqual([sum.count, sum.hex], [count, digest]);
});

each('lines', (one) => {
  if (one.line)
    return assert.deepEqual(present(parseChanges([one.line])[0]), {
      ...present(one.change),
      ...(one.change.payload === null ? {} : { payload: one.change.payload }),
    });
  const { record_id: id, at, payload, ...op } = one.op;
  return assert.deepEqual(
    toWire({ ...op, id, created_at: at, payload: payload === null ? null : JSON.parse(payload) }),
    one.op_line,
  );
});

each('patch', (one) => {
  if (one.diff) return assert.deepEqual(diff(one.old, one.new), one.diff);
  const apply = () => applyPatch(one.record, one.patch, { lenient: one.lenient });
  return one.error ? assert.throws(apply, { name: 'MoatError' }) : assert.deepEqual(apply(), one.result);
});

each('overlay', ({ id, base, ops, columns, shown }) => assert.deepEqual(patched(id, base, ops, columns), shown));

each('fold', ({ changes, base = {}, known, folded, error }) => {
  const current = (table, id, field) => structuredClone(base[`${table}/${id}/${field}`]);
  const fold_ = () =>
    foldChanges(structuredClone(changes), current, known ? (table, id) => known[`${table}/${id}`] ?? null : null);
  if (error) return assert.throws(fold_, { name: 'MoatError' });
  const plain = ({ rows, patches, gone }) => ({
    rows: Object.fromEntries(rows),
    patches: Object.fromEntries(patches),
    gone: [...gone].sort(),
  });
  return assert.deepEqual(Object.fromEntries([...fold_()].map(([table, one]) => [table, plain(one)])), folded);
});

each('ddl', (one) => {
  if (one.command) assert.deepEqual(commandSql(one.command), one.sql);
  else if (one.view) assert.equal(liveViewSql(one.table, one.columns, true), one.view);
  else assert.deepEqual([SYSTEM_TABLES_SQL, LOCAL_TABLES_SQL], [one.system, one.local]);
});

each('values', ({ field, value, wire, stored, error }) => {
  if (error) return assert.throws(() => clean(field, value), { name: 'MoatError' });
  assert.deepEqual(clean(field, value), wire);
  const sql = memoryStorage(sqlite3).open('v');
  sql.script(commandSql({ command: 'create_table', table: 'v', columns: [field], indexes: [] }));
  sql.run('INSERT INTO v VALUES (?, ?, ?, ?, ?)', ['1', 1, null, null, toCell(field, wire)]);
  return assert.deepEqual(sql.value(`SELECT "${field.name}" FROM v`), stored);
});
