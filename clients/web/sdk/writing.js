/**
 * Turn an application’s calls — insert, update, remove, resolve, discard, retry — into overlays, inside a transaction
 * of the replica.
 */

import { MoatError } from './errors.js';
import { touchedFields } from './overlay.js';
import { applyPatch, diff, plain, pointerParts } from './patch.js';
import { clean, isRecordId } from './values.js';
import { words } from './words.js';

/** @typedef {import('./types.js').Overlay} Overlay */
/** @typedef {import('./types.js').RecordValues} RecordValues */
/** @typedef {import('./types.js').Field} Field */
/** @typedef {import('./replica.js').Replica} Replica */
/** @typedef {import('./overlays.js').Touched} Touched */
/** @typedef {import('./schema.js').Table} Table */
/**
 * @typedef {{
 *   op: 'insert' | 'update' | 'delete', table: string, id: string, values?: any
 * }} Edit `values` of an update: field → value, or an RFC 6902 patch
 */

export class Writing {
  /**
   * @param {Replica} replica
   * @param {Touched} touched
   * @param {() => Date} now
   */
  constructor(replica, touched, now) {
    this.replica = replica;
    this.touched = touched;
    this.now = now;
  }

  /**
   * Add ops, as one transaction if there are several. Returns their op_ids (null where an update changes nothing).
   * @param {Edit[]} edits
   * @param {string} tx ID of their transaction, used if there are several
   * @returns {(number | null)[]}
   */
  write(edits, tx) {
    return edits.map((edit) => this.#one(edit, edits.length > 1 ? tx : null));
  }

  /**
   * Resolve a conflict. Returns the op_id of the op that resolves it.
   * @param {number} opId
   * @param {'mine' | 'theirs' | 'edit'} choice
   * @param {RecordValues | null} values with `edit`: field → value, over mine
   * @param {string} tx
   */
  resolve(opId, choice, values, tx) {
    const overlay = this.#overlay(opId, ['conflict']);
    const { conflict, version } = overlay.details;
    if (this.replica.overlays.list(`"settles" = ? AND "state" IN ('pending','acked')`, [conflict]).length)
      throw new MoatError('resolving', words.resolving);
    if (choice === 'theirs')
      return this.#add({
        op: 'settle',
        table: overlay.table,
        id: overlay.id,
        payload: { conflict, resolution: 'theirs' },
        base_version: version,
        settles: conflict,
      });
    // The rest of its transaction was rejected with it, and is sent again with it.
    const siblings =
      overlay.tx === null
        ? []
        : this.replica.overlays.list(`"tx" = ? AND "state" = 'rejected' AND "code" = 'tx_aborted'`, [overlay.tx]);
    const together = siblings.length ? tx : null;
    const settling = this.#add({
      ...this.#mine(overlay, values),
      table: overlay.table,
      id: overlay.id,
      base_version: version,
      settles: conflict,
      tx: together,
    });
    for (const sibling of siblings) this.#again(sibling, together);
    return settling;
  }

  /**
   * Discard an op that is not being sent: a pending one, or one that the server rejected. Ops that depend on it are
   * discarded too.
   * @param {number} opId
   * @param {Set<number>} inFlight
   * @returns {number[]} the op_ids that were discarded
   */
  discard(opId, inFlight) {
    const overlay = this.#overlay(opId, ['pending', 'rejected', 'parked']);
    const group =
      overlay.state !== 'pending'
        ? [overlay]
        : this.replica.overlays
            .list(`"state" = 'pending'`)
            .filter(
              (other) =>
                other.op_id === opId ||
                (overlay.tx !== null && other.tx === overlay.tx) ||
                (overlay.op === 'insert' &&
                  other.table === overlay.table &&
                  other.id === overlay.id &&
                  other.op_id > opId),
            );
    if (overlay.state === 'pending' && group.some((other) => inFlight.has(other.op_id)))
      throw new MoatError('sending', words.alreadySent);
    for (const other of group) this.#drop(other);
    return group.map((other) => other.op_id);
  }

  /**
   * Send a rejected op again, optionally with other values. Returns the new op_id, or null if it no longer changes
   * anything.
   * @param {number} opId
   * @param {RecordValues | null} values field → value, over what it set; undefined removes a field
   */
  retry(opId, values) {
    const overlay = this.#overlay(opId, ['rejected', 'parked']);
    const again = this.#again(overlay, null, values);
    // The user did not discard these values, so the edit stays in the outbox.
    if (again === null && !values) throw new MoatError('unknown_field', words.fieldsGone);
    return again;
  }

  /**
   * @param {Edit} edit
   * @param {string | null} tx
   * @returns {number | null}
   */
  #one({ op, table: name, id, values }, tx) {
    const table = this.#table(name);
    if (!isRecordId(id)) throw new MoatError('bad_id', words.badId);
    const seen = this.#seen(table, id);
    if (op === 'insert') {
      if (seen) throw new MoatError('exists', words.exists(id, name));
      return this.#add({ op, table: name, id, payload: this.#inserted(table, values ?? {}), tx });
    }
    if (!seen) throw new MoatError('not_found', words.noRecord(id, name));
    if (op === 'delete') return this.#add({ op, table: name, id, payload: null, tx });
    const payload = Array.isArray(values)
      ? this.#checkedPatch(table, seen, values)
      : diff(seen, this.#cleaned(table, values ?? {}));
    return payload.length ? this.#add({ op: 'update', table: name, id, payload, tx }) : null;
  }

  /**
   * @param {Table} table
   * @param {RecordValues} values
   */
  #inserted(table, values) {
    const type = this.replica.objects.get(table.objectName);
    const defaults = Object.fromEntries(
      table.fields.filter((field) => (field.default ?? null) !== null).map((field) => [field.name, field.default]),
    );
    if (type?.subtypes[0]) defaults.object_type = type.subtypes[0].value;
    if (type?.statuses[0]) defaults.status = type.statuses[0].value;
    return insertOf(table, { ...defaults, ...this.#cleaned(table, values) });
  }

  /**
   * @param {Table} table
   * @param {RecordValues} values
   * @returns {RecordValues}
   */
  #cleaned(table, values) {
    return Object.fromEntries(
      Object.entries(values)
        .filter(([name]) => name !== 'id')
        .map(([name, value]) => [name, clean(this.#field(table, name), value)]),
    );
  }

  /**
   * @param {Table} table
   * @param {string} name
   * @returns {Field}
   */
  #field(table, name) {
    const type = this.replica.objects.get(table.objectName);
    if (name === 'object_type' || name === 'status') {
      return /** @type {Field} */ ({
        name,
        kind: 'choice',
        label: name,
        choices: (name === 'status' ? type?.statuses : type?.subtypes) ?? [],
      });
    }
    const field = table.byName.get(name);
    if (!field) throw new MoatError('unknown_field', words.unknownField(table.name, name), { field: name });
    return field;
  }

  /**
   * Check that a patch applies to what the user sees and leaves valid values.
   * @param {Table} table
   * @param {RecordValues} seen
   * @param {import('./types.js').PatchOp[]} patch
   */
  #checkedPatch(table, seen, patch) {
    for (const step of patch) this.#field(table, pointerParts(step.path)[0]);
    const steps = plain(seen, patch), after = applyPatch(seen, steps);
    for (const name of touchedFields({ op: 'update', payload: steps })) clean(this.#field(table, name), after[name]);
    return steps;
  }

  /**
   * Return the user’s version in a conflict as an op on the server’s current record.
   * @param {Overlay} overlay
   * @param {RecordValues | null} values
   * @returns {{op: 'insert' | 'update' | 'delete', payload: any}}
   */
  #mine(overlay, values) {
    const table = this.#table(overlay.table);
    const { base, mine, theirs } = overlay.details;
    if (overlay.op === 'delete' && !values) return { op: 'delete', payload: null };
    const fields = touchedFields(overlay).filter((name) => table.columns.includes(name));
    const own = Object.fromEntries(fields.map((name) => [name, mine?.[name] ?? null]));
    const wanted = { ...own, ...this.#cleaned(table, values ?? {}) };
    // The server deleted it: insert it again with all its known values.
    if (!theirs)
      return {
        op: 'insert',
        payload: this.#inserted(table, { ...pick(base ?? {}, table), ...pick(mine ?? {}, table), ...wanted }),
      };
    return { op: 'update', payload: diff(theirs, wanted) };
  }

  /**
   * Replace a rejected op by a new one. Fields retired since are left out. A rejected insert already has its defaults,
   * and a field emptied in it stays empty.
   * @param {Overlay} overlay
   * @param {string | null} tx
   * @param {RecordValues | null} [values] as of `retry`
   * @returns {number | null} null if nothing is left to change
   */
  #again(overlay, tx, values = null) {
    const table = this.#table(overlay.table);
    const given = Object.entries(values ?? {});
    const changes = this.#cleaned(table, Object.fromEntries(given.filter(([, value]) => value !== undefined)));
    const stays = (/** @type {string} */ name) =>
      table.columns.includes(name) && !given.some(([other]) => other === name);
    let { payload } = overlay;
    if (overlay.op === 'insert') {
      const kept = this.#cleaned(table, Object.fromEntries(Object.entries(payload).filter(([name]) => stays(name))));
      payload = insertOf(table, { ...kept, ...changes });
    } else if (overlay.op === 'update') {
      const kept = payload.filter((/** @type {{path: string}} */ step) => stays(pointerParts(step.path)[0]));
      const seen = this.#seen(table, overlay.id);
      payload = [
        ...kept,
        ...(seen
          ? diff(seen, changes)
          : Object.entries(changes).map(([name, value]) => ({ op: 'replace', path: `/${name}`, value }))),
      ];
    }
    this.#drop(overlay);
    if (overlay.op === 'update' && !payload.length) return null;
    return this.#add({ op: overlay.op, table: overlay.table, id: overlay.id, payload, tx, settles: overlay.settles });
  }

  /**
   * @param {Pick<Overlay, 'op' | 'table' | 'id' | 'payload'> & Partial<Overlay>} op
   * @returns {number}
   */
  #add({ op, table, id, payload, tx = null, settles = null, base_version }) {
    const opId = this.#nextOpId();
    const base =
      this.replica.sql.value(`SELECT "version" FROM main."${this.#table(table).name}" WHERE "id" = ?`, [id]) ?? 0;
    this.replica.overlays.add({
      op_id: opId,
      tx,
      table,
      id,
      op,
      payload,
      base_version: base_version ?? base,
      schema_version: this.replica.state.schema_version,
      created_at: this.now().toISOString().replace('Z', '000Z'),
      state: 'pending',
      acked_cursor: null,
      settles,
      code: null,
      message: null,
      details: null,
    });
    this.touched.add(table, id);
    // The next op of this transaction must see it.
    this.replica.overlays.rebuild(table, id);
    return opId;
  }

  /**
   * Ids rise, and follow the clock: a profile restored from a backup never uses one again that the server has seen.
   */
  #nextOpId() {
    const next = Math.max((this.replica.local('last_op_id') ?? 0) + 1, this.now().getTime());
    this.replica.setLocal('last_op_id', next);
    return next;
  }

  /** @param {Overlay} overlay */
  #drop(overlay) {
    this.replica.overlays.remove(overlay.op_id);
    this.touched.add(overlay.table, overlay.id);
    this.replica.overlays.rebuild(overlay.table, overlay.id);
  }

  /**
   * @param {number} opId
   * @param {string[]} states
   */
  #overlay(opId, states) {
    const overlay = this.replica.overlays.get(opId);
    if (!overlay || !states.includes(overlay.state)) throw new MoatError('not_found', words.noEdit(states, opId));
    return overlay;
  }

  /**
   * Return what the user sees of a record now, including this transaction’s own ops.
   * @param {Table} table
   * @param {string} id
   * @returns {RecordValues | null}
   */
  #seen(table, id) {
    const { sql } = this.replica;
    const pending = sql.value(
      `SELECT 1 FROM main."overlays" WHERE "table_name" = ? AND "record_id" = ? AND "state" IN ('pending','acked')`,
      [table.name, id],
    );
    const row = sql.first(pending ? table.sql.getPatched : table.sql.get, [id]);
    return row && table.toRecord(row);
  }

  /**
   * @param {string} name
   * @returns {Table}
   */
  #table(name) {
    const table = this.replica.schema.tables.get(name);
    if (!table) throw new MoatError('unknown_table', words.unknownTable(name));
    if (table.system) throw new MoatError('read_only', words.readOnly(name));
    return table;
  }
}

/**
 * @param {RecordValues} values
 * @param {Table} table
 */
const pick = (values, table) =>
  Object.fromEntries(
    Object.entries(values).filter(([name]) => table.columns.includes(name) && name !== 'id' && name !== 'version'),
  );

/**
 * Return the payload of an insert. A null is included only where the field has a default, which would otherwise apply.
 * @param {Table} table
 * @param {RecordValues} values
 */
function insertOf(table, values) {
  const isDefaulted = (/** @type {string} */ name) =>
    (table.fields.find((field) => field.name === name)?.default ?? null) !== null;
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== null || isDefaulted(name)));
}
