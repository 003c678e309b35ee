"""Decide an op in memory: an effect, a rejection (`OpRejected`), or a conflict (`OpConflicted`)."""

from collections.abc import Mapping
from typing import Any, Literal

import orjson

from sync.errors import OpRejected
from sync.log.changes import Entry
from sync.models import Conflict
from sync.records.rows import Row, Table
from sync.settle import field_versions, guard, rejections
from sync.settle.concurrent_edit import ConcurrentEdit
from sync.settle.merge import (
    MANUAL,
    POLICIES,
    SERVER_WINS,
    FieldConflict,
    MergeResult,
    Update,
    merge_delete,
    merge_update,
    merge_with_deleted,
)
from sync.settle.payloads import check_values, clean_field, read_insert, read_update, valid_id
from sync.settle.resolvers import Accept, Answer, Merged, Reject, ask, resolver_of
from sync.settle.tx import Effect, OpConflicted, Tx
from sync.wire.codes import Code
from sync.wire.limits import work_of
from sync.wire.lines import made_at_of
from sync.wire.ops import Op
from sync.wire.patch import field_patch, same
from sync.wire.system_tables import SYSTEM_TABLES

Verb = Literal["insert", "update", "delete"]


def decide(tx: Tx, op: Op) -> Effect:
    """Return the effect of an insert, update, or delete. Changes nothing; the caller adds the effect to the tx."""
    if op.op not in ("insert", "update", "delete"):
        raise OpRejected(Code.UNKNOWN_OP, "op must be insert, update, delete, or settle.")
    guard.require_table(tx.rules, op)
    table = table_for(tx, op)
    if op.base_version is not None and op.base_version < 0:
        raise OpRejected(Code.BAD_OP, "base_version must be an integer, 0 or greater.", field="base_version")
    row = tx.row(table, op.id)
    guard.permit(tx, op, table, row)
    if op.op == "insert":
        return _insert(tx, op, table, row)
    if row is None:
        raise rejections.not_found(op)
    base = row.version if op.base_version is None else op.base_version
    if base > row.version:
        raise _from_the_future(op, row)
    if op.op == "update":
        return _update(tx, op, row, base)
    return _delete(tx, op, row, base)


def table_for(tx: Tx, op: Op) -> Table:
    """Return the table of an op. Raises `OpRejected`, also if the record's ID is invalid."""
    if op.table in SYSTEM_TABLES:
        raise OpRejected(Code.READ_ONLY, f"{op.table} is read-only for clients.")
    table = tx.batch.table(op.table)
    if table is None:
        raise tx.batch.unknown_table(op.table)
    if (table, op.id) not in tx.batch.found and not valid_id(op.id):
        raise OpRejected(Code.BAD_ID, "An ID must be 1 to 128 characters, without control characters.", field="id")
    return table


def _from_the_future(op: Op, row: Row | None) -> OpRejected:
    latest = row.version if row else 0
    return OpRejected(
        Code.BASE_VERSION,
        f"base_version is {op.base_version}, but the latest version is {latest}.",
        field="base_version",
    )


def _effect(tx: Tx, op: Op, row: Row, verb: Verb, payload: Any, fields: dict[str, Any]) -> Effect:
    try:
        made_at = made_at_of(op.at, tx.batch.at)
    except ValueError:
        message = "at must be a time such as 2026-11-21T09:00:00.000000Z."
        raise OpRejected(Code.BAD_VALUE, message, field="at") from None
    device = tx.actor.device_id
    entry = Entry(
        op.table, op.id, verb, row.version, payload, tx.actor.by, device, None if device is None else op.op_id, made_at
    )
    return Effect(row, entry, fields)


def _insert(tx: Tx, op: Op, table: Table, row: Row | None) -> Effect:
    if row is None:
        if op.base_version:
            raise _from_the_future(op, row)
        new = Row(table, None, op.id)
    elif row.deleted and op.base_version in (None, row.version):
        new = row.copy()
    elif op.base_version is not None and op.base_version > row.version:
        raise _from_the_future(op, row)
    else:
        fate = f"was deleted (version {row.version})" if row.deleted else "exists"
        raise OpRejected(Code.EXISTS, f"The record {op.id!a} already {fate}.", field="id")
    return write_whole(tx, op, new, read_insert(table, op.payload, tx.batch.unknown_field))


def write_whole(tx: Tx, op: Op, new: Row, values: dict[str, Any]) -> Effect:
    """Insert or restore a record with these values. `new` is a copy that this function may change."""
    new.version += 1
    new.deleted = False
    new.changed = values
    if new.version > 1:
        new.versions = field_versions.replaced(new.versions, new.version, tx.actor.device_id)
    return _effect(tx, op, new, "insert", {name: value for name, value in values.items() if value is not None}, values)


def _update(tx: Tx, op: Op, row: Row, base: int) -> Effect:
    table = row.table
    changes = read_update(
        table,
        op.payload,
        lambda: ConcurrentEdit(tx, op, row, base).document(),
        tx.op_work,
        tx.batch.settings,
        tx.batch.unknown_field,
    )
    check_values(table, changes)
    if base == row.version and not row.deleted:
        return write_fields(tx, op, row, changes)
    edit = ConcurrentEdit(tx, op, row, base)
    if row.deleted:
        return _update_deleted(edit, changes)
    return _merge(edit, changes) if edit.moved else write_fields(tx, op, row, changes)


def _merge(edit: ConcurrentEdit, changes: dict[str, Any]) -> Effect:
    """Merge an update with what others changed since its base."""
    policy = edit.row.table.spec.conflict_policy
    if policy not in POLICIES:
        return _resolved(edit, changes, edit.concurrent(changes))
    # Usually no field is concurrent; then every policy except `manual` writes the changes as they are.
    concurrent = edit.concurrent(changes)
    if not concurrent and policy != MANUAL:
        merged: MergeResult | FieldConflict = MergeResult(changes)
    else:
        merged = merge_update(policy, _as_update(edit, changes, concurrent))
    if isinstance(merged, FieldConflict):
        raise OpConflicted(edit.conflict(merged.fields, changes))
    effect = write_fields(edit.tx, edit.op, edit.row, merged.values)
    effect.status, effect.kept = "merged", merged.kept
    if merged.kept:
        effect.resolved_conflict = _server_won(edit, merged.kept, changes)
    return effect


def _as_update(edit: ConcurrentEdit, changes: Mapping[str, Any], concurrent: frozenset[str]) -> Update:
    return Update(changes, edit.row.get, concurrent, edit.row.table.json_fields, lambda: edit.known)


def write_fields(tx: Tx, op: Op, row: Row, changes: Mapping[str, Any]) -> Effect:
    """Set fields of a live record. Fields that already have the value are left out of the change."""
    new, json_fields = row.copy(), row.table.json_fields
    patch: list[dict[str, Any]] = []
    written: dict[str, Any] = {}
    for name, value in changes.items():
        before = row.get(name)
        if name in json_fields:
            tx.work.spend(work_of(orjson.dumps(before)) + work_of(orjson.dumps(value)))
            if same(before, value):
                continue
            patch.extend(field_patch(name, before, value))
        elif before == value:
            continue
        else:
            patch.append({"op": "replace", "path": "/" + name, "value": value})
        written[name] = value
    new.version += 1
    new.changed.update(written)
    new.versions = field_versions.touched(row.versions, written, new.version, tx.actor.device_id)
    return _effect(tx, op, new, "update", patch, written)


def _server_won(edit: ConcurrentEdit, fields: tuple[str, ...], mine: Mapping[str, Any] | None) -> Conflict:
    """Return a conflict that the policy resolved for the server. The ack notifies the op's device of it."""
    conflict = edit.conflict(fields, mine)
    conflict.state, conflict.resolution = Conflict.State.SETTLED, SERVER_WINS
    conflict.settled_at, conflict.told_device = edit.tx.batch.at, True
    return conflict


def _update_deleted(edit: ConcurrentEdit, changes: dict[str, Any]) -> Effect:
    tx, op, row = edit.tx, edit.op, edit.row
    if not edit.deleted_by_others:
        raise OpRejected(
            Code.DELETED, f"This record was deleted. To restore it, insert it with base_version {row.version}."
        )
    mine = {**row.values(), **changes}
    policy = row.table.spec.conflict_policy
    if policy not in POLICIES:
        return _resolved(edit, mine, frozenset(changes))
    decision = merge_with_deleted(policy)
    if decision == "conflict":
        raise OpConflicted(edit.conflict(changes, mine))
    if decision == "revive":
        return _revive(edit, mine)
    effect = _rewrite(tx, op, row, "delete", None)
    effect.status, effect.kept = "merged", tuple(changes)
    effect.resolved_conflict = _server_won(edit, effect.kept, mine)
    return effect


def _revive(edit: ConcurrentEdit, values: dict[str, Any]) -> Effect:
    check_values(edit.row.table, values)
    effect = write_whole(edit.tx, edit.op, edit.row.copy(), values)
    effect.status = "merged"
    return effect


def _rewrite(tx: Tx, op: Op, row: Row, verb: Verb, payload: Any) -> Effect:
    """Increment a record's version and leave it as it is: the op is accepted, and others' values stay."""
    new = row.copy()
    new.version += 1
    return _effect(tx, op, new, verb, payload, {})


def _delete(tx: Tx, op: Op, row: Row, base: int) -> Effect:
    if row.deleted:
        return _rewrite(tx, op, row, "delete", None)
    edit = ConcurrentEdit(tx, op, row, base)
    policy = row.table.spec.conflict_policy
    concurrent = edit.concurrent(row.table.fields) if edit.moved else frozenset()
    if edit.moved and policy not in POLICIES:
        return _resolved(edit, None, concurrent)
    decision = merge_delete(policy, foreign=edit.moved)
    ordered = tuple(name for name in row.table.fields if name in concurrent)
    if decision == "conflict":
        raise OpConflicted(edit.conflict(ordered, None))
    if decision == "delete":
        effect = remove(tx, op, row)
    else:
        effect = _rewrite(tx, op, row, "update", [])
        effect.kept, effect.resolved_conflict = ordered, _server_won(edit, ordered, None)
    effect.status = "merged" if edit.moved else "applied"
    return effect


def remove(tx: Tx, op: Op, row: Row) -> Effect:
    """Delete a live record."""
    new = row.copy()
    new.version += 1
    new.deleted = True
    new.versions = field_versions.replaced(row.versions, new.version, tx.actor.device_id)
    return _effect(tx, op, new, "delete", None, {})


def _resolved(edit: ConcurrentEdit, mine: dict[str, Any] | None, concurrent: frozenset[str]) -> Effect:
    """Let the object type's own resolver decide. `mine` is the whole record if others deleted it, None for a delete."""
    tx, op, row = edit.tx, edit.op, edit.row
    resolver = resolver_of(row.table.spec.conflict_policy)
    answer: Answer | None = ask(resolver, edit.resolver_input(mine, concurrent)) if resolver else Accept()
    if isinstance(answer, Reject):
        raise OpRejected(Code.RESOLVER, str(answer.message)[:500])
    if isinstance(answer, Merged):
        given = {
            name: clean_field(row.table, name, value, tx.batch.unknown_field) for name, value in answer.values.items()
        }
        check_values(row.table, given)
        effect = _revive(edit, {**row.values(), **given}) if row.deleted else write_fields(tx, op, row, given)
    elif isinstance(answer, Accept):
        effect = _accepted(edit, mine)
    else:
        raise OpConflicted(edit.conflict(sorted(concurrent) or list(mine or ()), mine))
    effect.status = "merged"
    return effect


def _accepted(edit: ConcurrentEdit, mine: dict[str, Any] | None) -> Effect:
    tx, op, row = edit.tx, edit.op, edit.row
    if mine is None:
        return remove(tx, op, row)
    return _revive(edit, mine) if row.deleted else write_fields(tx, op, row, mine)
