"""Write clients/vectors/*.json from the inputs below. Run it when the spec changes, and review the difference."""

import copy
import json
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moat_client.errors import Diverged, InvalidEdit
from moat_client.replica import access, ddl, fold, patched
from moat_client.wire import canonical, chain, lines, patch, values
from moat_client.wire.schema import Field

FOLDER = Path(__file__).parents[2] / "vectors"
EPOCH = "0123456789abcdef0123456789abcdef"


def field(name: str, kind: str = "text", **more: Any) -> dict[str, Any]:
    base = {
        "name": name,
        "kind": kind,
        "label": name.title(),
        "required": False,
        "unique": False,
        "indexed": False,
        "default": None,
    }
    return (
        base
        | {"help_text": "", "choices": [], "reference": None, "reference_table": None, "decimal_places": None}
        | more
    )


CANONICAL = [
    "null", "true", "0", "-0.0", "1.0", "1e21", "1e20", "123456789012345680000", "1e-6", "1e-7", "0.000001234",
    "5e-324", "1.7976931348623157e308",
    "333333333.3333333", "9007199254740991", "-9007199254740991", "10000000000000000", '"\\u00e9\\u20ac\\ud83d\\ude00"',
    '"\\b\\t\\n\\f\\r\\"\\\\\\/\\u0000\\u001f\\u007f"', '"\\ud800"', '{"b":1,"a":{"d":[],"c":{}}}',
    '{"\\u20ac":1,"\\r":2,"1":3,"\\ud83d\\ude00":4,"\\ufb33":5,"\\u00f6":6}',
    '{"":0,"a.b":1.50,"list":[1,2.0,"x",null,false]}', '[[[[1]]]]', '{"a":"1.5e3","n":1e16}',
    '{"long":"1234567890123456"}',
]  # fmt: skip

LINES = [
    '{"cursor":1,"schema_version":1,"table":"jobs","id":"job-1","op":"insert","version":1'
    ',"payload":{"object_type":"home","status":"open","title":"Kölner Straße – 😀","price":"12.50"'
    ',"attrs":{"b":[1,2],"a":null}},"at":"2026-11-21T09:00:00.000000Z","by":"olga"}',
    '{"cursor":42,"schema_version":3,"table":"jobs","id":"job-123","op":"update","version":7'
    ',"payload":[{"op":"replace","path":"/status","value":"done"}]'
    ',"at":"2026-11-21T09:00:00.000000Z","by":"olga","device":"d1","op_id":12}',
    '{"cursor":43,"schema_version":3,"table":"jobs","id":"job-123","op":"delete","version":8'
    ',"payload":null'
    ',"at":"2026-11-21T09:00:01.000000Z","by":"tom","device":"d2","op_id":1,"made_at":"2026-11-20T09:00:00.000000Z"}',
    '{"cursor":44,"schema_version":3,"table":"jobs","id":"job-9","op":"evict","version":2'
    ',"payload":null'
    ',"at":"2026-11-21T09:00:02.000000Z","by":"tom"}',
]

OPS = [
    lines.PendingOp(
        12,
        "t1",
        "jobs",
        "job-123",
        "update",
        6,
        '[{"op":"replace","path":"/status","value":"done"}]',
        "2026-11-21T08:59:59.000000Z",
    ),
    lines.PendingOp(13, None, "jobs", "job-5", "insert", 0, '{"title":"Café"}', "2026-11-21T08:59:59.000000Z"),
    lines.PendingOp(14, None, "jobs", "job-5", "delete", 1, None, "2026-11-21T08:59:59.000000Z"),
    lines.PendingOp(
        15, None, "jobs", "job-6", "update", 9, '[{"op":"remove","path":"/note"}]', "2026-11-21T09:00:00.000000Z", "c-1"
    ),
    lines.PendingOp(
        16,
        None,
        "jobs",
        "job-6",
        "settle",
        9,
        '{"conflict":"c-2","resolution":"theirs"}',
        "2026-11-21T09:00:00.000000Z",
    ),
]

RECORD = {"title": "a", "note": None, "attrs": {"colour": "red", "sizes": [1, 2, 3], "a/b": {"c~d": 1}}}
PATCHES: list[tuple[dict[str, Any], list[dict[str, Any]], bool]] = [
    (RECORD, [{"op": "replace", "path": "/title", "value": "b"}, {"op": "remove", "path": "/note"}], False),
    (RECORD, [{"op": "add", "path": "/note", "value": {"x": 1}}, {"op": "add", "path": "/note/y", "value": 2}], False),
    (
        RECORD,
        [{"op": "replace", "path": "/attrs/colour", "value": "blue"}, {"op": "remove", "path": "/attrs/sizes/1"}],
        False,
    ),
    (
        RECORD,
        [{"op": "add", "path": "/attrs/sizes/-", "value": 4}, {"op": "add", "path": "/attrs/sizes/0", "value": 0}],
        False,
    ),
    (RECORD, [{"op": "replace", "path": "/attrs/a~1b/c~0d", "value": 2}], False),
    (RECORD, [{"op": "remove", "path": "/attrs/missing"}], False),
    (RECORD, [{"op": "replace", "path": "/attrs/missing", "value": 1}], False),
    (RECORD, [{"op": "add", "path": "/attrs/sizes/4", "value": 1}], False),
    (RECORD, [{"op": "add", "path": "/attrs/sizes/01", "value": 1}], False),
    (RECORD, [{"op": "add", "path": "/note/x", "value": 1}], False),
    (RECORD, [{"op": "move", "path": "/title", "from": "/note"}], False),
    (RECORD, [{"op": "replace", "path": "", "value": {}}], False),
    (
        RECORD,
        [{"op": "replace", "path": "/attrs/missing", "value": 1}, {"op": "replace", "path": "/title", "value": "kept"}],
        True,
    ),
    (RECORD, [{"op": "replace", "path": "/fresh", "value": 1}], False),
]
DIFFS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (RECORD, {"title": "b"}),
    (RECORD, {"title": "a", "note": None}),
    (RECORD, {"note": "x", "title": None}),
    (RECORD, {"attrs": {"colour": "blue", "sizes": [1, 2], "a/b": {"c~d": 1, "e": True}}}),
    (RECORD, {"attrs": {"colour": "red"}}),
    (RECORD, {"attrs": None}),
    ({"n": 1, "b": True}, {"n": 1.0, "b": 1}),
    ({"l": [1, {"a": 1}]}, {"l": [1, {"a": True}]}),
]

COLUMNS = ["id", "version", "object_type", "status", "title", "attrs"]
BASE = {"id": "j1", "version": 6, "object_type": "home", "status": "open", "title": "a", "attrs": {"n": 1}}
OVERLAYS: list[tuple[str, dict[str, Any] | None, list[dict[str, Any]]]] = [
    ("j1", BASE, []),
    ("j1", BASE, [{"op": "update", "payload": [{"op": "replace", "path": "/title", "value": "b"}]}]),
    ("j1", BASE, [{"op": "update", "payload": [{"op": "add", "path": "/attrs/c", "value": 2}]},
        {"op": "update", "payload": [{"op": "remove", "path": "/attrs/n"}]}]),
    ("j1", BASE, [{"op": "delete", "payload": None}]),
    ("j1", BASE, [{"op": "delete", "payload": None}, {"op": "insert", "payload": {"title": "again"}}]),
    ("j1", BASE, [{"op": "settle", "payload": {"conflict": "c", "resolution": "theirs"}}]),
    ("new", None, [{"op": "insert", "payload": {"title": "n", "gone_field": 1}},
        {"op": "update", "payload": [{"op": "replace", "path": "/status", "value": "done"}]}]),
    ("j1", None, [{"op": "update", "payload": [{"op": "replace", "path": "/title", "value": "b"}]}]),
    ("j1", BASE, [{"op": "update",
        "payload": [{"op": "replace", "path": "/attrs/none/deep", "value": 1},
            {"op": "replace", "path": "/title", "value": "kept"}]}]),
]  # fmt: skip

COMMANDS = [
    {"command": "create_table", "table": "jobs", "object_name": "job", "indexes": ["customer", "code"], "columns": [
        field("title", required=True), field("price", "decimal", default="0.00", decimal_places=2),
        field("count", "integer", default=0),
        field("hours", "real", default=1.5), field("done", "boolean", default=True), field("day", "date"),
        field("at", "datetime"), field("ref", "uuid"),
        field("attrs", "json", default={"b": 1, "a": "it's"}),
        field("kind", "choice", choices=[{"value": "x", "label": "X"}], default="x"),
        field("customer", "reference", reference="customer", reference_table="customers"),
        field("code", unique=True, default="O'Hara")]},
    {"command": "create_table", "table": "bare", "object_name": "bare", "columns": [], "indexes": []},
    {"command": "add_column", "table": "jobs", "column": field("urgent", "boolean", default=False)},
    {"command": "add_column", "table": "jobs", "column": field("factor", "real", default=2)},
    {"command": "create_index", "table": "jobs", "field": "urgent"},
    {"command": "drop_index", "table": "jobs", "field": "urgent"},
    {"command": "widen_column", "table": "jobs", "field": "count", "kind": "real"},
    {"command": "retire_column", "table": "jobs", "field": "code"},
    {"command": "retire_table", "table": "bare"},
]  # fmt: skip

DECIMAL = field("d", "decimal", decimal_places=2)
CHOICE = field("c", "choice", choices=[{"value": "a", "label": "A"}, {"value": "b", "label": "B"}])
VALUES: list[tuple[dict[str, Any], Any]] = [
    (DECIMAL, "12.5"), (DECIMAL, "12"), (DECIMAL, 12), (DECIMAL, 0.1), (DECIMAL, "-0.00"), (DECIMAL, "0.005"),
    (DECIMAL, "1e3"), (DECIMAL, "9999999999999.99"),
    (DECIMAL, "99999999999999.99"), (DECIMAL, "NaN"), (DECIMAL, "1_000"), (DECIMAL, "٣"), (DECIMAL, "+.50"),
    (DECIMAL, ""), (DECIMAL, True), (DECIMAL, "-12345.60"),
    (field("d", "decimal", decimal_places=0), "15"), (field("d", "decimal", decimal_places=0), "999999999999999"),
    (field("d", "decimal", decimal_places=6), "0.000001"),
    (field("d", "decimal", decimal_places=15), "0.123456789012345"),
    (field("t"), "text"), (field("t"), ""), (field("t"), "007"), (field("t"), "a\x00b"), (field("t"), 7),
    (field("i", "integer"), 9007199254740991), (field("i", "integer"), 9007199254740992), (field("i", "integer"), 3.0),
    (field("i", "integer"), 3.5),
    (field("i", "integer"), "3"), (field("i", "integer"), True),
    (field("r", "real"), 1), (field("r", "real"), -0.0), (field("r", "real"), 1e300), (field("r", "real"), "1"),
    (field("b", "boolean"), True), (field("b", "boolean"), False), (field("b", "boolean"), 1),
    (field("d", "date"), "2026-02-28"), (field("d", "date"), "2026-02-30"), (field("d", "date"), "20260228"),
    (field("d", "date"), "0001-01-01"),
    (field("m", "datetime"), "2026-11-21T10:00:00+01:00"), (field("m", "datetime"), "2026-11-21T09:00:00Z"),
    (field("m", "datetime"), "2026-11-21T09:00:00.5Z"),
    (field("m", "datetime"), "2026-11-21T09:00:00"),
    (field("u", "uuid"), "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), (field("u", "uuid"), "not"),
    (field("j", "json"), {"b": 1.0, "a": [None, "é"]}), (field("j", "json"), {"__proto__": 1}),
    (field("j", "json"), "text"), (field("j", "json"), [1e21]),
    (CHOICE, "a"), (CHOICE, "z"), (field("r", "reference"), "job-1"), (field("r", "reference"), ""), (field("t"), None),
]  # fmt: skip


def canonical_cases() -> list[dict[str, Any]]:
    cases = []
    for text in CANONICAL:
        try:
            cases.append({"json": text, "canonical": canonical.canonical_json(json.loads(text))})
        except ValueError:
            cases.append({"json": text, "error": True})
    return cases


def chain_cases() -> list[dict[str, Any]]:
    genesis = [
        {"epoch": EPOCH, "slug": s, "channel_key": k, "genesis": chain.genesis(EPOCH, s, k).hex()}
        for s, k in [("acme", None), ("zoë", None), ("acme", "profile:7")]
    ]
    state, after = chain.genesis(EPOCH, "acme"), []
    start = state.hex()
    for line in LINES:
        state = chain.link(state, line.encode())
        after.append(state.hex())
    return [*genesis, {"start": start, "lines": LINES, "hashes": after}]


def digest_cases() -> list[dict[str, Any]]:
    sets: list[list[list[Any]]] = [
        [],
        [["job-1", 1]],
        [["job-1", 1], ["job-2", 12], ["zoë", 3]],
        [["job-2", 12], ["zoë", 3], ["job-1", 1]],
        [["job-1", 2]],
    ]
    sets.append([[f"r-{n:04}", n] for n in range(1, 500)])
    return [
        dict(zip(("records", "count", "digest"), (s, *chain.table_digest((i, v) for i, v in s)), strict=True))
        for s in sets
    ]


def line_cases() -> list[dict[str, Any]]:
    changes = [{"line": line, "change": asdict(lines.decode_change(line.encode()))} for line in LINES]
    return changes + [{"op": asdict(op), "op_line": json.loads(lines.encode_op(op))} for op in OPS]


def patch_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []
    for record, steps, lenient in PATCHES:
        case: dict[str, Any] = {"record": record, "patch": steps, "lenient": lenient}
        try:
            case["result"] = patch.apply_patch(record, steps, lenient=lenient)
        except patch.PatchFailed:
            case["error"] = True
        cases.append(case)
    return cases + [{"old": old, "new": new, "diff": patch.flat_patch(old, new)} for old, new in DIFFS]


def overlay_cases() -> list[dict[str, Any]]:
    return [
        {
            "id": i,
            "base": base,
            "ops": ops,
            "columns": COLUMNS,
            "shown": patched.patched(i, base, [patched.OverlayOp(o["op"], o["payload"]) for o in ops], COLUMNS),
        }
        for i, base, ops in OVERLAYS
    ]


def ddl_cases() -> list[dict[str, Any]]:
    commands = [{"command": command, "sql": ddl.command_sql(command)} for command in COMMANDS]
    view = {"table": "jobs", "columns": COLUMNS, "view": ddl.live_view_sql("jobs", COLUMNS)}
    return [*commands, view, {"system": list(ddl.SYSTEM_TABLES_SQL), "local": list(ddl.LOCAL_TABLES_SQL)}]


def value_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []
    for spec, value in VALUES:
        made = Field.from_record(spec)
        try:
            wire = values.clean(made, value)
        except InvalidEdit:
            cases.append({"field": spec, "value": value, "error": True})
            continue
        con = sqlite3.connect(":memory:")
        con.execute(f"CREATE TABLE t ({ddl.column_sql(made)})")
        con.execute("INSERT INTO t VALUES (?)", [values.to_sql(made.kind, wire)])
        (stored,) = con.execute("SELECT * FROM t").fetchone()
        con.close()
        cases.append({"field": spec, "value": value, "wire": wire, "stored": stored})
    return cases


def change(record: str, op: str, version: int, payload: Any = None, *, table: str = "jobs") -> dict[str, Any]:
    return {"table": table, "id": record, "op": op, "version": version, "payload": payload}


def step(path: str, value: Any, op: str = "replace") -> dict[str, Any]:
    return {"op": op, "path": path, "value": value}


# Lines in order. `base`: json values of base rows that a nested patch starts from. `known`: versions of base rows,
# after a repair.
FOLDS: list[dict[str, Any]] = [
    {
        "changes": [
            change("a", "insert", 1, {"title": "A"}),
            change("a", "update", 2, [step("/title", "B"), step("/crew", 2)]),
        ]
    },
    {
        "changes": [
            change("a", "update", 4, [step("/title", "B")]),
            change("a", "update", 5, [{"op": "remove", "path": "/crew"}]),
        ]
    },
    {"changes": [change("a", "update", 4, []), change("b", "update", 2, [step("/title", "x")], table="customers")]},
    {"changes": [change("a", "update", 4, [step("/title", "B")]), change("a", "delete", 5)]},
    {
        "changes": [
            change("a", "evict", 5),
            change("a", "insert", 9, {"title": "back"}),
            change("a", "update", 10, [step("/crew", 1)]),
        ]
    },
    {
        "changes": [
            change("a", "insert", 1, {"title": "A"}),
            change("a", "delete", 2),
            change("a", "insert", 3, {"title": "C"}),
        ]
    },
    {"changes": [change("a", "delete", 2), change("a", "update", 3, [step("/title", "x")])]},
    {"changes": [change("a", "replace", 2, {})]},
    {
        "changes": [change("a", "update", 2, [step("/attrs/colour", "red", "add")])],
        "base": {"jobs/a/attrs": {"size": 1}},
    },
    {
        "changes": [change("a", "update", 2, [step("/attrs/tags/-", "x", "add"), step("/attrs/a~1b", 2)])],
        "base": {"jobs/a/attrs": {"tags": [], "a/b": 1}},
    },
    {
        "changes": [change("a", "update", 2, [step("/attrs", {"a": 1}), step("/attrs/b", 2, "add")])],
        "base": {"jobs/a/attrs": {"size": 1}},
    },
    {
        "changes": [
            change("a", "insert", 1, {"attrs": {"a": [1]}}),
            change("a", "update", 2, [{"op": "remove", "path": "/attrs/a/0"}]),
        ]
    },
    {"changes": [change("a", "update", 2, [step("/attrs/gone/x", 1)])], "base": {"jobs/a/attrs": {}}},
    {
        "changes": [
            change("a", "update", 3, [step("/title", "old")]),
            change("a", "update", 4, [step("/title", "new")]),
        ],
        "known": {"jobs/a": 3},
    },
    {
        "changes": [
            change("a", "update", 3, [step("/title", "of a record that goes later")]),
            change("a", "delete", 4),
        ],
        "known": {},
    },
    {
        "changes": [change("a", "insert", 1, {}), change("a", "update", 2, [step("/title", "x")])],
        "known": {"jobs/a": 1},
    },
    {"changes": [change("a", "delete", 2), change("a", "insert", 3, {"title": "x"})], "known": {"jobs/a": 3}},
]


def fold_cases() -> list[dict[str, Any]]:
    return [one | folded(copy.deepcopy(one)) for one in FOLDS]


def folded(case: dict[str, Any]) -> dict[str, Any]:
    base, known = case.get("base", {}), case.get("known")
    try:
        tables = fold.fold_changes(
            case["changes"],
            current=lambda table, record, field: base[f"{table}/{record}/{field}"],
            known=None if known is None else lambda table, record: known.get(f"{table}/{record}"),
        )
    except Diverged:
        return {"error": True}
    return {
        "folded": {name: {"rows": t.rows, "patches": t.patches, "gone": sorted(t.gone)} for name, t in tables.items()}
    }


JOBS = {
    "object_name": "job",
    "table": "jobs",
    "verbs": ["update"],
    "readable": ["notes", "technician", "title"],
    "writable": ["notes", "status"],
}
RULES = [
    JOBS | {"rows": [["technician", ["tech-tom"]], ["status", ["open", "held", None]], ["<visit.job.crew", [1]]],
        "rows_complete": True},
    {"object_name": "line_item", "table": "line_items", "verbs": ["create", "update", "delete"], "readable": None,
        "writable": None, "rows": [["job.technician", ["tech-tom"]]], "rows_complete": True},
    {"object_name": "invoice", "table": "invoices", "verbs": ["create"], "readable": ["number", "paid"],
        "writable": ["number"], "rows": [["paid", [False]], ["total", ["9.50"]], ["count", [1]]],
        "rows_complete": False},
    {"object_name": "stock", "table": "stocks", "verbs": [], "readable": None, "writable": [], "rows": []},
]  # fmt: skip
ACCESSES: list[tuple[dict[str, Any] | None, str]] = [
    (None, "jobs"),
    ({}, "jobs"),
    ({"rules": None}, "jobs"),
    ({"rules": []}, "jobs"),
]
ACCESSES += [({"rules": RULES}, table) for table in ("jobs", "line_items", "invoices", "stocks", "secrets")]
ACCESS_FIELDS = ("object_type", "status", "title", "notes", "technician", "price", "number", "paid")
ACCESS_RECORDS = [
    {"id": "j1", "technician": "tech-tom", "status": "open", "title": "a"},
    {"technician": "tech-tess", "status": "open"}, {"technician": "tech-tom", "status": "done"},
    {"technician": "tech-tom", "status": None}, {"technician": None, "status": "held"},
    {"paid": False, "total": "9.50", "count": 1}, {"paid": None, "total": "9.50", "count": 1},
    {"paid": False, "total": "9.5", "count": 1}, {"paid": 0, "total": "9.50", "count": 1},
    {"paid": False, "total": "9.50", "count": True}, {},
]  # fmt: skip


def access_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []
    for said, table in ACCESSES:
        rights = access.rights_of(said, table)
        may = {
            name: [f for f in ACCESS_FIELDS if getattr(rights, f"can_{name}")(f)] for name in ("read", "write", "fill")
        }
        verbs = [verb for verb in ("create", "update", "delete") if getattr(rights, verb)]
        keeps = [{"record": record, "keeps": rights.would_keep(record)} for record in ACCESS_RECORDS]
        cases.append({"access": said, "table": table, "verbs": verbs, **may, "records": keeps})
    return cases


FILES = {
    "access": ("What a user may see and do with a table, from the `access` of a `welcome`.", access_cases),
    "canonical": ("RFC 8785 text of JSON values; error: refused (lone surrogates).", canonical_cases),
    "chain": ("Genesis of chains, and a chain folded over the exact bytes of lines.", chain_cases),
    "digest": ("Count and digest of a table's (id, version) pairs, in any order.", digest_cases),
    "lines": ("Change lines as they come, op lines as they go.", line_cases),
    "patch": ("Patches applied to records, and the patch between two records.", patch_cases),
    "overlay": ("What is shown of a record: base row and active ops, in order.", overlay_cases),
    "fold": (
        "Many change lines as the least work per record: whole rows, changed fields, ids that are gone.",
        fold_cases,
    ),
    "ddl": ("The replica's SQL: fixed tables, schema commands, live view.", ddl_cases),
    "values": ("Values people give, their wire form, and what SQLite then holds in the field's column.", value_cases),
}


def text_of(name: str) -> str:
    about, cases = FILES[name]
    lines_ = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases())
    return f'{{"about": {json.dumps(about, ensure_ascii=False)}, "cases": [\n{lines_}\n]}}\n'


if __name__ == "__main__":
    for each in FILES:
        (FOLDER / f"{each}.json").write_text(text_of(each), encoding="utf-8")
