"""Describe exceptions for the log: types, places in the code, and texts that cannot hold a record's values.

The text of an exception often quotes the value that caused it. Only the texts of types that describe code or the
environment are logged; of the others the type and the place remain. A traceback never includes local variables.
"""

import sqlite3
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DjangoDatabaseError
from redis.exceptions import RedisError

from tenants.errors import MoatError

ROOT: Final = Path(__file__).resolve().parents[2]
_FRAMES: Final = 25
_CHAIN: Final = 4
_MEMBERS: Final = 5
_TEXT: Final = 500
#: Their texts name code, files, or addresses, never values.
_ABOUT_CODE: Final = (
    AttributeError,
    ImportError,
    ImproperlyConfigured,
    MemoryError,
    NameError,
    NotImplementedError,
    OSError,
    RecursionError,
    RedisError,
    TypeError,
)
#: SQLSTATE classes whose message is about connections, statements, and resources. Others quote values (22, 23).
_STATES_ABOUT_CODE: Final = frozenset({"08", "25", "28", "3D", "40", "42", "53", "54", "55", "57", "58", "XX"})


def describe(error: BaseException, *, all_texts: bool = False) -> list[dict[str, Any]]:
    """Return an exception and its causes, outermost first: `type`, `message` if safe, and `frames`, innermost last."""
    described: list[dict[str, Any]] = []
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen and len(described) < _CHAIN:
        seen.add(id(current))
        entry: dict[str, Any] = {"type": type_name(current)}
        if text := text_of(current, all_texts=all_texts):
            entry["message"] = text
        entry["frames"] = frames(current.__traceback__)
        if isinstance(current, BaseExceptionGroup):
            entry["members"] = [summary(each, all_texts=all_texts) for each in current.exceptions[:_MEMBERS]]
        described.append(entry)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return described


def summary(error: BaseException, *, all_texts: bool = False) -> str:
    """Return an exception in one line: its type, and its text if that is safe."""
    text = text_of(error, all_texts=all_texts)
    return f"{type_name(error)}: {text}" if text else type_name(error)


def type_name(error: BaseException) -> str:
    """Return the qualified name of an exception's type."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def frames(tb: TracebackType | None) -> list[str]:
    """Return the last places of a traceback as `file:line function`, without source lines and local variables."""
    places = [
        f"{_relative(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}" for frame, line in traceback.walk_tb(tb)
    ]
    return places if len(places) <= _FRAMES else [f"[{len(places) - _FRAMES} more]", *places[-_FRAMES:]]


def text_of(error: BaseException, *, all_texts: bool = False) -> str:
    """Return an exception's text as far as it cannot hold values; an empty string if nothing of it is safe."""
    if all_texts:
        return _first_line(error)
    if isinstance(error, MoatError):
        return str(error.code)
    if isinstance(error, DjangoDatabaseError):
        return "" if error.__cause__ is None else text_of(error.__cause__)
    if isinstance(error, sqlite3.Error):
        return _without_quoted(_first_line(error))
    if (diagnosis := getattr(error, "diag", None)) is not None:
        return _of_postgresql(error, diagnosis)
    return _first_line(error) if isinstance(error, _ABOUT_CODE) else ""


def _of_postgresql(error: BaseException, diagnosis: Any) -> str:
    state = getattr(diagnosis, "sqlstate", None)
    if state is None or state[:2] in _STATES_ABOUT_CODE:
        # The lines after the first quote the statement with its values.
        return _first_line(error)
    names = (getattr(diagnosis, name, None) for name in ("table_name", "column_name", "constraint_name"))
    return " ".join([f"SQLSTATE {state}", *(name for name in names if name)])


def _first_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        return ""
    return text.partition("\n")[0][:_TEXT]


def _without_quoted(text: str) -> str:
    """Replace everything from the first quotation mark to the last: a value may contain quotation marks itself."""
    marks = [place for place, letter in enumerate(text) if letter in "'\""]
    return f"{text[: marks[0]]}[value]{text[marks[-1] + 1 :]}" if len(marks) > 1 else text


def _relative(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else "/".join(path.parts[-3:])
