"""Shared components of the OpenAPI description, in the JSON Schema 2020-12 of OpenAPI 3.1."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiParameter, extend_schema

Schema = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
OBJECT: Schema = {"type": "object", "additionalProperties": True}


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def record_of(required: list[str] | None = None, /, **properties: Schema) -> Schema:
    """Return the schema of an object. All members are required by default."""
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


def ref(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


COMPONENTS: dict[str, Schema] = {
    "Error": {
        **record_of(
            ["code", "message"], code=TEXT, message=TEXT, field=TEXT, retry_after={"type": "number"}, version=INTEGER
        ),
        "description": "All errors have this shape. `code` is stable; `message` is for people.",
        "additionalProperties": True,
    },
    "Record": {
        **record_of(["id", "version"], id=TEXT, version=INTEGER, object_type=nullable(TEXT), status=nullable(TEXT)),
        "description": "A record of any object type, with its fields as members.",
        "additionalProperties": True,
    },
    "RecordInput": {**OBJECT, "description": "Fields by name. `id`, `object_type`, and `status` are optional."},
    "RecordPage": record_of(results=array(ref("Record")), next=nullable(TEXT)),
    "JSONPatch": array(
        {
            **record_of(["op", "path"], path=TEXT, value={}, **{"from": TEXT}),
            "properties": {
                "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
                "path": TEXT,
                "from": TEXT,
                "value": {},
            },
        }
    ),
    "ObjectType": {
        **record_of(
            ["object_name", "table_name", "fields", "json_schema"], object_name=TEXT, table_name=TEXT, label=TEXT
        ),
        "properties": {
            "object_name": TEXT,
            "table_name": TEXT,
            "label": TEXT,
            "fields": array(OBJECT),
            "json_schema": OBJECT,
            "records": TEXT,
        },
        "additionalProperties": True,
    },
    "Layout": record_of(
        id=TEXT, version=INTEGER, object_name=TEXT, object_type=TEXT, status=TEXT, label=TEXT, layout_json=OBJECT
    ),
    "Bulk": record_of(
        ["operations"],
        atomic={"type": "boolean", "default": False, "description": "Apply all operations or none."},
        operations=array(
            record_of(
                ["op"],
                op={"enum": ["insert", "update", "delete"]},
                id=TEXT,
                values=OBJECT,
                patch=ref("JSONPatch"),
                base_version={
                    **INTEGER,
                    "description": "The version the caller last read. Omit to apply to any version.",
                },
            )
        ),
    ),
    "Result": {
        **record_of(
            ["id", "status"], id=TEXT, status={"enum": ["applied", "merged", "duplicate", "conflict", "rejected"]}
        ),
        "additionalProperties": True,
    },
    "Results": record_of(results=array(ref("Result"))),
    "Login": record_of(
        ["tenant", "user", "password"],
        tenant=TEXT,
        user=TEXT,
        password=TEXT,
        device={**TEXT, "description": "Name for the new device."},
        device_id={
            **TEXT,
            "description": (
                "Previous device ID of this replica. Reused if the device belonged to this user and was revoked."
            ),
        },
        last_op_id={**INTEGER, "description": "With device_id: the highest op_id this replica has used."},
    ),
    "Device": record_of(device=TEXT, token=TEXT, tenant=TEXT, user=TEXT),
    "Me": record_of(user=TEXT, tenant=nullable(TEXT), role=nullable(TEXT), device=nullable(TEXT), tenants=array(TEXT)),
    "Change": {
        **record_of(
            ["cursor", "op", "version", "at", "by"],
            cursor=INTEGER,
            op=TEXT,
            version=INTEGER,
            payload={},
            at=TEXT,
            by=TEXT,
        ),
        "additionalProperties": True,
    },
    "Changes": record_of(results=array(ref("Change")), next=nullable(TEXT)),
    "Conflict": {**OBJECT, "description": "Both versions in a conflict and who wrote them."},
    "Conflicts": record_of(results=array(ref("Conflict")), next=nullable(TEXT)),
    "Resolution": record_of(["resolution"], resolution={"enum": ["mine", "theirs", "edit"]}, values=OBJECT),
}


def described(
    name: str,
    tag: str,
    status: int,
    schema: Schema | None,
    *,
    errors: Sequence[int] = (401,),
    body: Schema | None = None,
    query: Sequence[str] = (),
) -> Callable[[F], F]:
    """Return a decorator that describes a view's method: responses, errors, body, and parameters."""
    responses: dict[int, Any] = {status: schema, **dict.fromkeys(errors, ref("Error"))}
    parameters = [OpenApiParameter(parameter, str) for parameter in query]
    if 412 in errors:
        parameters.append(
            OpenApiParameter(
                "If-Match", str, OpenApiParameter.HEADER, description='Apply only to this version, such as "7".'
            )
        )
    request = None if body is None else {"application/json": body}
    return extend_schema(operation_id=name, tags=[tag], request=request, responses=responses, parameters=parameters)
