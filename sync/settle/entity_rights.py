"""Check ops of CBOR clients against a profile (docs/spec/syncprotocol-v1.md §6): the checks of `guard`, for documents.

A document replaces what its user sees and may write. What the profile hides or locks stays as it is on the server.
"""

from collections.abc import Mapping
from typing import Any

from sync.entities.document import keys_of
from sync.entities.document_view import DocumentView
from sync.errors import OpRejected
from sync.records.rows import Row, Table
from sync.settle import guard, rejections
from sync.settle.payloads import read_insert
from sync.settle.row_filter_check import passes_rule
from sync.settle.stored_documents import body_of
from sync.settle.tx import Tx
from sync.wire.codes import Code
from sync.wire.ops import Op
from sync.wire.patch import same


def view_for(tx: Tx, table: Table) -> DocumentView:
    """Return how the actor sees a table's documents. The profile must show the table."""
    rule = None if tx.rules is None else tx.rules.by_table[table.spec.table_name]
    return DocumentView(rule, frozenset(table.kinds))


def require_known(view: DocumentView, table: Table, body: bytes) -> None:
    """Reject a document with a key that the profile hides, as if the field did not exist. Raises `OpRejected`."""
    if view.free:
        return
    pairs = keys_of(body)
    if pairs is None:
        raise OpRejected(Code.BAD_VALUE, "entityCbor must be a map, because your profile restricts its fields.")
    for key, _ in pairs:
        if not view.reads(key):
            raise rejections.unknown_field(table.spec.table_name, key if type(key) is str else repr(key))


def kinds_for(view: DocumentView, table: Table) -> Mapping[str, str]:
    """Return the fields that are read from a user's documents, with their kinds."""
    return table.kinds if view.whole else {name: kind for name, kind in table.kinds.items() if view.reads(name)}


def permit(tx: Tx, op: Op, table: Table, row: Row | None) -> None:
    """Reject an op on a record that the profile hides, or that the profile does not allow. Raises `OpRejected`."""
    if tx.rules is None:
        return
    if op.op == "delete" or row is None or row.deleted:
        guard.permit(tx, op, table, row)
        return
    rule = tx.rules.by_table[table.spec.table_name]
    if not passes_rule(tx, rule, row):
        raise OpRejected(Code.FORBIDDEN, guard.CREATE_FORBIDDEN)
    guard.require_verb(rule, update=True)


def values_for(tx: Tx, view: DocumentView, op: Op, row: Row) -> dict[str, Any]:
    """Return the fields that an upsert sets of an existing record: those that its user may write."""
    only = None if view.free else view.writable_fields()
    return read_insert(row.table, op.payload, tx.batch.unknown_field, only)


def require_unlocked(tx: Tx, view: DocumentView, op: Op, row: Row | None, body: bytes) -> None:
    """Reject an upsert that changes read-only fields, or read-only keys that are not fields. Raises `OpRejected`."""
    if view.free:
        return
    mine, theirs = view.locked(body), view.locked(None if row is None or row.deleted else body_of(row))
    for key, (name, _) in {**theirs, **mine}.items():
        if mine.get(key) != theirs.get(key):
            raise guard.locked(name if type(name) is str else repr(name))
    if row is None or row.deleted:
        return  # `permit` checked a new record's fields
    names = view.readable_fields() - view.writable_fields()
    for name, value in read_insert(row.table, op.payload, tx.batch.unknown_field, names).items():
        if not same(value, row.get(name)):
            raise guard.locked(name)
