"""Counts and digests of a table's records by blocks of IDs, so that a verify costs what changed since the last one.

An index is immutable and shows one state of the database. A newer one is derived from it: only blocks that hold an ID
changed since are read again. Records change their visibility only by a change of their own, so this is exact for
filtered channels too.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate, islice
from threading import Lock
from typing import Any, Protocol

from sync.records.read_transaction import Reader

Digest = tuple[int, str]
Pair = tuple[str, int]
MODULUS = 2**64
BLOCK = 256
EXACT = 1024
"""An index of no more records than this keeps every ID, so that it answers without reading records."""
CACHE_ENTRIES = 400_000
"""What all indexes of a process may hold: blocks and IDs, of some 100 bytes each."""
FRAGMENTS = 4
"""An index with this many times the blocks it needs is read again."""
CHANGED_SHARE = 4
"""If more than one in this many records has changed, the whole table is read again."""

# What one record adds, computed by the database: the first 8 bytes of the hash, as a signed integer, which is equal
# modulo 2^64.
_POSTGRESQL_TERM = (
    "('x' || encode(substr(sha256(convert_to({id}, 'UTF8') || '\\x00'::bytea"
    " || convert_to({version}::text, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint"
)


def term(record_id: str, version: int) -> int:
    """Pure: return what one record adds to a digest."""
    return int.from_bytes(sha256(b"%b\x00%d" % (record_id.encode(), version)).digest()[:8], "big")


def wire(count: int, total: int) -> Digest:
    """Pure: return a digest in its wire form."""
    return count, f"{total % MODULUS:016x}"


class Source(Protocol):
    """Where an index reads: the records of one table that one channel sees, in one state of the database."""

    @property
    def reader(self) -> Reader:
        """The state."""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this table, channel, and epoch of the log from others."""

    @property
    def cursor(self) -> int:
        """The tenant's cursor in this state."""

    def select(self, columns: str, low: str | None, below: str | None, tail: str) -> tuple[str, list[Any]]:
        """Return a query over the visible records with IDs in [low, below). Columns are `{id}` and `{version}`."""

    def changed(self, since: int, limit: int) -> list[str]:
        """Return the IDs of at most `limit` records, visible or not, that changed after a cursor."""


@dataclass(frozen=True, slots=True)
class Block:
    """The visible records from `first` up to the next block's `first`. With `ids`, each record's term is known."""

    first: str
    count: int
    total: int
    ids: list[str] | None = None
    terms: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """Blocks in ID order as of a cursor."""

    cursor: int
    blocks: list[Block]
    firsts: list[str] = field(init=False)
    counts: list[int] = field(init=False)
    totals: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Add up the blocks."""
        object.__setattr__(self, "firsts", [block.first for block in self.blocks])
        object.__setattr__(self, "counts", list(accumulate((block.count for block in self.blocks), initial=0)))
        object.__setattr__(self, "totals", list(accumulate((block.total for block in self.blocks), initial=0)))

    @property
    def is_exact(self) -> bool:
        """Whether it has every ID."""
        return all(block.ids is not None for block in self.blocks)

    @property
    def entries(self) -> int:
        """What it holds."""
        return sum(1 + (0 if block.ids is None else len(block.ids)) for block in self.blocks)

    def block_of(self, record_id: str) -> int:
        """Return the number of the block that an ID belongs to. The first block takes all IDs before it too."""
        return max(0, bisect_right(self.firsts, record_id) - 1)

    def bounds(self, first: int, after: int) -> tuple[str | None, str | None]:
        """Return the ID range [low, below) of blocks `first` to `after` - 1; None is an open end."""
        low = None if first <= 0 else self.firsts[first]
        return low, self.firsts[after] if after < len(self.firsts) else None


class Digests:
    """Digests of ID ranges in one state. Reads each block that a range cuts at most once."""

    def __init__(self, source: Source | None, index: Index) -> None:
        self._source, self._index = source, index
        self._cut: dict[int, Block] = {}

    def of(self, low: str | None, high: str | None) -> Digest:
        """Return count and digest of the records with IDs in [low, high]; None is an open end."""
        if low is not None and high is not None and low > high:
            return wire(0, 0)
        count, total = self._up_to(high, inclusive=True)
        if low is not None:
            less, minus = self._up_to(low, inclusive=False)
            count, total = count - less, total - minus
        return wire(count, total)

    def _up_to(self, record_id: str | None, *, inclusive: bool) -> tuple[int, int]:
        """Return count and sum of the records before an ID, or up to and with it."""
        index = self._index
        if record_id is None or not index.blocks:
            return index.counts[-1], index.totals[-1]
        number = index.block_of(record_id)
        count, total = index.counts[number], index.totals[number]
        if record_id < index.firsts[number] or (record_id == index.firsts[number] and not inclusive):
            return count, total
        ids, terms = self._records(number)
        end = (bisect_right if inclusive else bisect_left)(ids, record_id)
        return count + end, total + sum(terms[:end])

    def _records(self, number: int) -> tuple[list[str], list[int]]:
        block = self._index.blocks[number]
        if block.ids is None and self._source is not None:
            block = self._cut.get(number) or self._cut.setdefault(number, self._read(self._source, number))
        return block.ids or [], block.terms or []

    def _read(self, source: Source, number: int) -> Block:
        return _block(list(_pairs(source, *self._index.bounds(number, number + 1))), exact=True)


def digests(source: Source) -> Digests:
    """Return the digests of a source, from the index of an earlier state if there is one."""
    with _lock:
        known = _cache.get(source.key)
        if known is not None:
            _cache.move_to_end(source.key)
    if known is None:
        index = _keep(source, _whole(source))
    elif known.cursor == source.cursor:
        index = known
    elif known.cursor > source.cursor:  # a state from before; rare, and not worth keeping
        index = _whole(source)
    else:
        index = _keep(source, _later(source, known))
    return Digests(source, index)


def of_pairs(pairs: Iterable[Pair]) -> Digests:
    """Pure: return the digests of (ID, version) pairs."""
    return Digests(None, Index(0, [_block(sorted(pairs), exact=True)]))


def forget() -> None:
    """Drop all indexes. For tests, where a table can come back with other records."""
    with _lock:
        _cache.clear()
        _held.clear()


_cache: OrderedDict[tuple[str, ...], Index] = OrderedDict()
_held: dict[tuple[str, ...], int] = {}
_lock = Lock()


def _keep(source: Source, index: Index) -> Index:
    key, entries = source.key, index.entries + 1
    with _lock:
        known = _cache.get(key)
        if known is None or known.cursor <= index.cursor:
            _cache[key], _held[key] = index, entries
            _cache.move_to_end(key)
        while sum(_held.values()) > CACHE_ENTRIES:
            oldest, _ = _cache.popitem(last=False)
            del _held[oldest]
    return index


def _whole(source: Source) -> Index:
    index = Index(source.cursor, list(_blocks(source, None, None, exact=source.reader.vendor != "postgresql")))
    if index.counts[-1] <= EXACT and not index.is_exact:
        index = Index(source.cursor, list(_blocks(source, None, None, exact=True)))
    return _slim(index)


def _later(source: Source, known: Index) -> Index:
    """Return the index of a later state: read only the blocks that changed records belong to."""
    limit = max(BLOCK, known.counts[-1] // CHANGED_SHARE)
    changed = source.changed(known.cursor, limit + 1)
    if len(changed) > limit or (changed and not known.blocks):
        return _whole(source)
    blocks: list[Block] = []
    done = 0
    for first, after in _runs(sorted({known.block_of(record_id) for record_id in changed})):
        blocks += known.blocks[done:first]
        blocks += _blocks(source, *known.bounds(first, after), exact=known.is_exact)
        done = after
    later = Index(source.cursor, blocks + known.blocks[done:])
    if len(later.blocks) > FRAGMENTS + FRAGMENTS * later.counts[-1] // BLOCK:
        return _whole(source)
    return _slim(later)


def _slim(index: Index) -> Index:
    """Return the index without IDs if it is a large one."""
    if index.counts[-1] <= EXACT:
        return index
    return Index(index.cursor, [Block(block.first, block.count, block.total) for block in index.blocks])


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield ascending numbers as runs [first, after)."""
    start = 0
    for n in range(1, len(numbers) + 1):
        if n == len(numbers) or numbers[n] != numbers[n - 1] + 1:
            yield numbers[start], numbers[n - 1] + 1
            start = n


def _blocks(source: Source, low: str | None, below: str | None, *, exact: bool) -> Iterator[Block]:
    """Read a range of IDs as blocks; `exact`: with the IDs, unless they are many."""
    if exact or source.reader.vendor != "postgresql":
        yield from _cut_up(_pairs(source, low, below), exact=exact)
        return
    inner, params = source.select(
        f"{{id}} AS record, {_POSTGRESQL_TERM} AS term, "
        f'(row_number() OVER (ORDER BY {{id}} COLLATE "C") - 1) / {BLOCK} AS block',
        low,
        below,
        "",
    )
    found = source.reader.all(
        f'SELECT min(record COLLATE "C"), count(*), sum(term) FROM ({inner}) AS records GROUP BY block ORDER BY block',
        params,
    )
    yield from (Block(first, count, int(total) % MODULUS) for first, count, total in found)


def _pairs(source: Source, low: str | None, below: str | None) -> Iterator[Pair]:
    order = '{id} COLLATE "C"' if source.reader.vendor == "postgresql" else "{id}"
    query, params = source.select("{id}, {version}", low, below, f"ORDER BY {order}")
    for chunk in source.reader.stream(query, params):
        yield from chunk


def _cut_up(pairs: Iterable[Pair], *, exact: bool) -> Iterator[Block]:
    pairs, known = iter(pairs), 0
    while some := list(islice(pairs, BLOCK)):
        yield _block(some, exact=exact and known <= EXACT)
        known += len(some)


def _block(pairs: list[Pair], *, exact: bool) -> Block:
    terms = [term(*pair) for pair in pairs]
    first = pairs[0][0] if pairs else ""
    if exact:
        return Block(first, len(pairs), sum(terms) % MODULUS, [record_id for record_id, _ in pairs], terms)
    return Block(first, len(pairs), sum(terms) % MODULUS)
