"""Pure: every error code that a client can receive.

Codes are stable, because programs compare them. People read `message` and, here, `meaning`. docs/spec/errors.md lists
all codes; a test keeps that page equal to this module.
"""

from enum import StrEnum


class Code(StrEnum):
    """An error code on the wire. `meaning` says when it is sent and what to do."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> "Code":
        """Create a member whose value is its wire text."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # An op was not applied. The other ops of its tx get TX_ABORTED; other txs of the push are not affected.
    BAD_OP = (
        "bad_op",
        "The op is malformed. Fix the client; resending it will not help.",
    )
    UNKNOWN_OP = "unknown_op", "`op` is not insert, update, delete, or settle."
    UNKNOWN_TABLE = "unknown_table", "No published object type has this table. Sync, then try again."
    UNKNOWN_FIELD = "unknown_field", "The table has no such field. Sync, then try again."
    RETIRED = "retired", "An admin retired the table or field. Park the edit and show it to the user."
    READ_ONLY = "read_only", "Clients cannot write this table or field."
    BAD_ID = "bad_id", "A record ID must be 1 to 128 characters, without control characters."
    BAD_VALUE = "bad_value", "A value is not valid for its field's kind."
    BAD_PATCH = "bad_patch", "The update's payload is not a valid JSON Patch or cannot be applied to the record."
    TOO_LARGE = "too_large", "A value, op, or frame exceeds a limit. See `limits` in `welcome`."
    REQUIRED = "required", "A required field would be empty."
    MISSING_REFERENCE = "missing_reference", "The referenced record does not exist."
    UNIQUE = "unique", "Another record already has this value in a unique field."
    EXISTS = (
        "exists",
        "The ID of an inserted record is already in use, or the record was deleted after the device last saw it.",
    )
    NOT_FOUND = "not_found", "No record has this ID."
    DELETED = (
        "deleted",
        "The device already knew that this record is deleted. To restore it, insert it with its last version.",
    )
    BASE_VERSION = (
        "base_version",
        "The record never had version `base_version`. The replica may belong to a different server epoch.",
    )
    UNKNOWN_CONFLICT = "unknown_conflict", "The conflict does not exist or belongs to another user."
    RESOLVER = "resolver", "The object type's resolver rejected the op."
    TX_ABORTED = (
        "tx_aborted",
        "Not applied because another op in the same transaction was rejected or is in conflict.",
    )
    INTERNAL = "internal", "Internal server error; see the server log. Keep the op and retry later."

    # A whole push was rejected; none of it was applied.
    OP_ORDER = "op_order", "The op_ids in a push must be strictly increasing."
    TOO_MANY_OPS = "too_many_ops", "The push has more ops than `limits.ops`. Split it."
    OVERLOADED = "overloaded", "The server is too busy or has no room for this. Try again after `retry_after` seconds."
    UNAVAILABLE = (
        "unavailable",
        "The database timed out. Resend the push; ops are never applied twice.",
    )

    # Errors of the connection, or of a request on it.
    MALFORMED = "malformed", "The frame violates the protocol. None of it was applied."
    UNKNOWN_TYPE = "unknown_type", "Unknown message `type`."
    NOT_READY = "not_ready", "Send `hello` or `subscribe` before this message."
    HELLO_TIMEOUT = "hello_timeout", "No `hello` arrived in time."
    PROTOCOL = "protocol", "The server does not support the protocol in `hello`. Update the client."
    INSECURE = (
        "insecure",
        "The server does not accept tokens over a connection without TLS. Use https:// (wss://).",
    )
    BAD_TOKEN = "bad_token", "The token is not valid. Sign in again; pending edits are kept."
    REVOKED = (
        "revoked",
        "The device was revoked or its user lost access. Sign in again; pending edits are kept.",
    )
    FORBIDDEN = "forbidden", "The user's profile does not allow this."
    TOO_MANY_DEVICES = (
        "too_many_devices",
        "The user has as many devices as the server allows. Revoke one that is no longer used, then sign in again.",
    )
    ACCESS_CHANGED = (
        "access_changed",
        "The user's access has changed. Reconnect immediately; the server says how to continue.",
    )
    REPLACED = "replaced", "A newer connection from this device has replaced this one."
    TOO_MANY_ERRORS = "too_many_errors", "The connection exceeded `limits.errors`."
    TOO_SLOW = "too_slow", "The client read too slowly and was disconnected. Reconnect and catch up."
    AHEAD = "ahead", "The client's cursor is past the end of the log, so the server was restored or replaced."
    EPOCH = "epoch", "The server has a different log than the client followed, so it was restored or replaced."
    SCHEMA_BEHIND = "schema_behind", "The client must upgrade its schema before catching up."
    SNAPSHOT_GONE = "snapshot_gone", "The snapshot no longer exists. Subscribe again for a newer one."
    SHUTTING_DOWN = (
        "shutting_down",
        "The server is shutting down or restarting. Reconnect after `retry_after` seconds.",
    )
