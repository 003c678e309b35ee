"""Valid messages of every endpoint, as material for mutations. Sizes are small: a mutation may repeat them."""

import random
import uuid
from typing import Any

Message = dict[str, Any]
RECORDS = 30
FIELDS: Message = {
    "title": "Fix the boiler", "notes": "n", "crew": 2, "distance": 1.5, "price": "95.00", "urgent": True,
    "due": "2026-12-01", "starts_at": "2026-12-01T09:00:00.000000Z", "priority": "high", "status": "open",
    "serial": "00000000-0000-4000-8000-000000000001", "attrs": {"a": [1, {"b": "c"}], "d": None},
}  # fmt: skip


def ids(rnd: random.Random) -> str:
    """An ID out of few, so that messages meet records that exist."""
    return f"job-{rnd.randrange(RECORDS)}" if rnd.random() < 0.8 else str(uuid.UUID(int=rnd.getrandbits(128)))


def patch(rnd: random.Random) -> list[Message]:
    """A JSON Patch with a few of the six operations."""
    steps: list[Message] = [
        {"op": "replace", "path": "/title", "value": "New"},
        {"op": "add", "path": "/attrs/a/-", "value": {"x": 1}},
        {"op": "remove", "path": "/notes"},
        {"op": "test", "path": "/crew", "value": 2},
        {"op": "copy", "from": "/attrs", "path": "/attrs/e"},
        {"op": "move", "from": "/attrs/a", "path": "/attrs/f"},
    ]
    return rnd.sample(steps, rnd.randrange(1, 5)) * rnd.choice((1, 1, 1, 30))


def op(rnd: random.Random, op_id: int, kind: str = "") -> Message:
    """An op of a push over the socket."""
    kind = kind or rnd.choice(("insert", "insert", *("update",) * 12, "delete", "settle"))
    payload: dict[str, Any] = {
        "insert": dict(rnd.sample(sorted(FIELDS.items()), 5)) | {"title": "t"},
        "update": patch(rnd),
        "settle": {"conflict": str(uuid.UUID(int=rnd.getrandbits(128))), "resolution": "theirs"},
        "delete": None,
    }
    made: Message = {
        "op_id": op_id, "table": "jobs", "id": ids(rnd), "op": kind, "base_version": 0 if kind == "insert" else 1,
        "payload": payload[kind],
    }  # fmt: skip
    return made | rnd.choice((*({},) * 8, {"tx": "t1"}, {"at": "2026-11-21T08:59:59.000000Z"}))


def socket_messages(rnd: random.Random, state: Message, op_ids: "range") -> list[Message]:
    """One frame: the envelope, then its lines. `state` is the device's position."""
    ref = rnd.randrange(1000)
    frames: list[list[Message]] = [
        *([[{"type": "push", "ref": ref, **state}, *(op(rnd, n) for n in op_ids)]] * 12),
        [{"type": "subscribe", "ref": ref, **state, "channel": "full"}],
        [{"type": "verify", "ref": ref, "tables": ["jobs", "customers"]}],
        [{"type": "verify", "ref": ref, "table": "jobs", "ranges": [[None, "job-5"], ["job-6", None]]}],
        [{"type": "repair", "ref": ref, "table": "jobs", "low": "job-1", "high": "job-9"}],
        [{"type": "part", "ref": ref, "snapshot": str(uuid.UUID(int=rnd.getrandbits(128))), "part": 0}],
        [{"type": "ping", "ref": ref, "cursor": 0}],
        [{"type": "pong", "ref": ref, "cursor": 0}],
    ]
    return rnd.choice(frames)


def hello(token: str, device: str, state: Message) -> Message:
    """The first message on a socket."""
    return {"type": "hello", "protocol": "moat.v1", "token": token, "device": device, "client": {"name": "x"}, **state}


def rest_requests(rnd: random.Random) -> tuple[str, str, Message, Any]:
    """A REST request: method, path, query, and body."""
    record = ids(rnd)
    bulk = [
        {"op": "insert", "id": record, "values": {"title": "t"}},
        {"op": "update", "id": record, "values": {"crew": 3}},
        {"op": "delete", "id": record},
    ]
    listing = {"status": "open", "crew__gte": "1", "order": "-due", "limit": "10", "q": "boiler", "id__in": "a,b"}
    login = {"tenant": "x", "user": "y", "password": "z", "device": "d", "device_id": record, "last_op_id": 3}
    requests: list[tuple[str, str, Message, Any]] = [
        ("GET", "/api/records/jobs/", dict(rnd.sample(sorted(listing.items()), 3)), None),
        ("POST", "/api/records/jobs/", {}, {"id": record, **FIELDS}),
        ("PATCH", f"/api/records/jobs/{record}/", {}, {"title": "t", "attrs": {"z": 1}, "version": 1}),
        ("PUT", f"/api/records/jobs/{record}/", {}, FIELDS),
        ("DELETE", f"/api/records/jobs/{record}/", {}, None),
        ("GET", f"/api/records/jobs/{record}/history/", {"limit": "5", "before": "9"}, None),
        ("POST", "/api/records/jobs/bulk/", {}, {"operations": bulk, "atomic": True}),
        ("POST", f"/api/conflicts/{record}/resolve/", {}, {"resolution": "edit", "values": {"title": "t"}}),
        ("GET", "/api/conflicts/", {"state": "settled", "limit": "3"}, None),
        ("GET", "/api/objects/job/", {}, None),
        ("GET", "/api/me/", {}, None),
        ("POST", "/api/login", {}, login),
    ]
    return rnd.choice(requests)


def v1_requests(rnd: random.Random, database: str, device: str, op_id: int, document: bytes) -> tuple[str, Message]:
    """A SyncProtocol v1 request: path and body."""
    who = {"dbId": database, "deviceId": device}
    put = {
        "opId": op_id, "collection": "jobs", "entityId": ids(rnd), "entityVersion": rnd.randrange(1, 4),
        "timestampMs": 1, "opType": "PUT", "entityCbor": document,
    }  # fmt: skip
    delete = {key: value for key, value in put.items() if key != "entityCbor"} | {"opType": "delete", "opId": op_id + 1}
    return rnd.choice(
        [
            ("handshake", {**who, "protocolVersion": 1}),
            ("pull", {**who, "sinceCursor": 0, "limit": 20, "collections": ["jobs"]}),
            ("push", {**who, "ops": [put, delete]}),
            ("push", {**who, "ops": [put]}),
        ]
    )
