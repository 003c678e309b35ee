"""import_csv and export_csv through the engine, on real tables."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from metadata.catalog import schema_of
from metadata.models import ObjectMetadata
from metadata.schema import physical_name
from sync.models import Change
from sync.records.rows import records
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tests.builders import make_tenant
from tests.contract.servers import ROOT, database_url


@pytest.fixture
def tenant(transactional_db):
    return make_tenant("acme")


def _import(tenant, path, *options, object_name="thing"):
    out = io.StringIO()
    try:
        call_command(
            "import_csv",
            str(path),
            "--tenant",
            tenant.slug,
            "--object",
            object_name,
            "--json",
            *options,
            stdout=out,
            stderr=out,
        )
    finally:
        tenant.refresh_from_db()
    return json.loads(out.getvalue())


def _refused(tenant, path, *options, **named):
    with pytest.raises(CommandError) as caught:
        _import(tenant, path, *options, **named)
    return str(caught.value)


def _file(tmp_path, text, name="things.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def _spec(tenant, object_name="thing"):
    return schema_of(tenant.pk, tenant.schema_version).by_object[object_name]


def _all(tenant, object_name="thing"):
    spec = _spec(tenant, object_name)
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "id" FROM "{physical_name(tenant.pk, spec.table_name)}" ORDER BY "id"')
        ids = [row[0] for row in cursor.fetchall()]
    found = records(tenant.pk, spec, ids)
    return {i: found[i].values() for i in ids if not found[i].deleted}


ODD = "\n".join(
    [
        "code,name,price,weight,when,day,open,qty,Size (mm),status",
        "007,Pump,12.50,1.5,2013-01-01T10:00:00Z,2013-01-01,yes,3,10,new",
        '008,"Valve, ""big""",3.00,NA,2013-01-01 11:30,2024-02-29,no,-4,NA,old',
        "9A,NA,,1e3,,,,,11,new",
        "",
    ]
)


def test_a_file_becomes_a_type_with_its_records(tenant, tmp_path):
    outcome = _import(tenant, _file(tmp_path, ODD), "--create", "--key", "code")
    assert (outcome["imported"], outcome["refused"], outcome["created"], outcome["complete"]) == (3, 0, True, True)
    spec = _spec(tenant)
    assert {f.name: f.kind for f in spec.fields} == {
        "code": "text",
        "name": "text",
        "price": "decimal",
        "weight": "real",
        "when": "datetime",
        "day": "date",
        "open": "boolean",
        "qty": "integer",
        "size_mm": "integer",
    }
    assert [c.value for c in spec.statuses] == ["new", "old"]
    assert spec.by_name["code"].required
    found = _all(tenant)
    assert found["008"] == {
        "object_type": None,
        "status": "old",
        "code": "008",
        "name": 'Valve, "big"',
        "price": "3.00",
        "weight": None,
        "when": "2013-01-01T11:30:00.000000Z",
        "day": "2024-02-29",
        "open": False,
        "qty": -4,
        "size_mm": None,
    }
    assert found["9A"]["name"] is None
    assert any("size_mm" in note for note in outcome["notes"])


def test_running_again_skips_what_is_there(tenant, tmp_path):
    path = _file(tmp_path, ODD)
    _import(tenant, path, "--create")
    again = _import(tenant, path, "--create")
    assert (again["imported"], again["skipped"], again["created"]) == (0, 3, False)
    path.write_text(ODD + "new,Pipe,1.00,,,,,,,new\n")
    assert _import(tenant, path)["imported"] == 1


def test_a_record_deleted_since_stays_deleted(tenant, tmp_path):
    path = _file(tmp_path, ODD)
    _import(tenant, path, "--create", "--key", "code")
    push(Actor(tenant.pk, "tess"), [Op(1, None, "things", "007", "delete", 1)])
    assert _import(tenant, path, "--key", "code")["skipped"] == 3
    assert "007" not in _all(tenant)


def test_the_first_bad_row_is_named_and_stops_the_import(tenant, tmp_path):
    path = _file(tmp_path, "n,price\n" + "".join(f"{n},1.50\n" for n in range(50)))
    _import(tenant, path, "--create", "--key", "n")
    path = _file(tmp_path, "n,price\n60,1.50\n61,cheap\n62,1.50\n")
    message = _refused(tenant, path, "--key", "n")
    assert "line 3, column 'price': 'cheap' is not a number" in message
    assert "60" in _all(tenant)
    assert "62" not in _all(tenant)
    _file(tmp_path, "n,price\n60,1.50\n61,2.00\n62,1.50\n")
    outcome = _import(tenant, path, "--key", "n")
    assert (outcome["imported"], outcome["skipped"]) == (2, 1)


def test_bad_rows_can_be_left_out(tenant, tmp_path):
    _import(tenant, _file(tmp_path, "n,price\n1,1.50\n"), "--create", "--key", "n")
    path = _file(tmp_path, 'n,price\n2,x\n3,1.50\n4\n5,1.234\n,1.00\n3,1.00\n"6\n6",1.00\n7,1.00\n')
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"6 of 8 rows were rejected, the first at line 2"):
        call_command(
            "import_csv",
            str(path),
            "--tenant",
            "acme",
            "--object",
            "thing",
            "--key",
            "n",
            "--continue-on-error",
            "--json",
            stdout=out,
        )
    errors = {e["line"]: (e["column"], e["reason"]) for e in json.loads(out.getvalue())["errors"]}
    assert errors[2] == ("price", "'x' is not a number")
    assert errors[4] == (None, "the row has 1 cells; the header has 2")
    assert errors[5][0] == "price"
    assert errors[6] == ("n", "the key is empty")
    assert errors[7] == ("n", "duplicate key '3'")
    assert errors[8][0] == "n"
    assert "7" in _all(tenant)


def test_a_dry_run_checks_everything_and_writes_nothing(tenant, tmp_path):
    path = _file(tmp_path, ODD)
    outcome = _import(tenant, path, "--create", "--dry-run")
    assert (outcome["imported"], outcome["created"]) == (3, False)
    assert not ObjectMetadata.objects.exists()
    assert not Change.objects.exists()


def test_references_point_at_other_types(tenant, tmp_path):
    _import(tenant, _file(tmp_path, "code,name\nA,Alpha\nB,Beta\n"), "--create", "--key", "code", object_name="maker")
    path = _file(tmp_path, "n,maker\n1,A\n2,C\n3,NA\n")
    message = _refused(tenant, path, "--create", "--key", "n", "--reference", "maker=maker")
    assert "line 3, column 'maker'" in message
    outcome = _import(tenant, path, "--key", "n", "--missing-references", "null")
    assert outcome["nulled_references"] == {"maker": 1}
    assert {i: r["maker"] for i, r in _all(tenant).items()} == {"1": "A", "2": None, "3": None}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", ["--create"], "the file or its first line is empty"),
        ("a,a\n1,2\n", ["--create"], "duplicate column names: 'a'"),
        ("a,b\n1,2\n", [], "To create it from the file, add --create"),
        ("a,b\n1,2\n", ["--create", "--key", "c"], "--key: no column named 'c'"),
        ("a,b\n1,2\n", ["--create", "--map", "c=d"], "--map: no column named 'c'"),
        ("a,b\n1,2\n", ["--create", "--map", "a=c", "--map", "b=c"], "more than one column maps to 'c'"),
        ("a,b\n1,2\n", ["--create", "--map", "a=x; drop"], "cannot be a field"),
        ("a,b\n1,2\n", ["--create", "--reference", "a=nothing"], "nothing"),
        ("a,b\n1,2\n", ["--create", "--kind", "a=colour"], "can't be used with --kind"),
        ("a,b\n1,2\n", ["--create", "--batch", "0"], "--batch"),
        ("a,b\n1,2\n", ["--create", "--encoding", "klingon"], "unknown encoding"),
    ],
)
def test_what_cannot_be_begun_is_refused_and_leaves_nothing_behind(tenant, tmp_path, text, options, message):
    assert message in _refused(tenant, _file(tmp_path, text), *options)
    assert not ObjectMetadata.objects.exists()


def test_an_evil_object_name_is_refused(tenant, tmp_path):
    assert "object_metadata" in _refused(tenant, _file(tmp_path, "a\n1\n"), "--create", object_name="object_metadata")
    assert not ObjectMetadata.objects.exists()


def test_kinds_and_columns_can_be_said(tenant, tmp_path):
    path = _file(tmp_path, "id,zip,secret,version\nx,12345,s,9\n")
    _import(tenant, path, "--create", "--kind", "plz=text", "--map", "zip=plz", "--skip", "secret")
    assert _all(tenant) == {"x": {"object_type": None, "status": None, "plz": "12345", "version_value": 9}}


def _export(tenant, *options, object_name="thing"):
    out = io.StringIO()
    call_command(
        "export_csv", "--tenant", tenant.slug, "--object", object_name, *options, stdout=out, stderr=io.StringIO()
    )
    return out.getvalue()


def test_an_export_imports_to_the_same_records(tenant, tmp_path):
    _import(tenant, _file(tmp_path, ODD), "--create", "--key", "code")
    exported = tmp_path / "out.csv.gz"
    _export(tenant, "--out", str(exported))
    _import(tenant, exported, "--create", object_name="copy")
    assert _all(tenant, "copy") == _all(tenant)
    assert not list(tmp_path.glob("*.part"))


def test_with_a_mark_for_null_even_empty_texts_come_back(tenant, tmp_path):
    _import(tenant, _file(tmp_path, "id,a,b\n1,x,true\n"), "--create", "--kind", "b=json")
    values = [{"a": "", "b": {"k": [1, "é", None]}}, {"a": "NA"}, {"a": 'q"\n,', "b": "text"}, {"b": 0.1}]
    results = push(
        Actor(tenant.pk, "t"), [Op(n, None, "things", f"r{n}", "insert", 0, v) for n, v in enumerate(values, 1)]
    )
    assert all(r.accepted for r in results)
    path = tmp_path / "out.csv"
    _export(tenant, "--out", str(path), "--null", "\\N")
    _import(tenant, path, "--create", "--null", "\\N", "--kind", "b=json", object_name="copy")
    assert _all(tenant, "copy") == _all(tenant)


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (["price>=3"], ["007", "008"]),
        (["price>3"], ["007"]),
        (["status=new"], ["007", "9A"]),
        (["status!=new"], ["008"]),
        (["weight="], ["008"]),
        (["weight!=", "qty=3"], ["007"]),
        (["open=yes"], ["007"]),
        (["id=9A"], ["9A"]),
        (["when<2013-01-01T11:00:00Z"], ["007"]),
    ],
)
def test_an_export_can_be_narrowed(tenant, tmp_path, where, ids):
    _import(tenant, _file(tmp_path, ODD), "--create", "--key", "code")
    lines = _export(tenant, "--json", *(part for w in where for part in ("--where", w))).splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids


@pytest.mark.parametrize("where", ["nothing=1", "price", "qty=many", "_deleted=1", "price LIKE 1"])
def test_a_bad_condition_is_refused(tenant, tmp_path, where):
    _import(tenant, _file(tmp_path, ODD), "--create", "--key", "code")
    with pytest.raises(CommandError):
        _export(tenant, "--where", where)


@pytest.mark.slow
def test_a_killed_import_goes_on_and_doubles_nothing(tenant, tmp_path):
    """After kill -9 halfway and a second run, every row is there exactly once."""
    path = _file(tmp_path, "n,text\n" + "".join(f"{n},row {n}\n" for n in range(40_000)))
    env = os.environ | {
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings.dev",
        "MOAT_DATA_DIR": str(tmp_path / "var"),
    }
    command = [
        sys.executable,
        "manage.py",
        "import_csv",
        str(path),
        "--tenant",
        "acme",
        "--object",
        "thing",
        "--create",
        "--batch",
        "500",
    ]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until(lambda: Change.objects.filter(tenant=tenant).count() > 1500, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(_all(_fresh(tenant)))
    assert 0 < before < 40_000
    outcome = _import(tenant, path, "--batch", "5000")
    assert (outcome["skipped"], outcome["imported"]) == (before, 40_000 - before)
    assert Change.objects.filter(tenant=tenant, table_name="things").count() == 40_000


def _fresh(tenant):
    tenant.refresh_from_db()
    return tenant


def _wait_until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the import ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.05)
