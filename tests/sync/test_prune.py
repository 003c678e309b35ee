"""Tests of pruning: active devices keep what they need, no op is applied twice, and the chain stays verifiable."""

import io
import itertools
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import LogPruned
from sync.log.changes import hash_at, read
from sync.log.history import changes_of
from sync.log.prune import prune, spans
from sync.log.verify import verify_log
from sync.models import Change, PrunedOps
from tenants.models import Device, Tenant
from tests.sync.pushing import Pusher, noted, row

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return noted()


def age(tenant, days, upto=10**9):
    Change.objects.filter(tenant=tenant, cursor__lte=upto).update(at=timezone.now() - timedelta(days=days))


def fill(tenant, count=10):
    pusher = Pusher(tenant)
    pusher.push(*(pusher.insert("notes", f"n{n}", title="x") for n in range(count)))
    tenant.refresh_from_db()
    return pusher


def test_old_changes_go_and_the_anchor_stays(tenant, settings):
    settings.MOAT = {**settings.MOAT, "PRUNE_CHUNK": 3}
    fill(tenant)
    whole = {c: hash_at(tenant.pk, c) for c in range(tenant.cursor + 1)}
    age(tenant, 40, upto=8)
    pruned = prune(tenant.pk, 30)
    assert (pruned.floor, pruned.changes) == (8, 7)
    tenant.refresh_from_db()
    assert tenant.pruned_cursor == 8
    assert Change.objects.filter(tenant=tenant).count() == tenant.cursor - 7
    assert hash_at(tenant.pk, 8) == whole[8]
    assert hash_at(tenant.pk, 7) is None
    assert read(tenant.pk, 8).to_cursor == tenant.cursor
    with pytest.raises(LogPruned):
        read(tenant.pk, 3)
    assert verify_log(tenant.pk).problems == []
    assert prune(tenant.pk, 30).changes == 0


def test_a_dry_run_reports_and_deletes_nothing(tenant):
    fill(tenant)
    age(tenant, 40)
    assert prune(tenant.pk, 30, dry_run=True).changes == tenant.cursor - 1
    assert Change.objects.filter(tenant=tenant).count() == tenant.cursor


def test_young_changes_and_the_newest_ones_are_kept(tenant):
    fill(tenant)
    assert prune(tenant.pk, 30).changes == 0
    age(tenant, 40)
    assert prune(tenant.pk, 30, keep_changes=5).floor == tenant.cursor - 5
    assert prune(tenant.pk, 30, keep_changes=1000).changes == 0


def test_what_a_live_device_has_not_confirmed_is_kept(tenant):
    pusher = fill(tenant)
    age(tenant, 40)
    Device.objects.filter(pk=pusher.device.pk).update(last_cursor=4, last_seen_at=timezone.now() - timedelta(days=10))
    assert prune(tenant.pk, 30).floor == 4
    Device.objects.filter(pk=pusher.device.pk).update(last_seen_at=timezone.now() - timedelta(days=31))
    assert prune(tenant.pk, 30).floor == tenant.cursor


def test_a_revoked_device_needs_nothing(tenant):
    pusher = fill(tenant)
    age(tenant, 40)
    Device.objects.filter(pk=pusher.device.pk).update(
        last_cursor=4, last_seen_at=timezone.now(), revoked_at=timezone.now()
    )
    assert prune(tenant.pk, 30).floor == tenant.cursor


def test_ops_whose_changes_are_gone_are_still_duplicates_and_rejected_ones_are_not(tenant, settings):
    settings.MOAT = {**settings.MOAT, "PRUNE_CHUNK": 2}
    pusher = Pusher(tenant)
    ops = [pusher.insert("notes", f"n{n}", title="x") for n in range(3)]
    rejected = pusher.update("notes", "missing", 0, title="x")
    more = [pusher.insert("notes", f"m{n}", title="x") for n in range(3)]
    pusher.push(*ops, rejected, *more)
    age(tenant, 40)
    tenant.refresh_from_db()
    prune(tenant.pk, 30)
    assert sorted(PrunedOps.objects.values_list("low", "high")) == [(1, 3), (5, 6)]
    results = pusher.push(*ops, rejected, *more)
    assert [r.status for r in results] == ["duplicate"] * 3 + ["rejected"] + ["duplicate"] * 3
    assert all(r.cursor <= tenant.cursor for r in results if r.cursor)
    # A rejected op is decided again. If it has become valid in the meantime, it is applied.
    pusher.ok(pusher.insert("notes", "missing", title="y"))
    assert pusher.one(rejected).status == "applied"


def test_old_tombstones_lose_their_values_and_stay(tenant):
    pusher = fill(tenant, 2)
    pusher.ok(pusher.delete("notes", "n0", 1))
    assert row(tenant, "notes", "n0").values()["title"] == "x"
    age(tenant, 40)
    assert prune(tenant.pk, 30, dry_run=True).tombstones == 1
    assert prune(tenant.pk, 30).tombstones == 1
    left = row(tenant, "notes", "n0")
    assert (left.deleted, left.version, left.values()["title"]) == (True, 2, None)
    assert row(tenant, "notes", "n1").values()["title"] == "x"
    # A device that did not receive the delete gets a conflict, not an error, and can still restore the record.
    late = Pusher(tenant)
    assert late.one(late.update("notes", "n0", 1, title="late")).status == "conflict"
    assert late.ok(late.insert("notes", "n0", 2, title="back")).version == 3


def test_history_reaches_back_to_where_the_log_starts(tenant):
    pusher = fill(tenant, 1)
    for n in range(4):
        pusher.ok(pusher.update("notes", "n0", n + 1, number=n))
    tenant.refresh_from_db()
    spec = row(tenant, "notes", "n0").table.spec
    assert [c["version"] for c in changes_of(tenant.pk, spec, "n0")] == [5, 4, 3, 2, 1]
    assert [c["version"] for c in changes_of(tenant.pk, spec, "n0", limit=2, before=4)] == [3, 2]
    assert changes_of(tenant.pk, spec, "nobody") == []
    age(tenant, 40, upto=4)
    prune(tenant.pk, 30)
    assert [c["version"] for c in changes_of(tenant.pk, spec, "n0")] == [5, 4, 3]


def test_a_base_that_left_the_log_makes_a_conflict_without_it(tenant):
    pusher, other = fill(tenant, 1), Pusher(tenant)
    pusher.ok(pusher.update("notes", "n0", 1, title="A"))
    age(tenant, 40)
    prune(tenant.pk, 30)
    seen = other.one(other.update("notes", "n0", 1, title="B")).wire()
    assert (seen["status"], seen["base"], seen["mine"], seen["theirs"]) == (
        "conflict",
        None,
        {"title": "B"},
        {"title": "A"},
    )


def test_the_command_prunes_every_tenant_or_one(tenant):
    fill(tenant)
    age(tenant, 40)
    out = io.StringIO()
    call_command("prune_changes", "--dry-run", "--json", "--keep-changes", "0", stdout=out)
    report = json.loads(out.getvalue())
    assert report["dry_run"] is True
    assert report["tenants"][tenant.slug]["changes"] == tenant.cursor - 1
    out = io.StringIO()
    call_command("prune_changes", "--tenant", tenant.slug, "--keep-changes", "2", stdout=out)
    assert f"{tenant.slug}: pruned" in out.getvalue()
    assert Tenant.objects.get(pk=tenant.pk).pruned_cursor == tenant.cursor - 2
    with pytest.raises(CommandError):
        call_command("prune_changes", "--tenant", "nobody")
    for command in (
        "prune_changes",
        "trim_columns",
        "verify_log",
        "check_objects",
    ):  # an unset "$SLUG" must not mean all tenants
        with pytest.raises(CommandError, match="Unknown tenant: ''"):
            call_command(command, "--tenant", "")
    with pytest.raises(CommandError):
        call_command("prune_changes", "--keep-days", "-1")


@given(st.sets(st.integers(1, 40)))
def test_spans_are_the_same_numbers_in_fewer_words(numbers):
    found = list(spans(sorted(numbers)))
    assert {n for low, high in found for n in range(low, high + 1)} == numbers
    assert all(high + 1 < low for (_, high), (low, _) in itertools.pairwise(found))
