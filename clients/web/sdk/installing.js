/**
 * Replica files: open the newest, and replace it with a snapshot. At every moment each edit is in at least one of them.
 */

import { MoatError } from './errors.js';
import { Replica } from './replica.js';
import { snapshotChunks } from './snapshot.js';
import { quote } from './ddl.js';
import { words } from './words.js';

/** @typedef {import('./storage/types.js').Storage} Storage */
/** @typedef {import('./types.js').Manifest} Manifest */

const PATTERN = /^replica-(\d+)\.sqlite3$/;
const fileName = (/** @type {number} */ number) => `replica-${String(number).padStart(6, '0')}.sqlite3`;
const numberOf = (/** @type {string} */ file) => Number(PATTERN.exec(file)?.[1] ?? 0);

/** A replica and its file; for a snapshot, also how long its steps took. */
/** @typedef {{replica: Replica, file: string, took?: {download: number, check: number}}} Installed */

/**
 * Open the newest complete replica, or create one; remove the other files.
 *
 * A damaged file is set aside, never deleted. Its readable pending edits move to the replica that replaces it, and
 * `device_state` records that.
 * @param {Storage} storage
 * @returns {Promise<Installed>}
 */
export async function openNewest(storage) {
  const files = storage.list().filter((file) => PATTERN.test(file)).sort().reverse();
  /** @type {Installed | null} */
  let found = null;
  /** @type {string[]} */
  const damaged = [];
  for (const file of files) {
    try {
      found ??= tryOpen(storage, file);
    } catch (error) {
      if (MoatError.from(error).code !== 'damaged') throw error;
      damaged.push(file);
    }
    if (found && found.file !== file && !damaged.includes(file) && !setAside(found.replica).includes(file))
      await storage.remove(file);
    if (!found && !damaged.includes(file)) await storage.remove(file);
  }
  const file = fileName(numberOf(files[0] ?? '') + 1);
  const { replica, ...rest } = found ?? { replica: new Replica(storage.open(file)), file };
  for (const each of damaged) salvage(storage, each, replica);
  replica.setLocal('ready', true);
  return { replica, ...rest };
}

/** @param {Replica} replica @returns {string[]} damaged files */
const setAside = (replica) => (replica.local('damaged') ?? []).map((/** @type {{file: string}} */ { file }) => file);

/**
 * Move what is readable of a damaged file’s edits and device state.
 * @param {Storage} storage
 * @param {string} file
 * @param {Replica} to
 */
function salvage(storage, file, to) {
  let saved = 0;
  try {
    const sql = storage.open(file);
    try {
      for (const [key, value] of sql.rows('SELECT "key", "value" FROM main."device_state"'))
        to.sql.run('INSERT OR IGNORE INTO main."device_state" VALUES (?, ?)', [key, value]);
      for (const row of sql.rows('SELECT * FROM main."overlays" ORDER BY "op_id"'))
        saved += to.sql.run(`INSERT OR IGNORE INTO main."overlays" VALUES (${row.map(() => '?').join()})`, row);
    } finally {
      sql.close();
    }
  } catch {
    // What was read before the failure is all that can be saved.
  }
  // Resend accepted ops: the server recognizes the ones it has.
  to.sql.run(`UPDATE main."overlays" SET "state" = 'pending', "acked_cursor" = NULL WHERE "state" = 'acked'`);
  to.setLocal('damaged', [...(to.local('damaged') ?? []), { file, saved, at: new Date().toISOString() }]);
  to.reload();
}

/**
 * @param {Storage} storage
 * @param {string} file
 * @returns {Installed | null} null if the file was never completed
 */
function tryOpen(storage, file) {
  const sql = storage.open(file);
  try {
    const has = sql.value(`SELECT 1 FROM main.sqlite_schema WHERE name = 'device_state'`) !== null;
    if (has && sql.value(`SELECT 1 FROM main."device_state" WHERE "key" = 'ready'`) !== null)
      return { replica: new Replica(sql), file };
  } catch (error) {
    sql.close();
    throw error;
  }
  sql.close();
  return null;
}

/**
 * Download a snapshot into a file of its own and check it.
 * @param {Storage} storage
 * @param {string} current file in use
 * @param {import('./snapshot.js').Download} download
 * @returns {Promise<Installed>} opened, with nothing local in it yet
 */
export async function fetchSnapshot(storage, current, download) {
  const { manifest } = download;
  const file = fileName(Math.max(numberOf(current), ...storage.list().map(numberOf)) + 1);
  const begun = performance.now();
  /** @type {Promise<void> | undefined} */
  let whole;
  const chunks = async function* () { ({ whole } = yield* snapshotChunks(download)); };
  await storage.importFile(file, chunks(), manifest.size).catch(async (error) => {
    await storage.remove(file);
    throw error;
  });
  const downloaded = performance.now();
  /** @type {import('./sql.js').Sql | undefined} */
  let sql;
  try {
    sql = storage.open(file);
    const problem = sql.value('PRAGMA main.quick_check(1)');
    if (problem !== 'ok') throw new MoatError('snapshot', words.damagedSnapshot(problem));
    const replica = new Replica(sql);
    if (replica.state.cursor !== manifest.cursor || replica.state.state_hash !== manifest.state_hash)
      throw new MoatError('snapshot', words.otherCursor);
    for (const [table, [count]] of Object.entries(manifest.tables)) {
      if (sql.value(`SELECT count(*) FROM main.${quote(table)}`) !== count)
        throw new MoatError('snapshot', words.otherCount(table, count));
    }
    await whole;
    return {
      replica,
      file,
      took: { download: Math.round(downloaded - begun), check: Math.round(performance.now() - downloaded) },
    };
  } catch (error) {
    sql?.close();
    await storage.remove(file);
    throw error;
  }
}

/**
 * Copy all local data from one replica to another, in one transaction and without waiting, so that nothing is written
 * in between.
 * @param {Replica} from
 * @param {Replica} to
 */
export function moveLocal(from, to) {
  const local = from.sql.rows('SELECT "key", "value" FROM main."device_state"');
  to.change((touched) => {
    for (const [key, value] of local)
      to.sql.run('INSERT OR REPLACE INTO main."device_state" VALUES (?, ?)', [key, value]);
    for (const overlay of from.overlays.list()) to.overlays.add(overlay);
    rememberMissing(from, to);
    to.setLocal('replay_until', null);
    to.overlays.dropReached(to.state.cursor, touched);
    to.overlays.rebuildAll();
    to.setLocal('ready', true);
  });
  to.reload();
}

/**
 * For records with pending ops that are missing in the new file, keep their last values: they, or their type, left the
 * channel.
 * @param {Replica} from
 * @param {Replica} to
 */
function rememberMissing(from, to) {
  for (const name of to.overlays.visibleTables()) {
    const before = from.schema.tables.get(name), after = to.schema.tables.get(name);
    if (!before) continue;
    const missing = new Set(
      to.overlays
        .list('"table_name" = ?', [name])
        .map(({ id }) => id)
        .filter((id) => !after || !to.sql.first(after.sql.get, [id])),
    );
    to.overlays.rememberLast(before, missing, from.sql);
  }
}
