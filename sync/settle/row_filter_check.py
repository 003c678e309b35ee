"""Whether a record passes a rule, as a tx has things by now or as it found them.

What a rule compares over a hop is read for all records in question at once, with the same statements whether they exist or
not: to refuse a hidden record must not take longer than to refuse one that is not there (tests/sync/test_same_work.py).
"""

from collections.abc import Iterable

from metadata.access import TableRule, Term
from metadata.filters import DOWN, OWN, value_key
from sync.channels.row_filter_sql import over_hop
from sync.records import sql
from sync.records.rows import Row, Table
from sync.settle.batch import Batch
from sync.settle.tx import Tx


def prefetch_hops(batch: Batch, rule: TableRule, table: Table, ids: Iterable[str]) -> None:
    """Read what the rule's hops lead to from these records; the records themselves are best loaded already."""
    hops = [term for term in rule.terms if term.key.kind != OWN]
    seen = batch.looked_over[rule]
    wanted = [record_id for record_id in ids if record_id not in seen]
    if not hops or not wanted:
        return
    seen.update(wanted)
    found = [row for record_id in wanted if (row := batch.row(table, record_id)) is not None]
    for term in hops:
        _ask(
            batch,
            term,
            wanted if term.key.kind == DOWN else [p for row in found if (p := row.get(term.key.reference)) is not None],
        )


def _ask(batch: Batch, term: Term, ids: Iterable[str]) -> None:
    asked = set(ids)
    batch.asked[term] |= asked
    statement, values = over_hop(batch.schema, term, "postgresql" if sql.postgresql() else "sqlite")
    for near, far in sql.fetch_in(statement, sorted(asked) or [""], values):
        batch.passing[term].setdefault(near, set()).add(far)


def passes_rule(tx: Tx, rule: TableRule, row: Row, *, before: bool = False) -> bool:
    """Whether a record passes a rule; with `before` as the tx found things. A tombstone passes as it did before."""
    return all(_passes(tx, term, row, before) for term in rule.terms)


def sees_target(tx: Tx, rule: TableRule, table: Table, record_id: str) -> bool:
    """Whether a tx may refer to a record: its actor sees it afterwards, and saw it before unless the tx makes it.

    Otherwise a filter over a hop down would show whatever one points at.
    """
    prefetch_hops(tx.batch, rule, table, [record_id])
    before, after = tx.batch.row(table, record_id), tx.row(table, record_id)
    if after is None or not passes_rule(tx, rule, after):
        return False
    return before is None or passes_rule(tx, rule, before, before=True)


def _passes(tx: Tx, term: Term, row: Row, before: bool) -> bool:
    key = term.key
    if key.kind == OWN:
        return _key_of(row, key.field) in term.allowed
    table = tx.batch.table(key.table)
    if table is None:
        return False
    if key.kind == DOWN:
        return _passes_below(tx, term, table, row.id, before)
    parent_id = row.get(key.reference)
    if parent_id is None:
        return False
    at = (table, parent_id)
    parent = (None if before else tx.overlay.get(at)) or tx.batch.dirty.get(at)
    if parent is not None:
        return not parent.deleted and _key_of(parent, key.field) in term.allowed
    return parent_id in _far(tx, term, parent_id)


def _passes_below(tx: Tx, term: Term, table: Table, record_id: str, before: bool) -> bool:
    """Ask the database's records, but for those the batch has changed."""
    key = term.key
    changed = {
        r.id: r for (t, _), r in [*tx.batch.dirty.items(), *(() if before else tx.overlay.items())] if t is table
    }
    for child in changed.values():
        if not child.deleted and child.get(key.reference) == record_id and _key_of(child, key.field) in term.allowed:
            return True
    return not _far(tx, term, record_id) <= changed.keys()


def _far(tx: Tx, term: Term, near: str) -> set[str]:
    """Return the ids of the living records on the other side of a hop that pass, as the database has them."""
    if near not in tx.batch.asked[term]:
        _ask(tx.batch, term, [near])
    return tx.batch.passing[term].get(near, set())


def _key_of(row: Row, field: str) -> str:
    return value_key(row.id if field == "id" else row.get(field))
