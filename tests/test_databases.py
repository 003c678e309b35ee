"""Which tests run on which database: PostgreSQL skips none whose result could differ."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOME = ("tests/test_docs.py", "tests/tenants/test_tokens.py", "tests/browser/test_offline.py")


def collected(**environment: str) -> str:
    """Return the tests pytest would run in some files. Needs no database."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_URL", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", *SOME]
    done = subprocess.run(
        command, cwd=ROOT, env={**inherited, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout


def count(said: str) -> int:
    """How many tests are listed. The ID of one can hold the name of another."""
    return sum(line.startswith("tests/") for line in said.splitlines() if "::" in line)


def test_on_sqlite_everything_runs():
    said = collected()
    for path in SOME:
        assert path in said
    assert "left to the run on SQLite" not in said


def test_on_postgresql_only_what_reaches_the_database_runs_and_the_rest_is_counted():
    said = collected(DATABASE_URL="postgres://nobody@127.0.0.1:1/none")
    docs, tokens, browser = SOME
    assert docs not in said and browser not in said
    left_out = count(collected()) - count(said)
    assert tokens in said
    assert f"{left_out} tests left to the run on SQLite" in said
