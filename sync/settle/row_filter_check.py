"""Check row filters on records as a tx found or leaves them.

What a rule compares over a hop is read for all records at once, with the same statements whether they exist or not:
rejecting a hidden record must not take longer than rejecting a missing one (tests/sync/test_same_work.py).
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
    """Read the far ends of the rule's hops from these records. Load the records themselves first."""
    hops = [term for term in rule.terms if term.key.kind != OWN]
    done = batch.hops_read[rule]
    wanted = [record_id for record_id in ids if record_id not in done]
    if not hops or not wanted:
        return
    done.update(wanted)
    found = [row for record_id in wanted if (row := batch.row(table, record_id)) is not None]
    for term in hops:
        _read_hop(
            batch,
            term,
            wanted if term.key.kind == DOWN else [p for row in found if (p := row.get(term.key.reference)) is not None],
        )


def _read_hop(batch: Batch, term: Term, ids: Iterable[str]) -> None:
    wanted = set(ids)
    batch.hop_read[term] |= wanted
    statement, values = over_hop(batch.schema, term, "postgresql" if sql.postgresql() else "sqlite")
    for near, far in sql.fetch_in(statement, sorted(wanted) or [""], values):
        batch.passing[term].setdefault(near, set()).add(far)


def passes_rule(tx: Tx, rule: TableRule, row: Row, *, before: bool = False) -> bool:
    """Whether a record passes a rule; with `before`, as the tx found it. A tombstone passes as it did before."""
    return all(_passes(tx, term, row, before) for term in rule.terms)


def may_refer_to(tx: Tx, rule: TableRule, table: Table, record_id: str) -> bool:
    """Whether a tx may refer to a record: its actor sees it afterwards, and saw it before unless the tx creates it.

    Otherwise, with a filter over a hop down, a user could make any record visible by referring to it.
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
    """Check the records at the far end of a hop down, as the batch has changed them."""
    key = term.key
    changed = {
        r.id: r for (t, _), r in [*tx.batch.dirty.items(), *(() if before else tx.overlay.items())] if t is table
    }
    for child in changed.values():
        if not child.deleted and child.get(key.reference) == record_id and _key_of(child, key.field) in term.allowed:
            return True
    return not _far(tx, term, record_id) <= changed.keys()


def _far(tx: Tx, term: Term, near: str) -> set[str]:
    """Return the IDs of the live records at the far end of a hop that pass, as the database has them."""
    if near not in tx.batch.hop_read[term]:
        _read_hop(tx.batch, term, [near])
    return tx.batch.passing[term].get(near, set())


def _key_of(row: Row, field: str) -> str:
    return value_key(row.id if field == "id" else row.get(field))
