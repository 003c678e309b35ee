"""The catalogue of the command line's texts, and the old names that still work."""

import importlib
import re
import shlex
from itertools import takewhile
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import moat_client
from moat_client import v1
from moat_client.cli import words
from moat_client.cli.main import _joined, parser
from moat_client.cli.v1 import parser as v1_parser

CLI = Path(moat_client.__file__).parent / "cli"
TEXTS = {name: value for name, value in vars(words).items() if name.isupper()}


def test_every_text_is_used() -> None:
    source = "".join(path.read_text() for path in CLI.glob("*.py") if path.name != "words.py")
    assert [name for name in TEXTS if not re.search(rf"\bwords\.{name}\b", source)] == []


def test_every_command_and_option_has_its_text() -> None:
    assert set(words.COMMANDS) == set(words.EXAMPLES) == set(commands(parser()))
    assert set(words.V1_COMMANDS) == set(commands(v1_parser()))


def commands(made: Any) -> list[str]:
    return list(made._subparsers._group_actions[0].choices)


def test_every_example_can_be_parsed() -> None:
    for line in (line for lines in words.EXAMPLES.values() for line in lines):
        arguments = list(takewhile(lambda word: word not in (">", "|"), shlex.split(line, comments=True)))
        assert parser().parse_args(_joined(arguments)).command == arguments[0]


@pytest.mark.parametrize("name", [n for n, value in TEXTS.items() if isinstance(value, str) and n != "EPILOG"])
def test_templates_name_their_placeholders(name: str) -> None:
    fields = [field for _, field, _, _ in Formatter().parse(TEXTS[name].replace("%(", "(")) if field is not None]
    assert all(re.match(r"[a-z]+", field) for field in fields)


@pytest.mark.parametrize(
    ("module", "name", "found"),
    [
        ("moat_client", "Refused", moat_client.InvalidEdit),
        ("moat_client.errors", "Refused", moat_client.InvalidEdit),
        ("moat_client.problems", "Problem", moat_client.Problem),
        ("moat_client.watch", "Watch", moat_client.Watch),
        ("moat_client.v1", "Clash", v1.EditConflict),
        ("moat_client.v1", "FeedOp", v1.QueuedOp),
        ("moat_client.v1.resolvers", "Clash", v1.EditConflict),
        ("moat_client.v1.store", "FeedOp", v1.QueuedOp),
    ],
)
def test_old_names_work_for_one_release(module: str, name: str, found: Any) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{module}.{name} is deprecated\. Use moat_client\.") as caught:
        assert getattr(importlib.import_module(module), name) is found
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="nothing"):
        getattr(importlib.import_module(module), "nothing")  # noqa: B009


def test_an_old_name_can_still_be_imported() -> None:
    with pytest.warns(DeprecationWarning):
        from moat_client import Refused  # noqa: PLC0415
    with pytest.raises(Refused):
        raise moat_client.UnknownTable("jobs")


def test_the_old_methods_of_the_store_work_for_one_release(tmp_path: Path) -> None:
    with v1.EntityStore(tmp_path / "a.db") as store:
        with pytest.warns(DeprecationWarning, match="enable_outbox"):
            store.turn_feed(on=True)
        with pytest.warns(DeprecationWarning, match="outbox_enabled"):
            assert store.feed_on
        store.collection("notes").put("n1", {"title": "Milk"})
        with pytest.warns(DeprecationWarning, match="queued"):
            assert store.feed() == store.queued()
        with pytest.warns(DeprecationWarning, match="disable_outbox"):
            store.turn_feed(on=False)
        assert not store.outbox_enabled
