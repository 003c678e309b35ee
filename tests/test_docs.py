"""The documentation refers only to things that exist, and is complete."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
ALL_TEXT = "\n".join(page.read_text() for page in PAGES)
FIRST_PARTY = {"metadata", "layouts", "sync", "tenants"}


INVARIANTS = (ROOT / "docs/spec/invariants.md").read_text()
SECTIONS = dict(re.findall(r"^## (I\d+) (.*?)(?=^## |\Z)", INVARIANTS, re.M | re.S))
TEST_FILES = {
    path.relative_to(ROOT).as_posix(): path
    for folder in ("tests", "clients/python/tests")
    for path in sorted((ROOT / folder).rglob("test_*.py"))
}


def _references() -> list[tuple[str, str, str]]:
    """Return every (page, test file, test) that a document names; the test is empty where only the file is named."""
    named = re.compile(r"(?<![\w./-])((?:[\w-]+/)*test_\w+\.py)(?:::(\w+))?")
    return sorted({(page.name, *found) for page in PAGES for found in named.findall(page.read_text())})


def _tests_of_invariants() -> list[tuple[str, str]]:
    """Return (invariant, path::name) of every test whose name says which invariants it enforces."""
    found = []
    for path, file in TEST_FILES.items():
        for name in re.findall(r"^(?:async )?def (test_i\d+_\w+)", file.read_text(), re.M):
            numbers = re.match(r"test_((?:i\d+_)+)", name)
            assert numbers is not None
            found += [(number.upper(), f"{path}::{name}") for number in numbers[1].rstrip("_").split("_")]
    return found


@cache
def _functions(path: str) -> frozenset[str]:
    tree = ast.parse(TEST_FILES[path].read_text())
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("page", "path", "name"), _references())
def test_a_test_that_a_document_names_exists(page: str, path: str, name: str) -> None:
    files = (
        [path] if path in TEST_FILES else [file for file in TEST_FILES if "/" not in path and file.endswith(f"/{path}")]
    )
    assert files, f"{page} names {path}"
    assert not name or any(name in _functions(file) for file in files), f"{page} names {path}::{name}"


@pytest.mark.parametrize(("invariant", "test"), _tests_of_invariants())
def test_a_test_named_for_an_invariant_stands_in_its_section(invariant: str, test: str) -> None:
    listed = f"- `{test}`" in SECTIONS[invariant].splitlines()
    assert listed, f"docs/spec/invariants.md does not list {test} under {invariant}"


def test_every_invariant_has_tests_and_no_test_of_another() -> None:
    assert list(SECTIONS) == [f"I{number}" for number in range(1, 13)]
    of = _tests_of_invariants()
    for invariant, text in SECTIONS.items():
        listed = re.findall(r"^- `([\w/]+\.py::\w+)`$", text, re.M)
        assert listed, invariant
        assert len(listed) == len(set(listed)), invariant
        named = {test for test in listed if re.search(r"::test_i\d+_", test)}
        assert named <= {test for number, test in of if number == invariant}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_is_documented() -> None:
    ours = [name for name, app in get_commands().items() if isinstance(app, str) and app in FIRST_PARTY]
    assert ours
    assert not [name for name in ours if name not in ALL_TEXT]


def test_every_environment_variable_is_documented() -> None:
    settings = "\n".join(path.read_text() for path in (ROOT / "config").rglob("*.py"))
    names = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', settings)) - {"TEST_DB_SUFFIX"}
    assert {"DATABASE_URL", "REDIS_URL", "MOAT_DATA_DIR", "PORT", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS"} <= names
    operate = (ROOT / "docs/guides/operate.md").read_text()
    assert not [name for name in sorted(names) if name not in operate]
