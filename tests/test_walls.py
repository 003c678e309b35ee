"""The walls between rooms refuse what they should, and every module that calls itself pure is held to it."""

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("config", "sync", "layouts", "metadata", "tenants")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = next(contract for contract in CONTRACTS if contract["name"].startswith("What is pure"))

FORBIDDEN = [
    ("sync/settle/merge.py", "from sync.models import Conflict"),
    ("sync/channels/projection.py", "from sync.records import sql"),
    ("sync/settle/decide.py", "from sync.transports import runtime"),
    ("sync/v1/push.py", "from sync.transports.v1 import errors"),
    ("sync/transports/rest/records.py", "from sync.transports.v1 import messages"),
    ("sync/fanout/hub.py", "from sync.settle import writer"),
    ("sync/fanout/hub.py", "from sync.settle import Settlement"),
    ("sync/records/rows.py", "from sync.settle import field_versions"),
    ("sync/channels/sides.py", "from sync.records import sql"),
    ("sync/wire/lines.py", "import time"),
    ("metadata/models.py", "from layouts.models import LayoutDefinition"),
    ("tenants/models.py", "from metadata.models import ObjectMetadata"),
    ("sync/log/changes.py", "import moat_client"),
]


def _lint(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy all first-party packages, with the contracts."""
    folder = tmp_path_factory.mktemp("walls")
    only_python = shutil.ignore_patterns("__pycache__", "static", "*.pyc")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=only_python)
    shutil.copytree(ROOT / "clients/python/moat_client", folder / "moat_client", ignore=only_python)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_tree_keeps_its_walls(copy: Path) -> None:
    """Without an added import the copy passes, so a refusal below is the import's."""
    outcome = _lint(copy)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(("module", "line"), FORBIDDEN, ids=lambda value: value.replace("/", "."))
def test_a_forbidden_import_is_refused(copy: Path, module: str, line: str) -> None:
    path = copy / module
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    try:
        outcome = _lint(copy)
    finally:
        path.write_text(before)
    assert outcome.returncode == 1, outcome.stdout
    assert "BROKEN" in outcome.stdout


def test_a_module_outside_every_room_is_refused(copy: Path) -> None:
    (copy / "sync/helpers.py").write_text("")
    try:
        outcome = _lint(copy)
    finally:
        (copy / "sync/helpers.py").unlink()
    assert outcome.returncode == 1
    assert "helpers" in outcome.stdout


def test_no_wall_has_an_exception() -> None:
    assert not [contract["name"] for contract in CONTRACTS if contract.get("ignore_imports")]


def _modules_that_say_pure() -> set[str]:
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            if docstring.lower().startswith("pure"):
                found.add(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    return found


def test_every_module_that_says_pure_is_in_the_contract() -> None:
    assert _modules_that_say_pure() == set(PURE["source_modules"])
