"""Settings of each environment, each in its own process."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def manage(tmp_path, *arguments, **environment):
    clean = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DEBUG", "SECRET_KEY", "DJANGO_SETTINGS_MODULE", "HTTPS", "DATABASE_URL")
    }
    return subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "manage.py", *arguments],
        cwd=ROOT,
        env={**clean, "MOAT_DATA_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("settings", ["config.settings.dev", "config.settings.prod"])
def test_the_deployment_check_is_clean(tmp_path, settings):
    done = manage(
        tmp_path,
        "check",
        "--deploy",
        "--fail-level",
        "WARNING",
        DEBUG="0",
        SECRET_KEY=secrets.token_urlsafe(48),
        DJANGO_SETTINGS_MODULE=settings,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    "environment",
    [
        {"DEBUG": "0"},
        {"DJANGO_SETTINGS_MODULE": "config.settings.prod"},
        {"DJANGO_SETTINGS_MODULE": "config.settings.prod", "DEBUG": "1"},
    ],
)
def test_without_debug_the_default_key_is_refused(tmp_path, environment):
    done = manage(tmp_path, "check", **environment)
    assert done.returncode != 0
    assert "SECRET_KEY" in done.stderr


def test_development_starts_without_any_environment(tmp_path):
    assert manage(tmp_path, "check").returncode == 0


def test_an_empty_database_url_is_none(tmp_path):
    done = manage(tmp_path, "migrate", "--plan", DATABASE_URL="", REDIS_URL="")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "moat.sqlite3").exists()


@pytest.mark.parametrize("url", ["mysql://root:secret@host/name", "host/name", "postgresq://root:secret@host/name"])
def test_a_database_moat_does_not_run_on_is_refused_by_name(tmp_path, url):
    done = manage(tmp_path, "check", DATABASE_URL=url)
    assert done.returncode != 0
    assert "postgres://user:password@host/name" in done.stderr
    assert "secret" not in done.stderr.splitlines()[-1]


def test_no_migration_is_missing(tmp_path):
    done = manage(tmp_path, "makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout
