/** Damaged replica files are set aside, never deleted, and readable edits are kept. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { moveLocal, openNewest } from '../../sdk/installing.js';
import { memoryStorage } from '../../sdk/storage/memory.js';
import { Writing } from '../../sdk/writing.js';
import { fieldService, sqlite3 } from './support.js';

/** The file of a replica with a pending edit, a token and a thousand jobs. */
function file() {
  const { log, replica } = fieldService();
  for (let i = 0; i < 1000; i++) log.add('jobs', `k${i}`, 'insert', 1, { title: `Job ${i} ${'x'.repeat(50)}` });
  replica.applyChanges(log.frame());
  replica.change((touched) =>
    new Writing(replica, touched, () => new Date()).write(
      [{ op: 'update', table: 'jobs', id: 'j1', values: { title: 'Mine' } }],
      't',
    ),
  );
  for (const [key, value] of [['ready', true], ['token', 'secret']]) replica.setLocal(key, value);
  const page = (name) => replica.sql.value('SELECT rootpage FROM main.sqlite_schema WHERE name = ?', [name]);
  return {
    bytes: sqlite3.capi.sqlite3_js_db_export(replica.sql.db.pointer),
    metadata: page('object_metadata'),
    size: replica.sql.value('PRAGMA page_size'),
  };
}

/** Storage in memory that has one file, which can be opened more than once, as on a disk. */
async function storageWith(name, bytes) {
  const imported = async () => {
    const memory = memoryStorage(sqlite3);
    await memory.importFile(name, (async function* () { yield bytes.slice(); })(), bytes.length);
    return memory;
  };
  const [storage, ...copies] = [await imported(), await imported(), await imported()];
  const kept = new Set([name]);
  const { open, remove } = storage;
  storage.open = (file_) => (kept.has(file_) ? copies.pop().open(file_) : open(file_));
  storage.remove = async (file_) => {
    kept.delete(file_);
    await remove(file_);
  };
  return { storage, kept };
}

test('edits and token of a file with damaged tables move to its replacement', async () => {
  const { bytes, metadata, size } = file();
  bytes.fill(0xff, (metadata - 1) * size, metadata * size);
  const { storage, kept } = await storageWith('replica-000004.sqlite3', bytes);
  const { replica, file: next } = await openNewest(storage);
  assert.equal(next, 'replica-000005.sqlite3');
  assert.deepEqual([...kept], ['replica-000004.sqlite3'], 'set aside, not deleted');
  assert.deepEqual(
    replica.overlays.list().map(({ state, payload }) => [state, payload[0].value]),
    [['pending', 'Mine']],
  );
  assert.deepEqual([replica.local('token'), replica.state.cursor, replica.local('damaged')[0].saved], ['secret', 0, 1]);
  const { replica: fresh } = fieldService();
  moveLocal(replica, fresh);
  assert.equal(fresh.sql.query('SELECT title FROM jobs WHERE id = ?', ['j1']).rows[0][0], 'Mine');
  assert.equal(fresh.local('damaged').length, 1);
});

test('a file that is not a database loses its edits and reports it', async () => {
  const bytes = new Uint8Array(40_000).fill(7);
  const { storage, kept } = await storageWith('replica-000001.sqlite3', bytes);
  const { replica } = await openNewest(storage);
  assert.deepEqual(
    [replica.overlays.list(), replica.local('damaged')[0].file, replica.local('damaged')[0].saved],
    [[], 'replica-000001.sqlite3', 0],
  );
  assert.equal(kept.size, 1);
});
