"""The Makefile lists its targets."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HIDDEN = {"check-python"}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_help_lists_every_target():
    listed = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    for target in set(declared) - HIDDEN:
        assert re.search(rf"^  {target} +\S", listed, re.MULTILINE), target


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_missing_python_is_said_at_once():
    done = subprocess.run(
        ["make", "--silent", "check-python", "PYTHON=python-none"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Moat needs Python 3.11 or newer" in done.stderr


@pytest.mark.parametrize(
    ("environment", "address", "hosts"),
    [
        ({}, "127.0.0.1:8000", "localhost,127.0.0.1,[::1],127.0.0.1"),
        ({"HOST": "localhost", "PORT": "9000"}, "localhost:9000", "localhost,127.0.0.1,[::1]"),
        ({"HOST": "0.0.0.0"}, "0.0.0.0:8000", "*"),
        ({"HOST": "192.168.1.7"}, "192.168.1.7:8000", "192.168.1.7,localhost,127.0.0.1"),
        ({"HOST": "0.0.0.0", "ALLOWED_HOSTS": "moat.local"}, "0.0.0.0:8000", "moat.local"),
    ],
)
def test_the_demo_is_for_this_machine_unless_host_says_otherwise(tmp_path, environment, address, hosts):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@" "hosts=$ALLOWED_HOSTS"\n')
    python.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if key not in ("HOST", "PORT", "ALLOWED_HOSTS")}
    done = subprocess.run(
        ["config/scripts/demo.sh"],
        cwd=ROOT,
        env={**clean, "DEMO_PYTHON": str(python), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["manage.py", "runserver", "--noreload", address, f"hosts={hosts}"]
    public = address.startswith(("127.", "localhost"))
    assert ("sign in with the demo's passwords" in done.stderr) is not public


def test_make_demo_calls_the_script():
    text = (ROOT / "Makefile").read_text()
    assert "config/scripts/demo.sh" in text and "0.0.0.0" not in text
