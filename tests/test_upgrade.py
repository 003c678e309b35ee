"""A database and the settings of an earlier version work with this one.

`tests/fixtures/before_rooms.sqlite3.gz` was made by the code as it was before the modules of `sync` moved into rooms.
It holds a tenant with published types, records, a layout, a filtered profile with its channel, and a v1 device that
had pulled a part of it.
"""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sync import resolvers
from sync.settle import resolvers as moved

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests/fixtures"
FACTS = json.loads((FIXTURES / "before_rooms.json").read_text())
RESOLVER = "tests.fixtures.resolver.Both"
SETTINGS = f"""
from config.settings.base import *

MOAT = {{"RESOLVERS": ["{RESOLVER}"]}}
HTTPS = SECURE_SSL_REDIRECT = False
ALLOWED_HOSTS = ["*"]
"""
OLD_SETTINGS = SETTINGS + 'INSTALLED_APPS = ["sync.v1" if app == "sync.entities" else app for app in INSTALLED_APPS]\n'
USE = """
import json, sys
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("makemigrations", check_changes=True, dry_run=True)  # exits with 1 when a model changed without one
from tests.fixtures.upgraded import report
print(json.dumps(report(json.load(open(sys.argv[1])))))
"""


@pytest.fixture(scope="module", params=[SETTINGS, OLD_SETTINGS], ids=["settings of today", "sync.v1 in INSTALLED_APPS"])
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Migrate a copy of the database, use it, and return what was found."""
    folder = tmp_path_factory.mktemp("upgrade")
    (folder / "site_settings.py").write_text(request.param)
    database = folder / "moat.sqlite3"
    database.write_bytes(gzip.decompress((FIXTURES / "before_rooms.sqlite3.gz").read_bytes()))
    environment = {
        **os.environ,
        "DEBUG": "1",
        "DATABASE_URL": f"sqlite:///{database}",
        "MOAT_DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT), str(ROOT / "clients/python")]),
    }
    command = [sys.executable, "-c", USE, str(FIXTURES / "before_rooms.json")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_fixture_stays_small() -> None:
    assert sum(path.stat().st_size for path in FIXTURES.iterdir() if path.is_file()) < 300_000


def test_the_old_log_and_records_are_whole_before_and_after_new_writes(upgraded: dict[str, Any]) -> None:
    assert upgraded["before"] == upgraded["after"] == []
    assert upgraded["head"] == [FACTS["cursor"], FACTS["state_hash"], FACTS["schema_version"]]
    assert upgraded["layouts"] == 1


def test_a_known_device_pushes_and_its_old_op_is_a_duplicate(upgraded: dict[str, Any]) -> None:
    assert upgraded["push"] == ["duplicate", "applied"]


def test_a_resolver_that_imports_the_old_path_still_decides(upgraded: dict[str, Any]) -> None:
    assert upgraded["resolver"] == ["merged"]


def test_a_filtered_channel_goes_on_where_it_was(upgraded: dict[str, Any]) -> None:
    assert upgraded["channel"] == FACTS["channel"]
    assert upgraded["chain_goes_on"]


def test_a_v1_device_goes_on_at_its_cursor(upgraded: dict[str, Any]) -> None:
    """It had line item 1 and job 1; line item 2 was its own, and job 1 was changed after the upgrade."""
    assert upgraded["app"] == "sync.entities"
    ids = [record_id for _, record_id, _ in upgraded["v1"]]
    assert "j1" in ids
    assert "j2" not in ids, "another technician's"
    assert upgraded["v1_title"][-1] == "Done"


def test_the_former_module_of_resolvers_offers_what_it_did() -> None:
    for name in ("Accept", "Answer", "Ask", "Merged", "Reject", "Resolver"):
        assert getattr(resolvers, name) is getattr(moved, name)
    assert resolvers.Meeting is moved.EditConflict
