"""I8 for commands: every `moat` subcommand as a restricted member and as another tenant, and every `manage.py` command.

The `moat` subcommands run against a real server. Each `manage.py` command runs for one tenant while another exists. A
new command fails here until it is added to the tests.
"""

import argparse
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError
from django.db import connection

from metadata.catalog import schema_of
from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from moat_client.cli.main import main as moat
from moat_client.cli.main import parser as moat_parser
from moat_client.cli.v1 import parser as v1_parser
from sync.models import Change
from sync.records.columns import table_of
from tenants.models import Tenant
from tenants.tokens import IssuedDevice
from tests.builders import make_tenant
from tests.contract.servers import ROOT, ServerProcess
from tests.sync.test_leaks import SECRETS, Stage
from tests.tenants.test_admin_isolation import WORD, furnish

pytestmark = [pytest.mark.contract, pytest.mark.django_db(transaction=True)]

TOM = SECRETS
STRANGER = (*SECRETS, "Ada", "pipe", "Fix", "technician", "job-mine", "job-hidden")
IN_FILES = (b"hush", b"hidden-brush", b"Hidden-title", b"Vault of gold", b"7777", b"layout-secret")


@pytest.fixture
def stage(server: ServerProcess, transactional_db: None) -> Stage:
    return Stage()


class Caller:
    """A user at a command line."""

    def __init__(
        self, server: ServerProcess, issued: IssuedDevice, tenant: str, folder: Path, words: tuple[str, ...]
    ) -> None:
        self.server, self.issued, self.tenant, self.words = server, issued, tenant, words
        self.db, self.v1_db, self.token_file = folder / "replica.db", folder / "v1.db", folder / "token"
        self.token_file.write_text(issued.token)
        self.used: set[str] = set()

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run `moat …`, and check that it prints no secret that is not in the caller's arguments."""
        if arguments[0] == "v1":
            given = [*arguments[:2], "--db", str(self.v1_db), *arguments[2:]]
            self.used.add(" ".join(arguments[:2]))
        else:
            given = [arguments[0], "--db", str(self.db), *arguments[1:]]
            self.used.add(arguments[0])
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = moat(given)
        self.check(printed.getvalue(), arguments)
        return code, printed.getvalue()

    def check(self, text: str, about: tuple[str, ...] = ()) -> None:
        said = " ".join(about)
        leaked = [word for word in self.words if word in text and word not in said]
        assert not leaked, (about, leaked, text)

    def watch(self) -> None:
        """Run `moat v1 watch`, which runs until interrupted, for a while."""
        given = [
            sys.executable,
            "-m",
            "moat_client",
            "v1",
            "watch",
            "--json",
            "--db",
            str(self.v1_db),
            *self.v1_settings(),
        ]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}"}
        process = subprocess.Popen(
            given, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=20)
        self.used.add("v1 watch")
        self.check(printed, ("watch",))

    def v1_settings(self) -> tuple[str, ...]:
        return (
            *("--url", self.server.url, "--db-id", self.tenant),
            *("--device", str(self.issued.device.pk), "--token-file", str(self.token_file)),
        )


def subcommands(parser: argparse.ArgumentParser) -> set[str]:
    (choices,) = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return set(choices)


TABLES = ("jobs", "customers", "line_items", "vaults", "nothing", "object_metadata", "layout_definition")
READS: tuple[tuple[str, ...], ...] = (
    ("objects",),
    ("status",),
    ("conflicts",),
    ("verify",),
    ("tail", "--once", "--lines", "500"),
    *(("ls", table) for table in TABLES),
    ("ls", "jobs", "--columns", "id,price"),
    ("ls", "jobs", "--where", "price=7777.00"),
    ("ls", "jobs", "--order", "-price"),
    ("ls", "customers", "--where", "secret=hush"),
    ("get", "jobs", "job-mine"),
    ("get", "jobs", "job-hidden"),
    ("get", "vaults", "vault-1"),
    ("get", "object_metadata", "job"),
)
WRITES: tuple[tuple[str, ...], ...] = (
    ("add", "vaults", "vaultname=x"),
    ("add", "jobs", "id=job-hidden", "title=x", "technician=tom"),
    ("add", "line_items", "id=item-new", "job=job-hidden", "text=x"),
    ("set", "jobs", "job-hidden", "title=x"),
    ("set", "jobs", "job-mine", "price=1.00"),
    ("set", "jobs", "job-mine", "customer=c-hidden"),
    ("rm", "line_items", "item-hidden"),
)
SYNC = ("sync", "--once", "--timeout", "20")


def everything_moat_can(caller: Caller) -> None:
    """Run every subcommand on hidden data."""
    login = ("login", caller.server.url, "--tenant", caller.tenant, "--token", caller.issued.token)
    caller.run(*login, "--device", str(caller.issued.device.pk))
    caller.run(*SYNC)
    for arguments in READS:
        caller.run(*arguments)
        caller.run(*arguments, "--json")
    for tables in ((), ("jobs",), ("vaults",)):
        caller.run("export", *tables)
    for arguments in WRITES:
        caller.run(*arguments)
        caller.run(*SYNC)
    for number in range(1, 5):
        caller.run("resolve", str(number), "--mine")
        caller.run("retry", str(number))
        caller.run(*SYNC)
        caller.run("conflicts", "--json")
        caller.run("resolve", str(number), "--theirs")
        caller.run("discard", str(number))
    _v1(caller)


def _v1(caller: Caller) -> None:
    caller.run("v1", "sync", *caller.v1_settings())
    for collection, one in (
        ("jobs", "job-mine"),
        ("jobs", "job-hidden"),
        ("vaults", "vault-1"),
        ("line_items", "item-hidden"),
    ):
        caller.run("v1", "get", collection, one)
        caller.run("v1", "get", collection)
        caller.run("v1", "put", collection, one, "title=x")
        caller.run("v1", "sync", *caller.v1_settings())
        caller.run("v1", "conflicts", "--json")
        caller.run("v1", "rm", collection, one)
        caller.run("v1", "sync", *caller.v1_settings())
    caller.run("v1", "status")
    caller.run("v1", "conflicts")
    caller.watch()


def assert_all_were_run(caller: Caller) -> None:
    assert caller.used == subcommands(moat_parser()) | {f"v1 {name}" for name in subcommands(v1_parser())}


def assert_files_clean(folder: Path) -> None:
    """No file a command wrote holds a secret."""
    for path in folder.iterdir():
        data = path.read_bytes() if path.is_file() else b""
        assert not [word for word in IN_FILES if word in data], path


def hidden_records(stage: Stage) -> list[tuple[str, int]]:
    """The data that only the office may change."""
    stage.tenant.refresh_from_db()
    schema = schema_of(stage.tenant.pk, stage.tenant.schema_version)
    found = []
    with connection.cursor() as cursor:
        for table, record in (
            ("jobs", "job-hidden"),
            ("line_items", "item-hidden"),
            ("vaults", "vault-1"),
            ("customers", "c1"),
        ):
            cursor.execute(
                f'SELECT "id", "version" FROM {table_of(stage.tenant.pk, schema.by_table[table])} WHERE "id" = %s',
                [record],
            )
            found += cursor.fetchall()
    return found


def test_i8_no_subcommand_of_moat_prints_what_the_profile_hides(
    stage: Stage, server: ServerProcess, tmp_path: Path
) -> None:
    before = hidden_records(stage)
    tom = Caller(server, stage.device, stage.tenant.slug, tmp_path, TOM)
    everything_moat_can(tom)
    assert_all_were_run(tom)
    code, printed = tom.run("get", "jobs", "job-mine", "--json")
    assert code == 0 and '"Fix"' in printed, "the replica was in step, so that there was something to leak"
    assert_files_clean(tmp_path)
    assert hidden_records(stage) == before and len(before) == 4


@pytest.mark.parametrize("names", ["own", "theirs"])
def test_i8_no_subcommand_of_moat_prints_anything_of_another_tenant(
    stage: Stage, server: ServerProcess, tmp_path: Path, names: str
) -> None:
    """With the user's own token, for their own tenant and for the other tenant's name."""
    before = Change.objects.filter(tenant=stage.tenant).count()
    slug = stage.other.slug if names == "own" else stage.tenant.slug
    stranger = Caller(server, stage.stranger, slug, tmp_path, STRANGER)
    everything_moat_can(stranger)
    assert_all_were_run(stranger)
    assert_files_clean(tmp_path)
    assert Change.objects.filter(tenant=stage.tenant).count() == before


# manage.py

SITE_WIDE = {"demo_data": "loads the tenant acme", "demo_flights": "loads the tenant flights"}


def _csv(folder: Path) -> str:
    path = folder / "rows.csv"
    path.write_text("id,title\nmine-7,seven\n")
    return str(path)


Walk = dict[str, Callable[[Path], list[list[str]]]]
MANAGE: Walk = {
    "check_objects": lambda _: [["--tenant", "mine"], ["--tenant", "mine", "--json"]],
    "publish_objects": lambda _: [
        ["--tenant", "mine", "--dry-run"],
        ["--tenant", "mine", "--object", "mine"],
        ["--tenant", "mine", "--object", WORD],
        ["--tenant", "mine", "--json"],
    ],
    "trim_columns": lambda _: [["--tenant", "mine", "--dry-run"], ["--tenant", "mine", "--yes"]],
    "export_csv": lambda _: [
        ["--tenant", "mine", "--object", "mine"],
        ["--tenant", "mine", "--object", "mine", "--json"],
        ["--tenant", "mine", "--object", WORD],
    ],
    "import_csv": lambda folder: [
        [_csv(folder), "--tenant", "mine", "--object", "mine", "--dry-run"],
        [_csv(folder), "--tenant", "mine", "--object", "mine"],
        [_csv(folder), "--tenant", "mine", "--object", WORD],
        [_csv(folder), "--tenant", "mine", "--object", "fresh", "--create", "--json"],
        [_csv(folder), "--tenant", "mine", "--object", "other", "--create", "--reference", f"title={WORD}"],
    ],
    "new_epoch": lambda _: [["--tenant", "mine"]],
    "prune_changes": lambda _: [
        ["--tenant", "mine", "--dry-run", "--json"],
        ["--tenant", "mine", "--keep-days", "0", "--keep-changes", "0"],
    ],
    "verify_log": lambda _: [["--tenant", "mine"], ["--tenant", "mine", "--json"]],
    "create_device": lambda _: [
        ["--tenant", "mine", "--user", "mine-user", "--name", "x", "--json"],
        ["--tenant", "mine", "--user", f"{WORD}-user", "--name", "x"],
        ["--tenant", "mine", "--user", "nobody", "--name", "x"],
    ],
    "create_tenant": lambda _: [[WORD], ["fresh-one"], ["fresh-two", "--admin", f"{WORD}-user"]],
}


def ours() -> set[str]:
    return {
        name
        for name, app in get_commands().items()
        if isinstance(app, str) and app in {"tenants", "metadata", "layouts", "sync", "sync.entities"}
    }


def state_of(tenant: Tenant) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the database that belongs to a tenant, including the tenant's own row."""
    found: dict[str, list[tuple[object, ...]]] = {}
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            columns = [c.name for c in connection.introspection.get_table_description(cursor, table)]
            prefix = f"t{tenant.pk}_"
            owner = "id" if table == "tenants_tenant" else "tenant_id" if "tenant_id" in columns else None
            if table.startswith(prefix):
                cursor.execute(f'SELECT * FROM "{table}"')
            elif owner is not None:
                cursor.execute(f'SELECT * FROM "{table}" WHERE "{owner}" = %s', [tenant.pk])
            else:
                continue
            found[table] = sorted(cursor.fetchall(), key=repr)
    return found


def test_every_command_is_covered() -> None:
    assert ours() == set(MANAGE) | set(SITE_WIDE)
    for name in ours():
        parser = load_command_class(str(get_commands()[name]), name).create_parser("manage.py", name)
        takes = any("--tenant" in action.option_strings for action in parser._actions)
        assert takes == (name not in SITE_WIDE and name != "create_tenant"), name


@pytest.mark.parametrize("name", sorted(MANAGE))
def test_i8_a_command_for_one_tenant_shows_and_changes_nothing_of_another(
    transactional_db: None, tmp_path: Path, name: str
) -> None:
    mine, theirs = (furnish(make_tenant(word, name=word), word) for word in ("mine", WORD))
    for things in (mine, theirs):  # both tenants have a field to publish and one to trim
        kind = ObjectMetadata.objects.get(pk=things[ObjectMetadata].pk)
        word = kind.object_name
        ObjectField.objects.create(object_type=kind, position=5, name=f"{word}_old", label=word, kind="text")
        publish(kind.tenant_id)
        ObjectField.objects.filter(object_type=kind, name=f"{word}_old").update(retired=True)
        publish(kind.tenant_id)
        ObjectField.objects.create(object_type=kind, position=6, name=f"{word}_new", label=word, kind="text")
    before = state_of(theirs[Tenant])
    assert len(before) > 8
    for arguments in MANAGE[name](tmp_path):
        printed = io.StringIO()
        try:
            call_command(name, *arguments, stdout=printed, stderr=printed)
        except CommandError as error:
            printed.write(str(error))
        except SystemExit as error:
            printed.write(f"exit {error.code}")
        text = printed.getvalue()
        assert text, (name, arguments)
        named = set(re.findall(rf"[\w-]*{WORD}[\w-]*", text))
        assert named <= set(re.findall(rf"[\w-]*{WORD}[\w-]*", " ".join(arguments))), (name, arguments, text)
    assert state_of(theirs[Tenant]) == before
