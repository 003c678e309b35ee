"""The walls between the rooms of moat_client: import-linter's contracts hold, and they refuse what they should."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "clients/python/moat_client"
PURE_CONTRACT = "moat_client: pure modules use no I/O, clock, or randomness"
PURE_MARK = re.compile(r"^Pure:", re.MULTILINE)


def contracts() -> list[dict[str, object]]:
    """The contracts of the project's configuration that concern the client alone."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return [c for c in linter["contracts"] if c["name"].startswith("moat_client: ") or is_about_the_server(c)]


def is_about_the_server(contract: dict[str, object]) -> bool:
    return contract.get("source_modules") == ["moat_client"]


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else f'"{value}"'


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, with a configuration of the client's contracts only."""
    shutil.copytree(PACKAGE, tmp_path / "moat_client", ignore=shutil.ignore_patterns("__pycache__"))
    lines = ["[tool.importlinter]", 'root_packages = ["moat_client"]', "include_external_packages = true"]
    for contract in contracts():
        lines += ["[[tool.importlinter.contracts]]", *(f"{key} = {toml(value)}" for key, value in contract.items())]
    (tmp_path / "pyproject.toml").write_text("\n".join(lines))
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--config", "pyproject.toml", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def add_import(folder: Path, module: str, line: str) -> None:
    path = folder / f"{module.replace('.', '/')}.py"
    if not path.exists():
        path = folder / module.replace(".", "/") / "__init__.py"
    path.write_text(f"{path.read_text()}\n{line}\n")


def test_the_walls_stand(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" KEPT") == len(contracts()) == 5


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("moat_client.engine.push", "import sqlite3", PURE_CONTRACT),
        ("moat_client.engine.machine", "import time", PURE_CONTRACT),
        ("moat_client.engine.stream", "from moat_client.net import retry_after, urls\nimport asyncio", PURE_CONTRACT),
        ("moat_client.wire.messages", "import socket", PURE_CONTRACT),
        ("moat_client.wire.values", "import random", PURE_CONTRACT),
        ("moat_client.replica.fold", "import websockets", PURE_CONTRACT),
        # Also by way of another module.
        ("moat_client.replica.where", "from moat_client.replica import catalog", PURE_CONTRACT),
        ("moat_client.engine.core", "from moat_client.replica import store", "moat_client: rooms depend one way"),
        ("moat_client.wire.lines", "from moat_client.engine import events", "moat_client: rooms depend one way"),
        ("moat_client.replica.apply", "from moat_client.sync import backend", "moat_client: rooms depend one way"),
        ("moat_client.sync.session", "from moat_client.cli import output", "moat_client: rooms depend one way"),
        ("moat_client.v1.engine", "from moat_client.replica import store", "moat_client: rooms depend one way"),
        ("moat_client.v1.engine", "from moat_client.sync import session", "moat_client: rooms depend one way"),
        (
            "moat_client.sync.session",
            "from moat_client.v1 import engine",
            "moat_client: the two protocols know nothing",
        ),
        ("moat_client.replica.store", "from moat_client.replica import overlays", "moat_client: a room has no cycles"),
        ("moat_client.wire.lines", "from django.conf import settings", "The client imports nothing of the server"),
        ("moat_client.v1.cbor", "from sync.entities import cbor", "The client imports nothing of the server"),
    ],
)
def test_a_forbidden_import_is_refused(copy: Path, module: str, line: str, contract: str) -> None:
    add_import(copy, module, line)
    done = lint(copy)
    assert done.returncode == 1
    assert any(line.startswith(contract) and line.endswith("BROKEN") for line in done.stdout.splitlines())


def test_a_new_module_beside_the_rooms_is_refused(copy: Path) -> None:
    (copy / "moat_client/helpers.py").write_text('"""A module in no room."""\n')
    done = lint(copy)
    assert done.returncode == 1
    assert "moat_client.helpers" in done.stdout


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def marked_pure() -> set[str]:
    """The modules whose docstring has a line that starts with `Pure:`."""
    found = {module_name(path): ast.get_docstring(ast.parse(path.read_text())) for path in PACKAGE.rglob("*.py")}
    return {name for name, doc in found.items() if doc and PURE_MARK.search(doc)}


def test_the_pure_contract_holds_exactly_the_modules_that_say_pure() -> None:
    listed = next(c["source_modules"] for c in contracts() if c["name"] == PURE_CONTRACT)
    everything = {module_name(path) for path in PACKAGE.rglob("*.py")}
    assert isinstance(listed, list)
    covered = {m for m in everything if any(m == entry or m.startswith(f"{entry}.") for entry in listed)}
    assert marked_pure() == covered
    assert set(listed) <= everything


def test_pure_modules_read_no_clock_and_open_no_file() -> None:
    """What no import shows: `datetime.now()`, `uuid4()`, `open()`."""
    names = {"now", "today", "utcnow", "uuid1", "uuid4", "uuid7", "open", "input", "print"}
    for path in PACKAGE.rglob("*.py"):
        if module_name(path) not in marked_pure():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert called not in names, f"{path}:{node.lineno} calls {called}()"
