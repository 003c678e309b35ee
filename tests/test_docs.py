"""The documentation refers only to things that exist, and is complete."""

import ast
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
ALL_TEXT = "\n".join(page.read_text() for page in PAGES)
FIRST_PARTY = {"metadata", "layouts", "sync", "tenants"}


def test_every_promise_names_a_test_that_exists() -> None:
    page = (ROOT / "docs/spec/invariants.md").read_text()
    sections = re.findall(r"^## (I\d+) (.*?)(?=^## |\Z)", page, re.M | re.S)
    rows = [(key, *test) for key, text in sections for test in re.findall(r"^- `([\w/]+\.py)::(\w+)`$", text, re.M)]
    assert len(rows) >= 38
    for promise, path, name in rows:
        tree = ast.parse((ROOT / path).read_text())
        assert name in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}, (
            f"{promise}: {path}::{name}"
        )


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
