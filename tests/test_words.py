"""The prose is plain English: documents, docstrings, and UI texts use no banned word, and lines stay short.

Run as a module, it lists what is wrong, file by file: `python -m tests.test_words`.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROSE_COLUMNS = 100
CODE_COLUMNS = 120

#: What not to write, and what to write instead. A word that is the name of something goes in backticks.
BANNED = {
    r"told|untold": "notify, send, show",
    r"hears?|heard|hearing": "receive, notify",
    r"news": "notification, message",
    r"whoever|whomever": "a user who, the client that",
    r"nobody|somebody": "no one, no user, another user",
    r"anew": "again",
    r"lets? go of|letting go of": "delete, release, discard",
    r"any more": "no longer",
    r"by now": "now",
    r"beside": "next to, in addition to",
    r"of (?:it|them)(?:self|selves)": "name the actor",
    r"what must hold": "invariant, requirement",
}
_PATTERNS = {re.compile(rf"\b(?:{word})\b", re.I): better for word, better in BANNED.items()}

#: Files and folders (without those inside them) whose words are not clean yet. Keep it empty.
WORDS_TO_DO: tuple[str, ...] = ()
#: Files and folders whose lines are not wrapped yet. Keep it empty.
LINES_TO_DO: tuple[str, ...] = ()

_SKIPPED = {"node_modules", "www", ".venv", ".git", "var", "build", "__pycache__", "DerivedData", "Pods", "staticfiles"}
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`(?:[^`\\]|\\.)*`', re.S)
_FENCE = re.compile(r"^\s*(```|~~~)")


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


@cache
def _files() -> dict[str, Path]:
    return {path.relative_to(ROOT).as_posix(): path for path in _walk(ROOT)}


def _of(*endings: str) -> list[str]:
    return [name for name in _files() if name.endswith(endings)]


MARKDOWN = _of(".md")
CATALOGUES = [name for name in _of(".js") if re.search(r"clients/web/(app|sdk)/words(\.js|/[\w-]+\.js)$", name)]
TEMPLATES = [name for name in _of(".html") if name.startswith(("templates/", "clients/web/"))]
CODE = [name for name in _of(".py", ".js") if "/migrations/" not in name]


def _blank(match: re.Match[str]) -> str:
    return "\n" * match.group().count("\n")


def _markdown_prose(text: str) -> str:
    text = re.sub(r"^\s*(```|~~~).*?^\s*\1[^\n]*$", _blank, text, flags=re.M | re.S)
    text = re.sub(r"<!--.*?-->", _blank, text, flags=re.S)
    return re.sub(r"`+[^`]*`+|\]\([^)]*\)|https?://\S+", _blank, text)


def _docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of every docstring, those of attributes included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, re.sub(r"`+[^`]*`+", _blank, node.value.value)


def _passages(name: str) -> Iterator[tuple[int, str]]:
    """Yield the passages of a file that a person reads as prose, with their first line."""
    text = _files()[name].read_text()
    if name.endswith(".md"):
        yield 1, _markdown_prose(text)
    elif name.endswith(".py"):
        yield from _docstrings(text)
    elif name.endswith(".html"):
        yield 1, re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|<(script|style).*?</\1>|<[^>]*>", _blank, text, flags=re.S)
    else:
        for match in _STRING.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, match.group()


def banned(name: str) -> list[str]:
    """Return every banned word in a file, with its line and what to write instead."""
    found = []
    for first, passage in _passages(name):
        for pattern, better in _PATTERNS.items():
            for match in pattern.finditer(passage):
                line = first + passage.count("\n", 0, match.start())
                found.append((line, f"{name}:{line}: '{match.group()}' (write: {better})"))
    return [problem for _, problem in sorted(found)]


def too_long(name: str) -> list[str]:
    """Return the lines of a file that are too long. Tables, links, and single long words cannot be wrapped."""
    lines = _files()[name].read_text().split("\n")
    found, in_code = [], False
    for number, line in enumerate(lines, 1):
        if name.endswith(".md"):
            if _FENCE.match(line):
                in_code = not in_code
            limit = CODE_COLUMNS if in_code else PROSE_COLUMNS
            free = not in_code and (line.lstrip().startswith("|") or "](" in line or len(line.split()) <= 2)
        else:
            limit, free = CODE_COLUMNS, False
        if len(line) > limit and not free and "://" not in line:
            found.append(f"{name}:{number}: {len(line)} columns, at most {limit}")
    return found


WITH_WORDS = [*MARKDOWN, *CATALOGUES, *TEMPLATES, *(name for name in CODE if name.endswith(".py"))]
WITH_LINES = [*MARKDOWN, *CODE]


def _without(names: list[str], to_do: tuple[str, ...]) -> list[str]:
    return [name for name in names if name not in to_do and name[: name.rfind("/") + 1] not in to_do]


@pytest.mark.parametrize("name", _without(WITH_WORDS, WORDS_TO_DO))
def test_no_banned_word(name: str) -> None:
    assert not banned(name)


@pytest.mark.parametrize("name", _without(WITH_LINES, LINES_TO_DO))
def test_no_line_is_too_long(name: str) -> None:
    assert not too_long(name)


def test_the_lists_of_what_is_to_do_name_what_exists() -> None:
    assert not [entry for entry in (*WORDS_TO_DO, *LINES_TO_DO) if not (ROOT / entry).exists()]


def test_what_is_looked_at_is_found() -> None:
    """A folder that moves must not leave its files unchecked."""
    assert {"README.md", "docs/spec/invariants.md"} <= set(MARKDOWN)
    assert any(name.startswith("clients/python/moat_client/") for name in CODE)
    assert any(name.startswith("clients/web/sdk/") for name in CODE)
    assert len(TEMPLATES) > 10


def test_the_checks_find_what_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "a.md": "# Title\nWhoever is told.\n`told`\n```\nnews\n```\n[x](told.md) " + "y " * 60 + "\n" + "z " * 60,
        "b.py": '"""Take news."""\nx = "told"  # heard\n"""Of itself."""\n' + "y = 1  # " + "z" * 120,
        "words.js": 'const a = "It is told anew";\n// heard\n',
        "c.html": "<p class='news'>{{ told }}Not any\nmore: any more</p>",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(f"{__name__}._files", lambda: {name: tmp_path / name for name in files})
    counts = {name: len(banned(name)) for name in files}
    assert counts == {"a.md": 2, "b.py": 2, "words.js": 2, "c.html": 1}
    assert [problem.split(": ")[0] for name in ("a.md", "b.py") for problem in too_long(name)] == ["a.md:8", "b.py:4"]


if __name__ == "__main__":
    for wrong, names in ((banned, WITH_WORDS), (too_long, WITH_LINES)):
        for name in names:
            for problem in wrong(name):
                print(problem)
