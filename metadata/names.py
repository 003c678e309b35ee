"""Pure: valid names of object types, tables, and fields, and their spelling in a database.

A slug is safe by construction: it needs no escaping in SQL, JSON Pointer, JavaScript, a URL, or an ORM lookup. Labels
are free text. Names never change once published.
"""

import hashlib
import re

import inflection

MAX_SLUG = 40
MAX_IDENTIFIER = 63  # PostgreSQL silently truncates longer names; SQLite, and so a replica's index, has no such limit

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_PHYSICAL = re.compile(r"_?[a-z][a-z0-9_]{0,99}", re.ASCII)

SYSTEM_TABLES = frozenset({"object_metadata", "layout_definition", "overlays", "sync_state", "device_state", "changes"})

RECORD_COLUMNS = ("id", "version", "object_type", "status")
"""Columns every record has before its fields, on the server and in every replica."""

SERVER_COLUMNS = ("_cursor", "_deleted", "_versions", "_entity_version", "_entity_cbor")
"""Columns that exist only on the server. They start with an underscore, so no field can have their name."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Users see these reasons when they choose a reserved name.
_RESERVED_FIELDS: dict[str, str] = {
    **dict.fromkeys(RECORD_COLUMNS, "every record already has this field"),
    **dict.fromkeys(("rowid", "oid"), "SQLite uses this column name"),
    **dict.fromkeys(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"), "PostgreSQL uses this column name"),
    **dict.fromkeys(("constructor", "prototype"), "every JavaScript object has this property"),
    **dict.fromkeys(
        _words(
            "adelete arefresh_from_db asave check clean clean_fields date_error_message delete from_db full_clean "
            "get_constraints get_deferred_fields objects pk prepare_database_save refresh_from_db save save_base "
            "serializable_value unique_error_message validate_constraints validate_unique"
        ),
        "Django models use this name",
    ),
}
# Legal when quoted. But without quotes, SQL against a replica yields a constant or a puzzling result, not an error.
_AWKWARD = _words(
    "all alter and as between by case create current_date current_time current_timestamp current_user delete distinct "
    "drop exists false from having in insert into is join localtime localtimestamp not null or returning select "
    "session_user table then true union update where with"
)


class BadName(ValueError):
    """A name that is not on the allow-list reached the database layer: a bug in the caller, never a user error."""


def _slug_problem(name: object) -> str | None:
    if not isinstance(name, str) or not name:
        return "Enter a name."
    if len(name) > MAX_SLUG:
        return f"Use at most {MAX_SLUG} characters (this has {len(name)})."
    if not _SLUG.fullmatch(name):
        return f"{name!r} is not a valid name. Use a–z, 0–9, and _, starting with a letter."
    if "__" in name:
        return "Don’t use two underscores in a row."
    if name.endswith("_"):
        return "A name can’t end with an underscore."
    return None


def field_name_problem(name: object) -> str | None:
    """Return what is wrong with a field name, or None."""
    problem = _slug_problem(name)
    if problem:
        return problem
    reason = _RESERVED_FIELDS.get(str(name))
    if reason:
        return f"{name!r} is reserved: {reason}."
    return _awkward(str(name))


def object_name_problem(name: object) -> str | None:
    """Return what is wrong with an object type name, or None."""
    problem = _slug_problem(name)
    if problem:
        return problem
    return f"{name!r} is reserved: a system table has this name." if name in SYSTEM_TABLES else None


def table_name_problem(name: object) -> str | None:
    """Return what is wrong with a table name, or None."""
    problem = _slug_problem(name)
    if problem:
        return problem
    text = str(name)
    if text in SYSTEM_TABLES:
        return f"{name!r} is reserved: a system table has this name."
    if text.startswith(("sqlite_", "ix_", "pg_")):
        return f"{name!r} is reserved: the database uses names that start with {text.split('_')[0]}_."
    return _awkward(text)


def _awkward(name: str) -> str | None:
    return f"{name!r} is an SQL keyword. Choose another name, such as {name}_1." if name in _AWKWARD else None


def propose_table_name(object_name: str) -> str:
    """Return the plural of an object name, cut to a legal length; `{plural}_list` if the plural is not available."""
    plural = inflection.pluralize(object_name)[:MAX_SLUG].rstrip("_")
    return plural if table_name_problem(plural) is None else f"{plural[: MAX_SLUG - 5].rstrip('_')}_list"


def quote(name: str) -> str:
    """Return a name in double quotes, for SQLite and PostgreSQL. Raises `BadName` for names that need escaping."""
    if not isinstance(name, str) or not _PHYSICAL.fullmatch(name):
        raise BadName(f"{name!r} is not an allowed name.")
    return f'"{name}"'


def index_name(prefix: str, table: str, column: str) -> str:
    """Return the server's name of an index or constraint, unique in the database and at most 63 bytes long.

    `table` is the physical name. No slug contains two underscores in a row, so they separate the parts unambiguously. A
    name that is too long is cut and ends with a hash of the whole.
    """
    full = f"{prefix}_{table}__{column}"
    if len(full) <= MAX_IDENTIFIER:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:12]
    return f"{full[: MAX_IDENTIFIER - 13].rstrip('_')}_{digest}"


def replica_index_name(table: str, field: str) -> str:
    """Return the name of a field's index in a replica (docs/spec/replica.md)."""
    return f"ix_{table}__{field}"
