"""PURE: which names an object type, a table and a field may have, and how they are spelled in a database.

A slug is safe by construction: it needs no escaping in SQL, JSON Pointer, JavaScript, a URL or an ORM lookup. Labels are
free text; names are not, and they never change once published.
"""

import hashlib
import re

import inflection

MAX_SLUG = 40
MAX_IDENTIFIER = 63  # PostgreSQL cuts longer names silently; SQLite, and so a replica's index, has no such limit

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_PHYSICAL = re.compile(r"_?[a-z][a-z0-9_]{0,99}", re.ASCII)

SYSTEM_TABLES = frozenset({"object_metadata", "layout_definition", "overlays", "sync_state", "device_state", "changes"})

RECORD_COLUMNS = ("id", "version", "object_type", "status")
"""Columns every record has, before its fields, on the server and in every replica."""

SERVER_COLUMNS = ("_cursor", "_deleted", "_versions", "_entity_version", "_entity_cbor")
"""Columns only the server has. They begin with an underscore, so no field can take their name."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Each reason is shown to the person who chose the name.
_RESERVED_FIELDS: dict[str, str] = {
    **dict.fromkeys(RECORD_COLUMNS, "every record has it already"),
    **dict.fromkeys(("rowid", "oid"), "SQLite has a column of that name"),
    **dict.fromkeys(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"), "PostgreSQL has a column of that name"),
    **dict.fromkeys(("constructor", "prototype"), "JavaScript gives every object one"),
    **dict.fromkeys(
        _words(
            "adelete arefresh_from_db asave check clean clean_fields date_error_message delete from_db full_clean get_constraints "
            "get_deferred_fields objects pk prepare_database_save refresh_from_db save save_base serializable_value "
            "unique_error_message validate_constraints validate_unique"
        ),
        "Django's models have something of that name",
    ),
}
# Legal when quoted, but whoever forgets the quotes in SQL against a replica gets a constant or a puzzle instead of an error.
_AWKWARD = _words(
    "all alter and as between by case create current_date current_time current_timestamp current_user delete distinct drop exists false from "
    "having in insert into is join localtime localtimestamp not null or returning select session_user table then true union update where with"
)


class BadName(ValueError):
    """A name that is not on the allow-list reached the border to the database. Always a fault of the caller, never of a user."""


def _slug_problem(name: object) -> str | None:
    if not isinstance(name, str) or not name:
        return "A name is needed."
    if len(name) > MAX_SLUG:
        return f"At most {MAX_SLUG} characters; this has {len(name)}."
    if not _SLUG.fullmatch(name):
        return f"Use only a-z, 0-9 and _, starting with a letter; {name!r} does not."
    if "__" in name:
        return "Two underscores in a row are not allowed."
    if name.endswith("_"):
        return "A name cannot end with an underscore."
    return None


def field_name_problem(name: object) -> str | None:
    """Say what is wrong with a field's name, or None when nothing is."""
    problem = _slug_problem(name)
    if problem:
        return problem
    reason = _RESERVED_FIELDS.get(str(name))
    if reason:
        return f"{name!r} is reserved: {reason}."
    return _awkward(str(name))


def object_name_problem(name: object) -> str | None:
    """Say what is wrong with an object type's name, or None when nothing is."""
    problem = _slug_problem(name)
    if problem:
        return problem
    return f"{name!r} is reserved: the system has a table of that name." if name in SYSTEM_TABLES else None


def table_name_problem(name: object) -> str | None:
    """Say what is wrong with a table's name, or None when nothing is."""
    problem = _slug_problem(name)
    if problem:
        return problem
    text = str(name)
    if text in SYSTEM_TABLES:
        return f"{name!r} is reserved: the system has a table of that name."
    if text.startswith(("sqlite_", "ix_", "pg_")):
        return f"{name!r} is reserved: names that begin with {text.split('_')[0]}_ belong to the database."
    return _awkward(text)


def _awkward(name: str) -> str | None:
    return f"{name!r} is a word of SQL; choose another, e.g. {name}_1." if name in _AWKWARD else None


def propose_table_name(object_name: str) -> str:
    """Return the plural of an object name, cut to a legal length; `{plural}_list` where the plural is not free to use."""
    plural = inflection.pluralize(object_name)[:MAX_SLUG].rstrip("_")
    return plural if table_name_problem(plural) is None else f"{plural[: MAX_SLUG - 5].rstrip('_')}_list"


def quote(name: str) -> str:
    """Return a name in double quotes, for SQLite and PostgreSQL. Raises `BadName` for anything that would need escaping."""
    if not isinstance(name, str) or not _PHYSICAL.fullmatch(name):
        raise BadName(f"{name!r} is not on the allow-list of names.")
    return f'"{name}"'


def index_name(prefix: str, table: str, column: str) -> str:
    """Return the server's name of an index or constraint, unique in the whole database and at most 63 bytes.

    `table` is the physical name. No slug holds two underscores in a row, so the parts cannot run into each other; what is
    too long is cut and ends with a hash of the whole.
    """
    full = f"{prefix}_{table}__{column}"
    if len(full) <= MAX_IDENTIFIER:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:12]
    return f"{full[: MAX_IDENTIFIER - 13].rstrip('_')}_{digest}"


def replica_index_name(table: str, field: str) -> str:
    """Return the name of a field's index in a replica (replica.md)."""
    return f"ix_{table}__{field}"
