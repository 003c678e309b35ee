"""Pure: project a change to what one filtered channel sees.

A projection depends only on the change's line, its `Side`, and the channel's rules. So every process computes the same
lines at any time, and the channel's chain is a fold over them (docs/spec/channels.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from metadata.access import Rules, TableRule
from metadata.schema import ObjectSpec
from sync.channels.routing import Routing, passes
from sync.wire.lines import decode_line, encode_line
from sync.wire.patch import flat_patch, unescape
from sync.wire.system_tables import LAYOUT_DEFINITION, SYSTEM_TABLES

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Side:
    """A record's routing values before and after a change, stored with its line; None where it did not exist.

    `image` is the record after the change. It is stored when an update changed the routing values, so that a channel
    that the record enters receives all of it. For a system table, `before` and `after` are the whole records, which are
    few.
    """

    before: Routing | None
    after: Routing | None
    image: Record | None = None

    def encode(self) -> str:
        """Return the stored form."""
        return orjson.dumps([self.before, self.after, self.image]).decode()

    @classmethod
    def decode(cls, stored: str | bytes) -> "Side":
        """Parse the stored form."""
        return cls(*orjson.loads(stored))


def project(line: bytes, side: Side | None, rules: Rules, change: Record | None = None) -> bytes | None:
    """Return a change's line as the channel sees it, or None if it does not see the change.

    `change` is the decoded line, for callers that have it.
    """
    change = change or decode_line(line)
    if change["table"] in SYSTEM_TABLES:
        return _project_system(change, side, rules)
    rule = rules.by_table.get(change["table"])
    if rule is None:
        return None
    op = change["op"]
    if rule.terms:
        visible_op = side_op(op, side, rule)
        if visible_op is None:
            return None
        if visible_op == "evict":
            return _evicted(change)
        if visible_op == "insert" and op != "insert":
            return _encoded(change, "insert", _readable_record((side.image if side else None) or {}, rule))
    payload = readable_payload(op, change["payload"], rule)
    return line if payload is change["payload"] else _encoded(change, op, payload)


def side_op(op: str, side: Side | None, rule: TableRule) -> str | None:
    """Return a change's op in a filtered table: its own, `insert` on entering, `evict` on leaving, None if hidden."""
    if side is None:
        return None
    was = side.before is not None and passes(rule.terms, side.before)
    stays = side.after is not None and passes(rule.terms, side.after)
    if stays:
        return op if was else "insert"
    if was:
        return "delete" if op == "delete" else "evict"
    return None


def readable_payload(op: str, payload: Any, rule: TableRule) -> Any:
    """Return a payload without hidden fields; the identical object if it has none."""
    if rule.readable is None or payload is None:
        return payload
    if op == "update":
        steps = [step for step in payload if rule.can_read(_field_of(step["path"]))]
        return payload if len(steps) == len(payload) else steps
    shown = _readable_record(payload, rule)
    return payload if len(shown) == len(payload) else shown


def _field_of(path: str) -> str:
    return unescape(path.split("/", 2)[1])


def _readable_record(record: Record, rule: TableRule) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None and rule.can_read(name)}


def readable_record(record: Record | None, rule: TableRule | None) -> dict[str, Any] | None:
    """Return a record's values, including nulls, without hidden fields; without a rule, all of them."""
    if record is None:
        return None
    return {name: value for name, value in record.items() if rule is None or rule.can_read(name)}


def _encoded(change: Record, op: str, payload: Any) -> bytes:
    return encode_line({**change, "op": op, "payload": payload})


def _evicted(change: Record) -> bytes:
    # The channel must not learn who hid the record or on which device.
    kept = {name: value for name, value in change.items() if name not in ("device", "op_id", "made_at")}
    return encode_line({**kept, "op": "evict", "payload": None, "by": ""})


def _project_system(change: Record, side: Side | None, rules: Rules) -> bytes | None:
    if side is None:
        return None
    table = change["table"]
    before = project_system_record(table, side.before, rules)
    after = project_system_record(table, side.after, rules)
    if after is None:
        return None if before is None else _encoded(change, "delete", None)
    if before is None:
        return _encoded(change, "insert", {k: v for k, v in after.items() if v is not None})
    return _encoded(change, "update", flat_patch(before, after))


def project_system_record(table: str, record: Record | None, rules: Rules) -> dict[str, Any] | None:
    """Return a record of a system table as the channel sees it, or None if the channel hides its object type.

    `record` has its object type in `object_name`, also for `object_metadata`, where that key is not part of the result.
    """
    rule = rules.by_object.get(record["object_name"]) if record else None
    if record is None or rule is None:
        return None
    if table == LAYOUT_DEFINITION:
        return {**record, "layout_json": readable_layout(record.get("layout_json"), rule)}
    return project_metadata({name: value for name, value in record.items() if name != "object_name"}, rule, rules)


def project_metadata(record: Record, rule: TableRule, rules: Rules) -> dict[str, Any]:
    """Return an object type's record without hidden fields and without the names of hidden object types."""
    fields = [_readable_field(f, rules) for f in record.get("fields") or () if rule.can_read(f["name"])]
    schema = dict(record.get("json_schema") or {})
    if rule.readable is not None and schema:
        schema["properties"] = {k: v for k, v in (schema.get("properties") or {}).items() if rule.can_read(k)}
        if "required" in schema:
            schema["required"] = [name for name in schema["required"] if rule.can_read(name)]
    title = record.get("title_field") or ""
    return {**record, "fields": fields, "json_schema": schema, "title_field": title if rule.can_read(title) else ""}


def _readable_field(field: Record, rules: Rules) -> dict[str, Any]:
    if field.get("reference") is None or field["reference"] in rules.by_object:
        return dict(field)
    return {**field, "reference": None, "reference_table": None}


def readable_layout(element: Any, rule: TableRule) -> Any:
    """Return a layout without elements and rules that refer to hidden fields."""
    if rule.readable is None or not isinstance(element, dict):
        return element
    out = {k: v for k, v in element.items() if k != "rule" or not _names_hidden(v, rule)}
    if isinstance(out.get("elements"), list):
        out["elements"] = [readable_layout(e, rule) for e in out["elements"] if not _is_hidden_control(e, rule)]
    return {} if _is_hidden_control(element, rule) else out


def _is_hidden_control(element: Any, rule: TableRule) -> bool:
    return isinstance(element, dict) and _is_hidden_scope(element.get("scope"), rule)


def _is_hidden_scope(scope: Any, rule: TableRule) -> bool:
    prefix = "#/properties/"
    return (
        isinstance(scope, str) and scope.startswith(prefix) and not rule.can_read(scope[len(prefix) :].split("/", 1)[0])
    )


def _names_hidden(value: Any, rule: TableRule) -> bool:
    if isinstance(value, dict):
        return any(_names_hidden(v, rule) for v in value.values())
    if isinstance(value, list):
        return any(_names_hidden(v, rule) for v in value)
    return _is_hidden_scope(value, rule)


def project_spec(spec: ObjectSpec, rules: Rules | None) -> ObjectSpec | None:
    """Return an object type as the channel sees it, or None if the channel hides it."""
    if rules is None:
        return spec
    rule = rules.by_object.get(spec.object_name)
    if rule is None:
        return None
    shown = (f for f in spec.fields if rule.can_read(f.name))
    fields = tuple(
        f if f.reference is None or f.reference in rules.by_object else replace(f, reference=None, reference_table=None)
        for f in shown
    )
    return replace(spec, fields=fields, title_field=spec.title_field if rule.can_read(spec.title_field) else "")


def project_commands(commands: list[dict[str, Any]], rules: Rules) -> list[dict[str, Any]]:
    """Return schema commands as the channel sees them: without hidden tables and columns."""
    projected = (_project_command(c, rules) for c in commands)
    return [c for c in projected if c is not None]


def _project_command(command: dict[str, Any], rules: Rules) -> dict[str, Any] | None:
    rule = rules.by_table.get(command["table"])
    if rule is None:
        return None
    if command["command"] == "create_table":
        columns = [_readable_field(f, rules) for f in command["columns"] if rule.can_read(f["name"])]
        return {**command, "columns": columns, "indexes": [name for name in command["indexes"] if rule.can_read(name)]}
    if "column" in command:
        return (
            {**command, "column": _readable_field(command["column"], rules)}
            if rule.can_read(command["column"]["name"])
            else None
        )
    return command if "field" not in command or rule.can_read(command["field"]) else None
