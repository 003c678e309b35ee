"""Tests of verify_log: it finds data that was altered outside the engine, and reports the cursor."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from sync.log import verify
from sync.log.prune import prune
from sync.log.verify import verify_log
from sync.models import Change, SystemRecord
from tenants.models import Tenant
from tests.sync.pushing import Pusher, noted

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant(monkeypatch):
    monkeypatch.setattr(verify, "CHUNK", 3)
    tenant = noted()
    pusher = Pusher(tenant)
    pusher.push(*(pusher.insert("notes", f"n{n}", title="x") for n in range(6)))
    pusher.push(pusher.update("notes", "n0", 1, title="y"), pusher.delete("notes", "n1", 1))
    tenant.refresh_from_db()
    return tenant


def problems(tenant):
    return [(p.cursor, p.code) for p in verify_log(tenant.pk).problems]


def alter(tenant, cursor, **columns):
    assert Change.objects.filter(tenant=tenant, cursor=cursor).update(**columns)


def sql(tenant, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement.format(t=f"t{tenant.pk}_notes"))


def test_a_sound_log_has_no_problems(tenant):
    report = verify_log(tenant.pk)
    assert (report.problems, report.changes, report.first_bad_cursor) == ([], tenant.cursor, None)


def test_a_flipped_byte_in_a_line_is_found(tenant):
    line = bytearray(bytes(Change.objects.get(tenant=tenant, cursor=4).line))
    line[line.index(b'"x"') + 1] ^= 1
    alter(tenant, 4, line=bytes(line))
    assert problems(tenant) == [(4, "chain")]


def test_a_flipped_byte_in_a_chain_value_is_found(tenant):
    value = bytearray(bytes(Change.objects.get(tenant=tenant, cursor=4).state_hash))
    value[0] ^= 1
    alter(tenant, 4, state_hash=bytes(value))
    assert problems(tenant) == [(4, "chain"), (5, "chain")]


def test_a_missing_change_is_found(tenant):
    Change.objects.filter(tenant=tenant, cursor=4).delete()
    assert problems(tenant)[0] == (4, "gap")


def test_a_missing_end_is_found(tenant):
    Change.objects.filter(tenant=tenant, cursor=tenant.cursor).delete()
    assert (tenant.cursor, "gap") in problems(tenant)


def test_a_changed_column_is_found(tenant):
    alter(tenant, 4, version=7)
    assert (4, "columns") in problems(tenant)


def test_a_changed_head_is_found(tenant):
    Tenant.objects.filter(pk=tenant.pk).update(state_hash=b"\x00" * 32)
    assert problems(tenant) == [(tenant.cursor, "head")]


def test_a_record_older_or_newer_than_the_log_is_found(tenant):
    sql(tenant, """UPDATE {t} SET version = 0 WHERE id = 'n2'""")
    assert {(4, "record")} == set(problems(tenant))
    sql(tenant, """UPDATE {t} SET version = 9 WHERE id = 'n2'""")
    assert problems(tenant) == [(4, "record")]


def test_a_lost_record_is_found(tenant):
    sql(tenant, """DELETE FROM {t} WHERE id = 'n2'""")
    assert problems(tenant) == [(4, "record")]
    SystemRecord.objects.all().delete()
    assert problems(tenant) == [(1, "record"), (4, "record")]


def test_a_pruned_log_is_checked_from_its_anchor(tenant):
    Change.objects.filter(tenant=tenant, cursor__lte=5).update(at=timezone.now() - timedelta(days=99))
    prune(tenant.pk, 30)
    report = verify_log(tenant.pk)
    assert (report.problems, report.from_cursor, report.changes) == ([], 5, tenant.cursor - 5)
    Change.objects.filter(tenant=tenant, cursor=5).delete()
    assert (5, "no_anchor") in problems(tenant)


def test_the_command_names_the_first_bad_cursor_and_fails(tenant):
    out = io.StringIO()
    call_command("verify_log", stdout=out)
    assert "consistent" in out.getvalue()
    alter(tenant, 4, version=7)
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_log", "--tenant", tenant.slug, "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert ended.value.code == 1
    assert (report["ok"], report["tenants"][0]["first_bad_cursor"]) == (False, 4)
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify_log", stdout=out)
    assert "first bad cursor 4" in out.getvalue()
    with pytest.raises(CommandError):
        call_command("verify_log", "--tenant", "nobody")
