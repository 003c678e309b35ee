"""Pure: the OpenAPI 3.1 description of `/v1/`.

In CBOR, members of the format `byte` are byte strings; in JSON, base64 text.
"""

from typing import Any, Final

from sync.entities.document import MAX_VERSION
from sync.transports.v1.messages import CBOR, JSON

Schema = dict[str, Any]
TEXT: Final[Schema] = {"type": "string"}
NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
BOOLEAN: Final[Schema] = {"type": "boolean"}
WHOLE: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": MAX_VERSION}
NUMBER: Final[Schema] = {**WHOLE, "minimum": 1}
MOMENT: Final[Schema] = {"type": "integer", "minimum": -MAX_VERSION, "maximum": MAX_VERSION}
BYTES: Final[Schema] = {"type": "string", "format": "byte", "contentEncoding": "base64"}
_BASE64: Final = "^([A-Za-z0-9+/_-]{4})*([A-Za-z0-9+/_-]{2}={0,2}|[A-Za-z0-9+/_-]{3}=?)?$"
GIVEN_BYTES: Final[Schema] = {
    "anyOf": [
        {**BYTES, "pattern": _BASE64},
        {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
    ]
}


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema, **more: int) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **more}


def a_map(required: list[str], **properties: Schema) -> Schema:
    """Return the schema of a map. Other keys are ignored."""
    return {"type": "object", "properties": properties, "required": required}


def ref(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


_OP: Final = ["opId", "collection", "entityId", "opType", "entityVersion"]
_OP_MEMBERS: Final[dict[str, Schema]] = {
    "opId": NUMBER,
    "dbId": nullable(NAME),
    "deviceId": nullable(NAME),
    "collection": NAME,
    "entityId": NAME,
    "entityVersion": WHOLE,
    "timestampMs": nullable(MOMENT),
}
_UPSERT: Final[Schema] = {"type": "string", "pattern": "^([Pp][Uu][Tt]|[Uu][Pp][Ss][Ee][Rr][Tt])$"}
_DELETE: Final[Schema] = {"type": "string", "pattern": "^[Dd][Ee][Ll][Ee][Tt][Ee]$"}
_OPERATION: Final[dict[str, Schema]] = {
    "opId": WHOLE,
    "dbId": TEXT,
    "deviceId": TEXT,
    "collection": TEXT,
    "entityId": TEXT,
    "opType": {"enum": ["upsert", "delete"]},
    "entityVersion": WHOLE,
    "entityCbor": BYTES,
    "timestampMs": MOMENT,
}

SCHEMAS: Final[dict[str, Schema]] = {
    "HandshakeRequest": a_map(
        ["dbId", "deviceId"],
        dbId=NAME,
        deviceId=NAME,
        clientInfo=nullable({"type": "object"}),
        protocolVersion={"description": "1."},
    ),
    "HandshakeResponse": {
        **a_map(
            ["serverCursor", "headCursor", "lastOpId", "capabilities"],
            serverCursor=WHOLE,
            headCursor=WHOLE,
            lastOpId=WHOLE,
            capabilities=a_map(["pull", "push", "sse"], pull=BOOLEAN, push=BOOLEAN, sse=BOOLEAN),
        ),
        "description": (
            "`serverCursor` is where this device resumes, `headCursor` is the end of the log, "
            "and `lastOpId` is the device's highest opId."
        ),
    },
    "PullRequest": a_map(
        ["dbId"],
        dbId=NAME,
        deviceId=nullable(NAME),
        sinceCursor=nullable(WHOLE),
        limit=nullable(NUMBER),
        collections=nullable(array({"type": "string", "maxLength": 200}, maxItems=1000)),
    ),
    "PullResponse": a_map(
        ["ops", "nextCursor", "hasMore"], ops=array(ref("Operation")), nextCursor=WHOLE, hasMore=BOOLEAN
    ),
    "Operation": {
        **a_map(
            [name for name in _OPERATION if name != "entityCbor"], **_OPERATION, serverCursor=WHOLE, sourceOpId=WHOLE
        ),
        "description": (
            "A change. `opId` is the cursor and `sourceOpId` the writer's op number. Deletes have no `entityCbor`."
        ),
    },
    "PushRequest": a_map(
        ["dbId", "deviceId", "ops"], dbId=NAME, deviceId=NAME, ops=array(ref("PushedOperation"), maxItems=5000)
    ),
    "PushedOperation": {
        "anyOf": [
            a_map([*_OP, "entityCbor"], **_OP_MEMBERS, opType=_UPSERT, entityCbor=GIVEN_BYTES),
            a_map(_OP, **_OP_MEMBERS, opType=_DELETE),
        ]
    },
    "PushResponse": a_map(
        ["acknowledgedUpToOpId", "conflicts"], acknowledgedUpToOpId=WHOLE, conflicts=array(ref("Conflict"))
    ),
    "Conflict": a_map(
        ["collection", "entityId", "clientOp", "serverState"],
        collection=TEXT,
        entityId=TEXT,
        clientOp=a_map([name for name in _OPERATION if name != "entityCbor"], **_OPERATION),
        serverState=a_map(
            ["entityVersion", "entityCbor", "deleted"],
            entityVersion=WHOLE,
            entityCbor=BYTES,
            deleted={"type": "boolean"},
            lastModified=MOMENT,
        ),
    ),
    "Version": a_map(["version", "minSupported"], version={"const": 1}, minSupported={"const": 1}),
    "ErrorResponse": a_map(
        ["code", "message"],
        code={"type": "integer", "minimum": 0, "maximum": 12},
        message=TEXT,
        details=TEXT,
        field=TEXT,
        retryAfterSeconds=WHOLE,
        requestId=TEXT,
    ),
}

_ERRORS: Final[dict[str, str]] = {
    "400": "Code 1. `field` names the invalid part, such as `ops[3].title`. Nothing was applied.",
    "401": "Code 2.",
    "403": "Code 3: wrong database or device, plain HTTP, or a security profile without access.",
    "405": "Code 12.",
    "409": "Code 5: unsupported protocol version. Code 11: the cursor is outside the log; start over at 0.",
    "413": "Code 1: too large.",
    "415": "Code 1: unsupported encoding.",
    "429": "Code 7, with `Retry-After`.",
    "500": "Code 8.",
    "503": "Code 9, with `Retry-After`.",
}


def _both(name: str) -> Schema:
    return {kind: {"schema": ref(name)} for kind in (CBOR, JSON)}


def _errors() -> dict[str, Schema]:
    return {status: {"description": text, "content": _both("ErrorResponse")} for status, text in _ERRORS.items()}


def _call(name: str, about: str) -> Schema:
    done = {"description": "Success.", "content": _both(f"{name}Response")}
    return {
        "post": {
            "operationId": name.lower(),
            "summary": about,
            "requestBody": {"required": True, "content": _both(f"{name}Request")},
            "responses": {"200": done, **_errors()},
        }
    }


def _stream(name: str) -> Schema:
    def given(key: str, place: str, schema: Schema, about: str) -> Schema:
        return {"name": key, "in": place, "schema": schema, "description": about}

    events = {
        "description": "Events: connected, operations, ping, error.",
        "content": {"text/event-stream": {"schema": TEXT}},
    }
    return {
        "get": {
            "operationId": name,
            "summary": "What a pull would return, delivered as it happens.",
            "parameters": [
                given("dbId", "query", NAME, "Defaults to the token's."),
                given("deviceId", "query", NAME, "Defaults to the token's."),
                given("collections", "query", TEXT, "Comma-separated names. Defaults to all."),
                given("sinceCursor", "query", TEXT, "Where to start. Defaults to now."),
                given("bodies", "query", {"enum": ["0", "1"]}, "Set to 1 to include entityCbor in operations."),
                given("Last-Event-ID", "header", TEXT, "ID of the last event received. The stream resumes after it."),
            ],
            "responses": {"200": events, **_errors()},
        }
    }


def document() -> Schema:
    """Return the whole description."""
    version = {"description": "Supported versions.", "content": _both("Version")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Moat, SyncProtocol v1",
            "version": "1",
            "description": "See docs/spec/syncprotocol-v1.md for the rules.",
        },
        "security": [{"bearer": []}],
        "paths": {
            "/v1/handshake": _call("Handshake", "Open a session and get the resume cursor."),
            "/v1/pull": _call("Pull", "Read the log after a cursor."),
            "/v1/push": _call("Push", "Write ops. Either all are accepted or, on an error, none."),
            "/v1/stream": _stream("stream"),
            "/v1/events": _stream("events"),
            "/v1/version": {
                "get": {
                    "operationId": "version",
                    "summary": "Supported protocol versions.",
                    "security": [],
                    "responses": {"200": version, "405": _errors()["405"]},
                }
            },
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "Device token or JWT."}},
        },
    }
