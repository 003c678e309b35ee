"""The picture of the rooms and the page next to it show the code as it is."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    """Load the script that draws the rooms."""
    spec = importlib.util.spec_from_file_location("make_rooms", ROOT / "docs/images/make_rooms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_shows_the_real_imports(picture: ModuleType) -> None:
    assert picture.OUT.read_text() == picture.draw(), "run: python docs/images/make_rooms.py"


def test_every_room_is_described(picture: ModuleType) -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    described = set(re.findall(r"^\* \*\*`(?:sync/)?([\w]+)(?:\.py|/)?`", page, re.M))
    assert {room for row in picture.rows() for room in row} <= described
