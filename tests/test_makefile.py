"""The Makefile lists its targets."""

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
