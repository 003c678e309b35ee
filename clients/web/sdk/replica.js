/**
 * The replica: base tables that mirror the server, overlays on top, and the transactions that apply what the server
 * sends.
 */

import { applyLines, applyRows, writeFolded } from './applying.js';
import { fold } from './chain.js';
import {
  APPLICATION_ID,
  LOCAL_TABLES_SQL,
  SYSTEM_TABLES_SQL,
  USER_VERSION,
  commandSql,
  createPatchedSql,
  liveViewSql,
  quote,
} from './ddl.js';
import { Digest } from './digest.js';
import { MoatError } from './errors.js';
import { Folded } from './fold.js';
import { Overlays, Touched } from './overlays.js';
import { Schema } from './schema.js';
import { words } from './words.js';

/** @typedef {import('./types.js').SyncState} SyncState */
/** @typedef {import('./types.js').RecordValues} RecordValues */
/** @typedef {import('./types.js').Revision} Revision */
/** @typedef {import('./sql.js').Sql} Sql */
/** @typedef {import('./schema.js').Table} Table */
/**
 * @typedef {{
 *   schema_version: number, from: number, to: number, state_hash: string, lines: string[], revisions: Revision[]
 * }} ChangesFrame
 * @typedef {{
 *   table: string, columns: string[], deleted: string[], range?: [string | null, string | null], lines: string[]
 * }} RowsFrame
 */

export class Replica {
  schema = new Schema();
  /** @type {SyncState} */
  state = { tenant: '', channel: '', cursor: 0, state_hash: '', schema_version: 0, server_epoch: '' };
  /**
   * All devices this installation has been: a new sign-in creates a new one, and ops of earlier ones may still arrive.
   */
  /** @type {Set<string>} */
  devices = new Set();
  /** @type {Map<string, import('./types.js').ObjectType>} object types by object name */
  objects = new Map();
  /** @type {Map<string, string>} live views that exist now */
  #views = new Map();
  /** Up to this cursor, lines may repeat what a repair has fetched. */
  #replayUntil = 0;

  /** @param {Sql} sql */
  constructor(sql) {
    this.sql = sql;
    this.overlays = new Overlays(sql, () => this.schema);
    this.#prepare();
    this.reload();
  }

  /** Read schema and state again, after opening and after a failed transaction. */
  reload() {
    const row = this.sql.first(
      'SELECT "tenant", "channel", "cursor", "state_hash", "schema_version", "server_epoch" ' +
        'FROM main."sync_state" WHERE "id" = 1',
    );
    if (row)
      [
        this.state.tenant,
        this.state.channel,
        this.state.cursor,
        this.state.state_hash,
        this.state.schema_version,
        this.state.server_epoch,
      ] = row;
    this.schema = new Schema();
    const metadata = /** @type {Table} */ (this.schema.tables.get('object_metadata'));
    this.objects.clear();
    for (const row of this.sql.rows(
      `SELECT ${metadata.columns.map(quote).join(', ')} FROM main."object_metadata" ORDER BY "id"`,
    )) {
      const { id, ...rest } = metadata.toRecord(row);
      const type = /** @type {import('./types.js').ObjectType} */ ({
        object_name: id,
        ...rest,
        subtypes: rest.subtypes ?? [],
        statuses: rest.statuses ?? [],
        fields: rest.fields ?? [],
      });
      this.objects.set(id, type);
      this.schema.set(id, type.table_name, type.fields);
    }
    this.devices = new Set(this.local('devices') ?? []);
    this.#replayUntil = this.local('replay_until') ?? 0;
    this.refreshViews();
  }

  /**
   * Apply one frame of changes, after its schema revisions, in one transaction.
   *
   * Throws `gap` if the frame does not start at the replica’s cursor, `chain` if the lines are not those the server
   * hashed.
   * @param {ChangesFrame} frame
   * @returns {Touched}
   */
  applyChanges(frame) {
    if (frame.from !== this.state.cursor) throw new MoatError('gap', words.gap(this.state.cursor, frame.from));
    const hash = fold(this.state.state_hash, frame.lines);
    if (hash !== frame.state_hash) throw new MoatError('chain', words.chainMismatch(frame.to));
    return this.#write((touched) => {
      this.#upgrade(frame.revisions, touched);
      applyLines(this, frame.lines, frame.from < this.#replayUntil, touched);
      this.#advance({ cursor: frame.to, state_hash: hash }, touched);
    });
  }

  /**
   * Run schema revisions alone, before rows that need them.
   * @param {Revision[]} revisions
   * @returns {Touched}
   */
  upgrade(revisions) {
    return this.#write((touched) => {
      this.#upgrade(revisions, touched);
      this.#advance({}, touched);
    });
  }

  /**
   * Apply all rows of a catch-up, after their schema revisions, in one transaction, and move to its cursor.
   * @param {RowsFrame[]} frames
   * @param {{to: number, state_hash: string, revisions: Revision[]}} end
   * @returns {Touched}
   */
  applyRows(frames, end) {
    return this.#write((touched) => {
      this.#upgrade(end.revisions, touched);
      for (const frame of frames) applyRows(this, frame, touched);
      this.#advance({ cursor: end.to, state_hash: end.state_hash }, touched);
    });
  }

  /**
   * Replace a range of a table with the server’s rows.
   * @param {RowsFrame[]} frames of one repair
   * @returns {Touched}
   */
  repair(frames) {
    return this.#write((touched) => {
      const { table: name } = frames[0];
      /** @type {[string | null, string | null]} */
      const range = frames[0].range ?? [null, null];
      const table = this.schema.tables.get(name);
      if (!table) return;
      const theirs = new Set(
        frames.flatMap((frame) => frame.lines.map((line) => JSON.parse(line)[frame.columns.indexOf('id')])),
      );
      const folded = new Folded();
      for (const [id] of this.sql.rows(`SELECT "id" FROM main.${quote(name)} WHERE ${within(range)}`, bounds(range)))
        if (!theirs.has(id)) folded.gone.add(id);
      writeFolded(this, table, folded, touched);
      for (const frame of frames) applyRows(this, frame, touched);
    });
  }

  /**
   * Move to another position in the chain: after a repair, or when the genesis becomes known.
   * @param {Partial<SyncState>} state
   * @param {number} [replayUntil] up to this cursor, lines may repeat what a repair has fetched
   */
  adopt(state, replayUntil = 0) {
    this.#write((touched) => {
      this.setLocal('replay_until', replayUntil || null);
      this.#advance(state, touched);
    });
    this.#replayUntil = replayUntil;
  }

  /** Delete everything the server sent, to start over. Overlays stay, and accepted ops will be sent again. */
  reset() {
    this.#write((touched) => {
      this.#dropViews();
      for (const { name } of this.schema.types) this.sql.script(commandSql({ command: 'retire_table', table: name }));
      this.sql.script(['DELETE FROM main."object_metadata"', 'DELETE FROM main."layout_definition"']);
      this.sql.run(`UPDATE main."overlays" SET "state" = 'pending', "acked_cursor" = NULL WHERE "state" = 'acked'`);
      for (const { name } of this.schema.types) touched.add(name, '');
      this.schema = new Schema();
      touched.add('object_metadata', '');
      this.#advance(
        { tenant: '', channel: '', cursor: 0, state_hash: '', schema_version: 0, server_epoch: '' },
        touched,
      );
    });
  }

  /**
   * Return the record count and digest of a table, in a range of IDs.
   * @param {string} table
   * @param {[string | null, string | null]} [range]
   * @returns {[number, string]}
   */
  digest(table, range = [null, null]) {
    const digest = new Digest();
    if (this.schema.tables.has(table)) {
      this.sql.each(
        `SELECT "id", "version" FROM main.${quote(table)} WHERE ${within(range)}`,
        bounds(range),
        ([id, version]) => digest.add(id, version),
      );
    }
    return [digest.count, digest.hex];
  }

  /**
   * Return IDs that split a range of a table into parts of about equal size.
   * @param {string} table
   * @param {[string | null, string | null]} range
   * @param {number} pieces
   * @returns {string[]}
   */
  cuts(table, range, pieces) {
    const count = this.sql.value(`SELECT count(*) FROM main.${quote(table)} WHERE ${within(range)}`, bounds(range));
    const step = Math.ceil(count / pieces);
    /** @type {string[]} */
    const out = [];
    let index = 0;
    this.sql.each(
      `SELECT "id" FROM main.${quote(table)} WHERE ${within(range)} ORDER BY "id"`,
      bounds(range),
      ([id]) => {
        if (++index % step === 0 && index < count) out.push(id);
      },
    );
    return out;
  }

  /**
   * Return a record's base row, or null.
   * @param {Table} table
   * @param {string} id
   */
  base(table, id) {
    const row = this.sql.first(table.sql.get, [id]);
    return row && table.toRecord(row);
  }

  /**
   * Change overlays in one transaction and update their records.
   * @param {(touched: Touched) => void} work
   * @returns {Touched}
   */
  change(work) {
    return this.#write(work);
  }

  /**
   * @param {string} key
   * @returns {any} null if it is not set
   */
  local(key) {
    const text = this.sql.value('SELECT "value" FROM main."device_state" WHERE "key" = ?', [key]);
    return text === null ? null : JSON.parse(text);
  }

  /**
   * @param {string} key
   * @param {unknown} value null deletes it
   */
  setLocal(key, value) {
    if (value === null) this.sql.run('DELETE FROM main."device_state" WHERE "key" = ?', [key]);
    else this.sql.run('INSERT OR REPLACE INTO main."device_state" VALUES (?, ?)', [key, JSON.stringify(value)]);
  }

  /** Create the live views that the overlays require. Call it outside of transactions. */
  refreshViews() {
    const overlaid = this.overlays.visibleTables();
    const wanted = new Map(
      this.schema.types.map((table) => [table.name, liveViewSql(table.name, table.columns, overlaid.has(table.name))]),
    );
    for (const [name, sql] of this.#views) {
      if (wanted.get(name) === sql) continue;
      this.sql.script([`DROP VIEW temp.${quote(name)}`]);
      this.#views.delete(name);
    }
    for (const [name, sql] of wanted) {
      if (this.#views.has(name)) continue;
      this.sql.script([sql]);
      this.#views.set(name, sql);
    }
  }

  #dropViews() {
    this.sql.abortScans();
    for (const [name] of this.sql.rows(`SELECT name FROM temp.sqlite_schema WHERE type = 'view'`))
      this.sql.script([`DROP VIEW temp.${quote(name)}`]);
    this.#views.clear();
  }

  #prepare() {
    const sql = this.sql;
    const has = (/** @type {string} */ name) =>
      sql.value(`SELECT 1 FROM main.sqlite_schema WHERE name = ?`, [name]) !== null;
    if (has('sync_state')) {
      const id = sql.value('PRAGMA application_id'), version = sql.value('PRAGMA user_version');
      if (id !== APPLICATION_ID || version !== USER_VERSION)
        throw new MoatError('not_a_replica', words.notAReplica(id, version));
    }
    sql.transaction(() => {
      if (!has('sync_state')) {
        sql.script([
          `PRAGMA application_id = ${APPLICATION_ID}`,
          `PRAGMA user_version = ${USER_VERSION}`,
          ...SYSTEM_TABLES_SQL,
        ]);
        sql.run(`INSERT INTO main."sync_state" VALUES (1, '', '', 0, '', 0, '')`);
      }
      if (!has('overlays')) sql.script(LOCAL_TABLES_SQL);
      for (const [table, fields] of sql.rows('SELECT "table_name", "fields" FROM main."object_metadata"')) {
        if (!has(`_patched_${table}`)) sql.script([createPatchedSql(table, JSON.parse(fields ?? '[]'))]);
      }
    });
  }

  /**
   * @param {(touched: Touched) => void} work
   * @returns {Touched}
   */
  #write(work) {
    const touched = new Touched();
    const before = { ...this.state };
    try {
      this.sql.transaction(() => {
        work(touched);
        this.#rebuild(touched);
      });
    } catch (error) {
      this.state = before;
      this.#dropViews(); // a rollback also undoes changes of the views
      this.reload();
      throw error;
    }
    if (touched.tables.has('object_metadata')) this.reload();
    else this.refreshViews();
    return touched;
  }

  /**
   * Rebuild the touched records that have overlays or had some.
   * @param {Touched} touched
   */
  #rebuild(touched) {
    for (const [table, ids] of touched.tables) {
      const info = this.schema.tables.get(table);
      if (!info || info.system) continue;
      const overlaid = this.sql.rows(
        `SELECT "record_id" FROM main."overlays" WHERE "table_name" = ? UNION ` +
          `SELECT "id" FROM main.${quote(`_patched_${table}`)}`,
        [table],
      );
      for (const [id] of overlaid) if (ids.has(id)) this.overlays.rebuild(table, id);
    }
  }

  /**
   * @param {Revision[]} revisions
   * @param {Touched} touched
   */
  #upgrade(revisions, touched) {
    // ALTER TABLE parses the whole schema again, and would take a live view for the table of the same name.
    if (!revisions.length) return;
    this.#dropViews();
    touched.rebuilt = true;
    for (const { schema_version, commands } of revisions) {
      if (schema_version <= this.state.schema_version) continue;
      for (const command of commands) {
        this.sql.script(commandSql(command));
        this.schema.follow(command);
        if (command.command === 'create_table')
          for (const { id } of this.overlays.list('"table_name" = ?', [command.table])) touched.add(command.table, id);
        if (!touched.tables.has(command.table)) touched.tables.set(command.table, new Set());
      }
      this.overlays.park(commands, touched);
      this.state.schema_version = schema_version;
    }
  }

  /**
   * @param {Partial<SyncState>} change
   * @param {Touched} touched
   */
  #advance(change, touched) {
    Object.assign(this.state, change);
    const { tenant, channel, cursor, state_hash, schema_version, server_epoch } = this.state;
    this.overlays.dropReached(cursor, touched);
    this.sql.run(
      'UPDATE main."sync_state" SET "tenant" = ?, "channel" = ?, "cursor" = ?, "state_hash" = ?, ' +
        '"schema_version" = ?, "server_epoch" = ? WHERE "id" = 1',
      [tenant, channel, cursor, state_hash, schema_version, server_epoch],
    );
  }
}

/** @param {[string | null, string | null]} range */
const within = ([low, high]) =>
  [low === null ? '' : '"id" >= ?', high === null ? '' : '"id" <= ?'].filter(Boolean).join(' AND ') || '1';

/** @param {[string | null, string | null]} range */
const bounds = (range) => range.filter((end) => end !== null);
