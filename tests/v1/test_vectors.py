"""Tests of the message vectors: requests of real clients and responses of real servers, each at its layer."""

from collections.abc import Callable
from typing import Any

import pytest

from moat_client.v1 import messages as clients
from sync.entities.cbor import encode
from sync.transports.v1 import messages as server
from sync.transports.v1.errors import V1Code, V1Error
from tests.v1.test_cbor import VECTORS, logical

BOUNDS = server.Bounds(5000, 4_194_304, 100, 1000)
BY_ID = {case["id"]: logical(case["logical"]) for case in VECTORS["messages"]}


def op(message: dict[str, Any]) -> None:
    (read,) = server.push_request({"ops": [message]}, message["dbId"], message["deviceId"], BOUNDS)
    assert (read.op_id, read.collection, read.entity_id, read.verb) == (
        message["opId"], message["collection"], message["entityId"], message["opType"],
    )  # fmt: skip
    assert (read.version, read.body, read.timestamp_ms) == (
        message["entityVersion"],
        message.get("entityCbor"),
        message["timestampMs"],
    )


def pull_request(message: dict[str, Any]) -> None:
    read = server.pull_request(message, BOUNDS)
    assert (read.since, read.limit, list(read.collections or ())) == (
        message["sinceCursor"],
        message["limit"],
        message["collections"],
    )


def handshake_response(message: dict[str, Any]) -> None:
    ours = server.handshake_response(message["serverCursor"], 99999, 7)
    assert message["capabilities"].keys() == ours["capabilities"].keys()
    assert (ours["serverCursor"], clients.last_op_id(ours), clients.last_op_id(message)) == (
        message["serverCursor"],
        7,
        0,
    )


def pull_response(message: dict[str, Any]) -> None:
    page = clients.page(message, 12_000)
    (theirs,) = message["ops"]
    (read,) = page.ops
    assert (read.collection, read.id, read.version, read.device) == (
        theirs["collection"], theirs["entityId"], theirs["entityVersion"], theirs["deviceId"],
    )  # fmt: skip
    assert (page.next_cursor, page.has_more, read.cbor) == (
        message["nextCursor"],
        message["hasMore"],
        theirs.get("entityCbor"),
    )
    op({**theirs, "opId": 1})


def push_response(message: dict[str, Any]) -> None:
    read = clients.pushed(message)
    assert read.acknowledged == message["acknowledgedUpToOpId"]
    states = {each["clientOp"]["opId"]: each["serverState"] for each in message["conflicts"]}
    assert read.lost == {number: (state["entityVersion"], state["entityCbor"]) for number, state in states.items()}
    for conflict in message["conflicts"]:
        op(conflict["clientOp"])


def error(message: dict[str, Any]) -> None:
    more = {"details": "details", "field": "field", "retry_after": "retryAfterSeconds", "request_id": "requestId"}
    raised = V1Error(
        V1Code(message["code"]), message["message"], **{ours: message.get(key) for ours, key in more.items()}
    )
    assert raised.body() == message


def document(message: dict[str, Any]) -> None:
    """Check a message that is sent inside entityCbor."""
    op({**BY_ID["dart_op_message"], "entityCbor": encode(message)})


LAYERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "dart_op_message": op,
    "dart_op_delete": op,
    "dart_handshake_request_meta": server.handshake,
    "dart_handshake_response_token": handshake_response,
    "dart_pull_request_filter": pull_request,
    "dart_pull_response": pull_response,
    "dart_push_response": push_response,
    "dart_push_response_conflict": push_response,
    "dart_error_auth": error,
    "dart_error_full": error,
    "dart_delta_replace": document,
    "dart_list_256": document,
}


@pytest.mark.parametrize("name", list(BY_ID))
def test_every_message_of_the_vectors_is_understood_where_it_belongs(name: str) -> None:
    LAYERS[name](BY_ID[name])
