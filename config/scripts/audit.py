"""Check the pinned Python and npm packages for known vulnerabilities. Called by `make audit`.

Exits with 1 if a tool reports a vulnerability. A registry that does not answer is reported, and is not a failure.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 300
PIP = ("pip-audit", "--requirement", "requirements.txt", "--no-deps", "--disable-pip", "--format", "json")
NPM = ("npm", "audit", "--json")
NPM_FOLDERS = ("clients/web", "clients/ios")


def main() -> int:
    """Run all audits and print one line for each, then the vulnerabilities."""
    found = [_audit("Python packages", PIP, ROOT, _python)]
    found += [_audit(f"npm packages of {folder}", NPM, ROOT / folder, _npm) for folder in NPM_FOLDERS]
    return 1 if any(found) else 0


def _audit(name: str, command: tuple[str, ...], folder: Path, read: Callable[[Any], list[str]]) -> int:
    """Return the number of vulnerabilities; 0 if the audit did not happen, which is printed."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except FileNotFoundError:
        return _say(f"{name}: NOT AUDITED, {command[0]} is not installed")
    except subprocess.TimeoutExpired:
        return _say(f"{name}: NOT AUDITED, no answer within {TIMEOUT_SECONDS} s")
    try:
        problems = read(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, AttributeError):
        return _say(f"{name}: NOT AUDITED, {_reason(done)}")
    _say(f"{name}: {len(problems)} known vulnerabilities")
    for problem in problems:
        _say(f"  {problem}")
    return len(problems)


def _python(report: Any) -> list[str]:
    return [
        f"{package['name']} {package['version']}: {each['id']}, "
        f"fixed in {', '.join(each['fix_versions']) or 'no version'}"
        for package in report["dependencies"]
        if "skip_reason" not in package
        for each in package["vulns"]
    ]


def _npm(report: Any) -> list[str]:
    return [
        f"{name}: {found['severity']}, versions {found['range']}" for name, found in report["vulnerabilities"].items()
    ]


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else f"exit code {done.returncode}"


def _say(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
