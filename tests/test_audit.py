"""`make audit` reports vulnerabilities, and says which registries did not answer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLEAN = {
    "pip-audit": {"dependencies": [{"name": "a", "version": "1", "vulns": []}]},
    "npm": {"vulnerabilities": {}},
}
FOUND = {
    "pip-audit": {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}]},
    "npm": {"vulnerabilities": {"b": {"severity": "high", "range": "<2"}}},
}


def audit(folder: Path, answers: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Run the audit with tools that print these answers. A tool without one fails as if its registry were down."""
    for tool, answer in answers.items():
        script = folder / tool
        said = "echo 'no such endpoint' >&2; exit 1" if answer is None else f"echo '{json.dumps(answer)}'"
        script.write_text(f"#!/bin/sh\n{said}\n")
        script.chmod(0o755)
    return subprocess.run(
        [sys.executable, "config/scripts/audit.py"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{folder}:/usr/bin:/bin" if answers else str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_clean_audit_passes(tmp_path: Path) -> None:
    done = audit(tmp_path, CLEAN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": 0 known vulnerabilities") == 3
    assert "NOT AUDITED" not in done.stdout


@pytest.mark.parametrize("tool", ["pip-audit", "npm"])
def test_a_vulnerability_fails_the_audit_and_is_named(tmp_path: Path, tool: str) -> None:
    done = audit(tmp_path, {**CLEAN, tool: FOUND[tool]})
    assert done.returncode == 1
    assert ("a 1: X-1, fixed in 2" if tool == "pip-audit" else "b: high, versions <2") in done.stdout


@pytest.mark.parametrize("answer", [None, {"message": "405 Method Not Allowed"}])
def test_a_registry_that_does_not_answer_is_reported_and_does_not_fail(tmp_path: Path, answer: object) -> None:
    done = audit(tmp_path, {"pip-audit": answer, "npm": answer})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("NOT AUDITED") == 3


def test_missing_tools_are_reported(tmp_path: Path) -> None:
    done = audit(tmp_path, {})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is not installed") == 3
