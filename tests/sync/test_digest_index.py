"""Digests by blocks: exact whatever changed, and read again only where something did."""

import random
import threading
from typing import Any

import pytest
from django.db import connections

from sync.catchup import digest_index
from sync.catchup.digest import digest_of, range_digests
from sync.catchup.plan import schema_at, tenant_state
from sync.channels.channel import Channel
from sync.records.read_transaction import read_transaction
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Tenant


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_index, "BLOCK", 4)
    digest_index.forget()


class Table:
    """The jobs of a tenant, and what their digests must be."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.versions: dict[str, int] = {}
        self._op_ids = iter(range(1, 10**6))

    def change(self, what: str, *ids: str) -> None:
        payload: Any = {"insert": {"title": "t"}, "update": [{"op": "replace", "path": "/title", "value": "u"}]}
        ops = [Op(next(self._op_ids), None, "jobs", record, what, None, payload.get(what)) for record in ids]
        results = push(Actor(self.tenant.pk, "olga"), ops)
        for record, result in zip(ids, results, strict=True):
            assert result.accepted, result
            assert result.version is not None
            if what == "delete":
                del self.versions[record]
            else:
                self.versions[record] = result.version

    def digests(self, *ranges: tuple[str | None, str | None]) -> list[tuple[int, str]]:
        with read_transaction() as reader:
            channel = Channel(self.tenant.pk, self.tenant.slug)
            return range_digests(reader, channel, schema_at(tenant_state(reader, channel.tenant_id)), "jobs", ranges)

    def expected(self, low: str | None, high: str | None) -> tuple[int, str]:
        return digest_of(
            (record, version)
            for record, version in self.versions.items()
            if (low is None or low <= record) and (high is None or record <= high)
        )

    def assert_exact(self, rnd: random.Random) -> None:
        ids = [*self.versions, "", "job", "zzz", "é", "\U0001f600", *(f"job-{rnd.randrange(120):03}" for _ in range(6))]
        ends = [None, *rnd.sample(ids, min(12, len(ids)))]
        ranges = [(low, high) for low in ends for high in ends]
        assert self.digests(*ranges) == [self.expected(*ends) for ends in ranges]


@pytest.mark.parametrize("exact", [0, 40, 1000])
@pytest.mark.parametrize("seed", range(2))
def test_digests_of_ranges_are_exact_whatever_changed_since_the_last(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, seed: int, exact: int
) -> None:
    monkeypatch.setattr(digest_index, "EXACT", exact)
    rnd, table = random.Random(seed), Table(acme)
    table.assert_exact(rnd)
    for _ in range(20):
        free = sorted({*(f"job-{n:03}" for n in range(120)), "é", "\U0001f600", "job"} - set(table.versions))
        table.change("insert", *rnd.sample(free, min(len(free), rnd.choice([0, 1, 30]))))
        present = sorted(table.versions)
        table.change("update", *rnd.sample(present, min(len(present), rnd.choice([0, 1, 3]))))
        table.change("delete", *rnd.sample(present, min(len(present), rnd.choice([0, 1, 25]))))
        table.assert_exact(rnd)
    table.change("delete", *table.versions)
    table.assert_exact(rnd)


def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the blocks that are made from records."""
    read = [0]
    real = digest_index._blocks

    def counted(*args: Any, **kwargs: Any) -> Any:
        for block in real(*args, **kwargs):
            read[0] += block.count
            yield block

    monkeypatch.setattr(digest_index, "_blocks", counted)
    return read


def test_a_verify_reads_what_changed_since_the_last_and_nothing_when_nothing_did(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_index, "EXACT", 0)
    table = Table(acme)
    table.change("insert", *(f"job-{n:03}" for n in range(200)))
    read = rows_read(monkeypatch)
    open_ranges = [(None, f"z{n}") for n in range(64)]
    assert table.digests(*open_ranges) == [table.expected(None, None)] * 64
    assert read == [200]  # once, not once per range
    table.digests(*open_ranges)
    assert read == [200]
    table.change("update", "job-100")
    assert table.digests((None, None)) == [table.expected(None, None)]
    assert read == [204]


def test_a_read_of_an_older_state_does_not_see_the_newer_index(acme: Tenant) -> None:
    table = Table(acme)
    table.change("insert", "a", "b")
    before = table.expected(None, None)
    channel = Channel(acme.pk, acme.slug)
    with read_transaction() as reader:
        schema = schema_at(tenant_state(reader, acme.pk))
        assert range_digests(reader, channel, schema, "jobs") == [before]
        in_another_thread(table)
        assert range_digests(reader, channel, schema, "jobs") == [before]
    assert table.digests((None, None)) == [table.expected(None, None)]


def in_another_thread(table: Table) -> None:
    """Change the table and read its digests, which leaves a newer index."""

    def work() -> None:
        table.change("insert", "c")
        assert table.digests((None, None)) == [table.expected(None, None)]
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_the_memory_of_indexes_is_bounded(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(acme)
    table.change("insert", *(f"job-{n:03}" for n in range(40)))
    monkeypatch.setattr(digest_index, "CACHE_ENTRIES", 30)
    assert table.digests((None, None)) == [table.expected(None, None)]
    assert not digest_index._cache
    assert not digest_index._held
