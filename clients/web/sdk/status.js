/** What the leader reports: the status that applications show, and diagnostics for troubleshooting. */

import * as reading from './reading.js';

/**
 * @typedef {{
 *   engine: import('./engine.js').Engine, replica: import('./replica.js').Replica,
 *   options: import('./leader.js').LeaderOptions, server: string, storageProblem: string | null
 * }} Reported what the reports are about; `storageProblem`: why the last flush failed
 */

const VERSION = '0.1.0';
const ONLINE = new Set(['catching_up', 'upgrading', 'downloading', 'repairing', 'live']);

/** @param {Reported} reported */
function storageOf({ replica, options, storageProblem }) {
  const { tier, name, durable, reason } = options.storage;
  const damaged = replica.local('damaged');
  return { tier, name, durable, reason: storageProblem ?? reason, ...(damaged ? { damaged } : {}) };
}

/**
 * Return the status of the sync.
 * @param {Reported} reported
 * @returns {import('./types.js').Status}
 */
export function statusOf(reported) {
  const { engine, replica, server } = reported;
  const counts = replica.overlays.counts();
  return {
    phase: engine.phase,
    online: ONLINE.has(engine.phase) && engine.connected,
    progress: engine.progress,
    cursor: replica.state.cursor,
    head: Math.max(engine.head, replica.state.cursor),
    schema_version: replica.state.schema_version,
    pending: counts.pending,
    conflicts: reading.conflicts(replica).length,
    rejected: counts.rejected,
    parked: counts.parked,
    problem: engine.problem,
    retry_at: engine.retryAt,
    server,
    user: replica.local('user'),
    tenant: replica.state.tenant || null,
    device: replica.local('device'),
    profile: replica.local('profile'),
    access: replica.local('access'),
    channel: replica.state.channel || null,
    storage: storageOf(reported),
    leader: true,
  };
}

/**
 * Return details for troubleshooting.
 * @param {Reported} reported
 * @param {{file: string, install: Record<string, number> | null, journal: string[]}} more `install`: milliseconds the
 *   last snapshot took · `journal`: recent events
 * @returns {Record<string, any>}
 */
export function diagnosticsOf(reported, { file, install, journal }) {
  const { engine, replica, options, server } = reported;
  const { sql, state, schema } = replica;
  const counted = [...schema.tables.keys()].map((name) => [name, sql.value(`SELECT count(*) FROM main."${name}"`)]);
  return {
    version: VERSION,
    sqlite: sql.sqlite3.version.libVersion,
    server,
    client: options.client,
    ...state,
    device: replica.local('device'),
    user: replica.local('user'),
    file,
    bytes: sql.value('PRAGMA main.page_count') * sql.value('PRAGMA main.page_size'),
    storage: { ...storageOf(reported), ...options.storage.stats() },
    overlays: replica.overlays.counts(),
    tables: Object.fromEntries(counted),
    phase: engine.phase,
    problem: engine.problem,
    limits: engine.pushing.limits,
    install,
    journal,
  };
}
