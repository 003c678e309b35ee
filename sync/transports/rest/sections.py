"""OpenAPI sections, one per published object type, with its JSON Schema."""

from typing import Any

from metadata.fieldtypes import json_schema_of
from metadata.registry import LOOKUPS
from metadata.schema import FieldSpec, ObjectSpec
from sync.transports.rest.describe import Schema, array, nullable, record_of, ref
from sync.transports.rest.listing import OPERATORS

_TEXT_SCHEMA: Schema = {"type": "string"}


def add_sections(document: dict[str, Any], objects: tuple[ObjectSpec, ...]) -> None:
    """Add the published object types of a tenant to a description."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for spec in objects:
        document.setdefault("tags", []).append(
            {"name": spec.table_name, "description": spec.label_plural or spec.label or spec.table_name}
        )
        schemas.update(_components(spec))
        document["paths"].update(_paths(spec))


def _components(spec: ObjectSpec) -> dict[str, Schema]:
    fields = {key: value for key, value in json_schema_of(spec).items() if key != "$schema"}
    name = spec.object_name
    shown = {"id": {"type": "string"}, "version": {"type": "integer"}, **fields["properties"]}
    partial = {key: value for key, value in fields.items() if key != "required"}
    return {
        f"{name}.record": {**fields, "properties": shown, "required": ["id", "version", *fields["required"]]},
        f"{name}.create": {**fields, "properties": {"id": {"type": "string"}, **fields["properties"]}},
        f"{name}.update": {**partial, "properties": {"version": {"type": "integer"}, **fields["properties"]}},
    }


def _paths(spec: ObjectSpec) -> dict[str, Any]:
    one, base = f"{spec.object_name}.record", f"/api/records/{spec.table_name}/"
    identifier = {"name": "id", "in": "path", "required": True, "schema": _TEXT_SCHEMA}
    if_match = {
        "name": "If-Match",
        "in": "header",
        "schema": _TEXT_SCHEMA,
        "description": 'Apply only to this version, such as "7".',
    }
    page = record_of(results=array(ref(one)), next=nullable(_TEXT_SCHEMA))
    changes = {
        **_body(f"{spec.object_name}.update")["content"],
        "application/json-patch+json": {"schema": ref("JSONPatch")},
    }
    return {
        base: {
            "get": _operation(spec, "list", parameters=_query(spec), answer=_answer(200, page), errors=(400, 401)),
            "post": _operation(
                spec,
                "create",
                body=_body(f"{spec.object_name}.create"),
                answer=_answer(201, ref(one)),
                errors=(400, 401, 409),
            ),
        },
        base + "{id}/": {
            "parameters": [identifier],
            "get": _operation(spec, "read", answer=_answer(200, ref(one)), errors=(401, 404)),
            "patch": _operation(
                spec,
                "update",
                parameters=[if_match],
                body={"required": True, "content": changes},
                answer=_answer(200, ref(one)),
                errors=(400, 401, 404, 409, 412),
            ),
            "delete": _operation(
                spec,
                "delete",
                parameters=[if_match],
                answer={"204": {"description": "Deleted."}},
                errors=(401, 404, 412),
            ),
        },
    }


def _operation(
    spec: ObjectSpec,
    verb: str,
    *,
    answer: Schema,
    errors: tuple[int, ...],
    parameters: list[Schema] | None = None,
    body: Schema | None = None,
) -> Schema:
    responses = dict(answer)
    for status in errors:
        responses[str(status)] = {"description": "Rejected.", "content": {"application/json": {"schema": ref("Error")}}}
    plural, singular = spec.label_plural or spec.table_name, spec.label or spec.object_name
    operation: Schema = {
        "operationId": f"{verb}_{spec.table_name}",
        "summary": f"{verb.capitalize()} {plural if verb == 'list' else singular}",
        "tags": [spec.table_name],
        "security": [{"deviceToken": []}, {"session": []}],
        "responses": responses,
    }
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = body
    return operation


def _body(component: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": ref(component)}}}


def _answer(status: int, schema: Schema) -> Schema:
    return {str(status): {"description": "Success.", "content": {"application/json": {"schema": schema}}}}


def _query(spec: ObjectSpec) -> list[Schema]:
    plain = [
        ("q", "Text to search for."),
        ("order", "Field to sort by; -field for descending."),
        ("cursor", "`next` from the previous page."),
        ("limit", ""),
    ]
    names = [FieldSpec("object_type", "text"), FieldSpec("status", "text"), *spec.fields]
    parameters = [_parameter(name, about) for name, about in plain]
    for field in names:
        allowed = [operator for operator, lookup in OPERATORS.items() if operator and lookup in LOOKUPS[field.kind]]
        if field.kind != "json":
            parameters.append(
                _parameter(field.name, f"Equals. Also {', '.join(f'{field.name}__{op}' for op in allowed)}.")
            )
    return parameters


def _parameter(name: str, about: str) -> Schema:
    parameter: Schema = {"name": name, "in": "query", "schema": _TEXT_SCHEMA}
    return {**parameter, "description": about} if about else parameter
