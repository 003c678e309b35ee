/** Snapshots: parts are checked, kept, and resumed; a replica file is installed. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { fetchSnapshot, openNewest } from '../../sdk/installing.js';
import * as reading from '../../sdk/reading.js';
import { snapshotChunks } from '../../sdk/snapshot.js';
import { memoryStorage } from '../../sdk/storage/memory.js';
import { memoryParts } from '../../sdk/storage/parts.js';
import { fieldService, sqlite3 } from './support.js';

const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/** A replica file as a server builds it, its manifest, and a server for its parts. */
function shipped({ partSize = 5000 } = {}) {
  const { replica } = fieldService();
  for (const table of ['overlays', 'device_state', '_patched_jobs', '_patched_customers'])
    replica.sql.script([`DROP TABLE main."${table}"`]);
  const file = Buffer.from(sqlite3.capi.sqlite3_js_db_export(replica.sql.db.pointer));
  const packed = [];
  for (let at = 0; at < file.length; at += partSize) packed.push(gzipSync(file.subarray(at, at + partSize)));
  const manifest = {
    snapshot: 's1',
    ...replica.state,
    size: file.length,
    sha256: sha256(file),
    parts: packed.map((part) => ({ size: part.length, sha256: sha256(part) })),
    tables: { jobs: [2, ''], customers: [1, ''], object_metadata: [2, ''], layout_definition: [0, ''] },
  };
  const asked = [];
  const server = { answer: (number) => new Response(packed[number]) };
  const fetch_ = async (url, { headers, signal }) => {
    const number = Number(/^https:\/\/moat\/api\/snapshots\/s1\/parts\/(\d+)$/.exec(url)[1]);
    assert.equal(headers.Authorization, 'Bearer t');
    signal.throwIfAborted();
    asked.push(number);
    return server.answer(number);
  };
  const download = (more = {}) => ({
    manifest,
    server: 'https://moat',
    token: 't',
    parts: memoryParts(),
    signal: new AbortController().signal,
    progress: () => {},
    fetch: fetch_,
    ...more,
  });
  return { file, manifest, asked, server, download, packed };
}

async function assembled(download) {
  const chunks = [];
  const all = async function* () { await (yield* snapshotChunks(download)).whole; };
  for await (const chunk of all()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('parts are assembled in order, with progress', async () => {
  const { file, download, manifest } = shipped();
  const shares = [];
  assert.deepEqual(await assembled(download({ progress: (share) => shares.push(share) })), file);
  assert.equal(shares.length, manifest.parts.length);
  assert.ok(shares.every((share, i) => i === 0 || share > shares[i - 1]) && shares.at(-1) === 1);
});

test('a resumed download requests only the missing parts', async () => {
  const { file, download, asked, server, packed } = shipped();
  const parts = memoryParts();
  server.answer = (number) => (number < 6 ? new Response(packed[number]) : new Response('', { status: 410 }));
  await assert.rejects(assembled(download({ parts })), { code: 'snapshot_gone' });
  asked.length = 0;
  server.answer = (number) => new Response(packed[number]);
  assert.deepEqual(await assembled(download({ parts })), file);
  assert.ok(asked.length && Math.min(...asked) >= 6);
});

test('a part that does not match the manifest is fetched again and finally rejected', async () => {
  const { file, download, server, packed } = shipped();
  let bad = 2;
  server.answer = (number) => new Response(number === 1 && bad-- > 0 ? 'x' : packed[number]);
  assert.deepEqual(await assembled(download()), file);
  const liar = shipped();
  liar.manifest.sha256 = '0'.repeat(64);
  await assert.rejects(assembled(liar.download()), { code: 'snapshot' });
});

test('rejections of the server have their own codes', async () => {
  for (const [status, code] of [[401, 'bad_token'], [404, 'snapshot_gone']]) {
    const { download, server } = shipped();
    server.answer = () => new Response('', { status });
    await assert.rejects(assembled(download()), { code });
  }
  const { download } = shipped();
  const abort = new AbortController();
  abort.abort();
  await assert.rejects(assembled(download({ signal: abort.signal })), { code: 'network' });
});

test('a snapshot is opened next to the replica and checked against its manifest', async () => {
  const storage = memoryStorage(sqlite3), { file } = await openNewest(storage);
  const { download, manifest } = shipped();
  const installed = await fetchSnapshot(storage, file, download());
  assert.deepEqual([installed.file, installed.replica.state.cursor], ['replica-000002.sqlite3', manifest.cursor]);
  assert.equal(reading.find(installed.replica, { table: 'jobs' }).records.length, 2);
  const wrong = shipped();
  wrong.manifest.tables.jobs = [3, ''];
  await assert.rejects(fetchSnapshot(storage, file, wrong.download()), { code: 'snapshot' });
  assert.ok(storage.list().includes(file), 'the current file is not touched');
});
