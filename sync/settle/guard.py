"""Check ops against a profile. What the user cannot see is rejected exactly like what does not exist.

One thing cannot be hidden: IDs and unique values belong to the whole table. An op that uses a hidden record's ID or
unique value is rejected where an unused one would be accepted. The rejection reveals no more than that.
"""

from dataclasses import replace
from typing import Any, Final

from metadata.access import Rules, TableRule
from sync.channels.projection import readable_record
from sync.errors import OpRejected
from sync.records.rows import Row, Table
from sync.settle import rejections
from sync.settle.row_filter_check import may_refer_to, passes_rule
from sync.settle.tx import Effect, Tx
from sync.wire.codes import Code
from sync.wire.ops import ConflictView, Op
from sync.wire.system_tables import SYSTEM_TABLES

CREATE_FORBIDDEN: Final = "Your profile doesn't let you create this record."


def require_table(rules: Rules | None, op: Op) -> None:
    """Reject a table that the profile hides, as if it did not exist."""
    if rules is None or op.table in SYSTEM_TABLES or not isinstance(op.table, str):
        return
    if op.table not in rules.by_table:
        raise rejections.unknown_table(op.table)


def permit(tx: Tx, op: Op, table: Table, row: Row | None) -> None:
    """Reject an op on a record, or with fields, that the profile does not allow. Raises `OpRejected`."""
    if tx.rules is None:
        return
    rule = tx.rules.by_table[table.spec.table_name]
    if op.op == "insert":
        if not rule.create or (row is not None and not passes_rule(tx, rule, row)):
            raise OpRejected(Code.FORBIDDEN, CREATE_FORBIDDEN)
        _permit_values(rule, table, op.payload)
        return
    if row is None or not passes_rule(tx, rule, row):
        raise rejections.not_found(op)
    require_verb(rule, update=op.op == "update")
    if op.op == "update":
        _permit_patch(rule, table, op.payload)


def require_verb(rule: TableRule, *, update: bool) -> None:
    """Reject an update (or else a delete) of an existing record if the profile does not allow that verb."""
    if not (rule.update if update else rule.delete):
        raise OpRejected(
            Code.FORBIDDEN, f"Your profile doesn't allow this record to be {'changed' if update else 'deleted'}."
        )


def _permit_values(rule: TableRule, table: Table, payload: Any) -> None:
    if not isinstance(payload, dict):
        return  # rejected later, for its shape
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
    """Reject a field that the profile hides, as if it did not exist."""
    if not rule.can_read(name):
        raise rejections.unknown_field(table.spec.table_name, name)


def require_writable(rule: TableRule, name: str) -> None:
    """Reject a change of a field that the profile makes read-only."""
    if not rule.can_write(name):
        raise locked(name)


def locked(name: str) -> OpRejected:
    """Return the rejection of a change of a field that the profile makes read-only."""
    return OpRejected(Code.FORBIDDEN, f"Your profile doesn't let you change {name[:60]!a}.", field=name[:60])


def check_effects(tx: Tx) -> None:
    """Check that the profile shows the new records and the records they refer to, as the whole tx leaves them.

    Raises `OpRejected`; `tx.position` is the offending op.
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
            raise OpRejected(Code.FORBIDDEN, f"Your profile doesn't let you change {name}.", field=name)
        known = tx.batch.table(target)
        if value is not None and (known is None or not may_refer_to(tx, rules.by_table[target], known, value)):
            raise rejections.missing_reference(name, value, target)
    if (
        effect.entry.op == "insert"
        and not final.deleted
        and not passes_rule(tx, rules.by_table[table.spec.table_name], final)
    ):
        raise OpRejected(Code.FORBIDDEN, CREATE_FORBIDDEN)


def without_hidden(rejection: OpRejected, rules: Rules | None, table: Any) -> OpRejected:
    """Return a rejection that names no hidden field."""
    rule = rules.by_table.get(table) if rules is not None and isinstance(table, str) else None
    if (
        rule is None
        or rejection.field is None
        or rule.can_read(rejection.field)
        or rejection.code in (Code.UNKNOWN_FIELD, Code.UNKNOWN_CONFLICT)
    ):
        return rejection
    if rejection.field in ("at", "base_version", "settles", "resolution"):
        return rejection
    return OpRejected(Code.FORBIDDEN, "Your profile doesn't allow this change: it would set a field you can't see.")


def is_visible(tx: Tx, table_name: str, record_id: str) -> bool:
    """Whether the actor sees a record or tombstone as the tx has it now."""
    table = tx.batch.table(table_name)
    rule = tx.rules.by_table.get(table_name) if tx.rules is not None else None
    if rule is None or table is None:
        return tx.rules is None
    row = tx.row(table, record_id)
    return row is not None and passes_rule(tx, rule, row)


def readable_view(view: ConflictView, rules: Rules | None, table: str, *, visible: bool = True) -> ConflictView:
    """Return a conflict as the profile shows it: readable fields; for a hidden record, only `mine`."""
    if rules is None:
        return view
    rule = rules.by_table.get(table)
    if rule is None:
        return replace(view, base=None, mine=None, theirs=None, fields=(), by="", at=None)
    if not visible:
        return replace(view, base=None, mine=readable_record(view.mine, rule), theirs=None, fields=(), by="", at=None)
    return replace(
        view,
        base=readable_record(view.base, rule),
        mine=readable_record(view.mine, rule),
        theirs=readable_record(view.theirs, rule),
        fields=tuple(name for name in view.fields if rule.can_read(name)),
    )
