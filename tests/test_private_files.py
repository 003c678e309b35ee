"""Only the server's user can read its database, its data directory, and its snapshots, whatever the umask."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKE_A_SNAPSHOT = """
import config.asgi
from metadata.publish import publish
from sync.catchup.snapshots import service
from sync.channels.channel import Channel
from tests.builders import make_field_service, make_tenant
tenant = make_tenant("acme")
make_field_service(tenant)
publish(tenant.pk)
service.make(Channel(tenant.pk, tenant.slug))
"""


def run(folder: Path, *arguments: str, settings: str = "config.settings.prod", **environment: str) -> None:
    """Run a command with a umask that hides nothing."""
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        umask=0,
        check=True,
        timeout=120,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": settings,
            "DATABASE_URL": f"sqlite:///{folder / 'db/moat.sqlite3'}",
            "MOAT_DATA_DIR": str(folder / "data"),
            "SECRET_KEY": "k" * 60,
            **environment,
        },
    )


def modes(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): oct(p.stat().st_mode & 0o777) for p in sorted(folder.rglob("*"))}


def readable_by_others(folder: Path) -> dict[str, str]:
    return {name: mode for name, mode in modes(folder).items() if not mode.endswith("00")}


@pytest.mark.slow
def test_what_the_server_writes_is_private_and_older_files_are_corrected(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir(mode=0o700)
    run(tmp_path, "manage.py", "migrate", "--verbosity", "0")
    run(tmp_path, "-c", MAKE_A_SNAPSHOT)
    assert readable_by_others(tmp_path) == {}
    found = modes(tmp_path)
    assert found["db/moat.sqlite3"] == "0o600"
    assert found["data"] == "0o700"
    assert {Path(name).name for name in found} >= {"replica.sqlite3", "000000.gz"}

    (tmp_path / "db/moat.sqlite3-wal").touch()
    for each in tmp_path.rglob("*"):
        each.chmod(0o755 if each.is_dir() else 0o644)
    (tmp_path / "db").chmod(0o700)  # not the server's
    (tmp_path / "data/static").chmod(0o700)  # public files, in a directory that hides them
    run(tmp_path, "manage.py", "check")
    assert readable_by_others(tmp_path) == {}


def test_a_shared_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o1777)
    run(tmp_path, "-c", "import config.settings.prod", DATABASE_URL="sqlite:///:memory:")
    assert (tmp_path / "data").stat().st_mode & 0o7777 == 0o1777
