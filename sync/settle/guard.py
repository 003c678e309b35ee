"""Whether a profile allows an op. What its user cannot see is refused exactly as what does not exist.

The one thing that cannot be hidden: ids and unique values belong to the whole table, so whoever guesses a hidden record's
id or unique value is refused where a free one would be taken. The refusal says no more than that.
"""

from dataclasses import replace
from typing import Any, Final

from metadata.access import Rules, TableRule
from sync.channels.projection import readable_record
from sync.errors import OpRejected
from sync.records.rows import Row, Table
from sync.settle.row_filter_check import passes_rule, sees_target
from sync.settle.tx import Effect, Tx
from sync.wire.codes import Code
from sync.wire.ops import ConflictView, Op
from sync.wire.system_tables import SYSTEM_TABLES

CREATE_REFUSED: Final = "Your profile does not allow this record to be created."


def require_table(rules: Rules | None, op: Op) -> None:
    """Refuse a table the profile does not know, as one that does not exist."""
    if rules is None or op.table in SYSTEM_TABLES or not isinstance(op.table, str):
        return
    if op.table not in rules.by_table:
        raise OpRejected(Code.UNKNOWN_TABLE, f"There is no table {op.table[:60]!a}.")


def permit(tx: Tx, op: Op, table: Table, row: Row | None) -> None:
    """Refuse an op on a record, or with fields, that the profile does not allow. Raises `OpRefused`."""
    if tx.rules is None:
        return
    rule = tx.rules.by_table[table.spec.table_name]
    if op.op == "insert":
        if not rule.create or (row is not None and not passes_rule(tx, rule, row)):
            raise OpRejected(Code.FORBIDDEN, CREATE_REFUSED)
        _permit_values(rule, table, op.payload)
        return
    if row is None or not passes_rule(tx, rule, row):
        raise OpRejected(Code.NOT_FOUND, f"There is no record {op.id!a} in {op.table}.")
    require_verb(rule, update=op.op == "update")
    if op.op == "update":
        _permit_patch(rule, table, op.payload)


def require_verb(rule: TableRule, *, update: bool) -> None:
    """Refuse to change, or else to delete, a record that is there."""
    if not (rule.update if update else rule.delete):
        raise OpRejected(
            Code.FORBIDDEN, f"Your profile does not allow this record to be {'changed' if update else 'deleted'}."
        )


def _permit_values(rule: TableRule, table: Table, payload: Any) -> None:
    if not isinstance(payload, dict):
        return  # refused later, for its shape
    preset = dict(table.defaults) | {name: allowed[0] for name, allowed in table.choices if allowed}
    for name, value in payload.items():
        require_readable(rule, table, name)
        if value is not None and value != preset.get(name) and name not in ("id", "version"):
            require_writable(rule, name)


def _permit_patch(rule: TableRule, table: Table, payload: Any) -> None:
    for step in payload if isinstance(payload, list) else ():
        if not isinstance(step, dict):
            continue
        for pointer, writes in (
            (step.get("path"), step.get("op") != "test"),
            (step.get("from"), step.get("op") == "move"),
        ):
            if isinstance(pointer, str):
                name = pointer.removeprefix("/").split("/", 1)[0]
                require_readable(rule, table, name)
                if writes and name not in ("id", "version"):
                    require_writable(rule, name)


def require_readable(rule: TableRule, table: Table, name: str) -> None:
    """Refuse a field the profile does not show, as one that does not exist."""
    if not rule.can_read(name):
        raise no_field(table, name)


def no_field(table: Table, name: str) -> OpRejected:
    """Return the refusal of a field that does not exist, or might as well not."""
    return OpRejected(Code.UNKNOWN_FIELD, f"{table.spec.table_name} has no field {name[:60]!a}.", field=name[:60])


def require_writable(rule: TableRule, name: str) -> None:
    """Refuse a change of a field that the profile locks."""
    if not rule.can_write(name):
        raise locked(name)


def locked(name: str) -> OpRejected:
    """Return the refusal of a change of a field that the profile locks."""
    return OpRejected(Code.FORBIDDEN, f"Your profile does not allow {name[:60]!a} to be changed.", field=name[:60])


def check_effects(tx: Tx) -> None:
    """Check, as the whole tx leaves things, that new records are ones the profile sees, and so are the records they refer to.

    Raises `OpRefused`; `tx.position` is the op to blame.
    """
    if tx.rules is not None:
        for position, _, effect in tx.effects:
            tx.position = position
            _check_effect(tx, tx.rules, effect)


def _check_effect(tx: Tx, rules: Rules, effect: Effect) -> None:
    table = effect.row.table
    final = tx.row(table, effect.row.id)
    if final is None:
        return
    for name, target in table.references:
        value = final.get(name) if name in effect.fields else None
        if value is not None and target not in rules.by_table:
            raise OpRejected(Code.FORBIDDEN, f"Your profile does not allow {name} to be changed.", field=name)
        known = tx.batch.table(target)
        if value is not None and (known is None or not sees_target(tx, rules.by_table[target], known, value)):
            raise OpRejected(Code.MISSING_REFERENCE, f"{name}: there is no record {value!a} in {target}.", field=name)
    if (
        effect.entry.op == "insert"
        and not final.deleted
        and not passes_rule(tx, rules.by_table[table.spec.table_name], final)
    ):
        raise OpRejected(Code.FORBIDDEN, CREATE_REFUSED)


def without_hidden(refused: OpRejected, rules: Rules | None, table: Any) -> OpRejected:
    """Return a refusal that names no hidden field."""
    rule = rules.by_table.get(table) if rules is not None and isinstance(table, str) else None
    if (
        rule is None
        or refused.field is None
        or rule.can_read(refused.field)
        or refused.code in (Code.UNKNOWN_FIELD, Code.UNKNOWN_CONFLICT)
    ):
        return refused
    if refused.field in ("at", "base_version", "settles", "resolution"):
        return refused
    return OpRejected(
        Code.FORBIDDEN, "Your profile does not allow this: a field that it does not show would have to be set."
    )


def in_sight(tx: Tx, table_name: str, record_id: str) -> bool:
    """Whether the actor sees a record or tombstone by now."""
    table = tx.batch.table(table_name)
    rule = tx.rules.by_table.get(table_name) if tx.rules is not None else None
    if rule is None or table is None:
        return tx.rules is None
    row = tx.row(table, record_id)
    return row is not None and passes_rule(tx, rule, row)


def readable_view(view: ConflictView, rules: Rules | None, table: str, *, in_sight: bool = True) -> ConflictView:
    """Return a conflict as the profile sees it: fields it may read; of a record out of its sight, only what its own side wanted."""
    if rules is None:
        return view
    rule = rules.by_table.get(table)
    if rule is None:
        return replace(view, base=None, mine=None, theirs=None, fields=(), by="", at=None)
    if not in_sight:
        return replace(view, base=None, mine=readable_record(view.mine, rule), theirs=None, fields=(), by="", at=None)
    return replace(
        view,
        base=readable_record(view.base, rule),
        mine=readable_record(view.mine, rule),
        theirs=readable_record(view.theirs, rule),
        fields=tuple(name for name in view.fields if rule.can_read(name)),
    )
