"""Pure: every code a client can be answered with. Stable: programs compare them; people read `message` and, here, `meaning`.

docs/spec/errors.md lists them all, and a test keeps the page and this module in step.
"""

from enum import StrEnum


class Code(StrEnum):
    """A code on the wire; `meaning` says when it is sent and what to do about it."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> "Code":
        """Make a member that is its own wire text."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # An op was not applied. The rest of its tx is answered TX_ABORTED; other txs of the push are unharmed.
    BAD_OP = (
        "bad_op",
        "The op's own members have a wrong type or shape. Repair the client; sending it again cannot help.",
    )
    UNKNOWN_OP = "unknown_op", "`op` is none of insert, update, delete and settle."
    UNKNOWN_TABLE = "unknown_table", "No published object type has this table. Sync, then look again."
    UNKNOWN_FIELD = "unknown_field", "The table has no such field. Sync, then look again."
    RETIRED = "retired", "The table or field was retired by an admin. Keep the edit parked and show it to its maker."
    READ_ONLY = "read_only", "Clients cannot write this table or field."
    BAD_ID = "bad_id", "A record id is text of 1 to 128 characters without control characters."
    BAD_VALUE = "bad_value", "A value does not fit its field's kind."
    BAD_PATCH = "bad_patch", "The payload of an update is not a JSON Patch, or cannot be applied to the record."
    TOO_LARGE = "too_large", "A value, a patch or a frame is over its limit; `limits` in `welcome` has the figures."
    REQUIRED = "required", "A required field would be empty."
    MISSING_REFERENCE = "missing_reference", "The record a reference points at does not exist."
    UNIQUE = "unique", "Another record has this value in a field whose values must differ."
    EXISTS = (
        "exists",
        "An insert used the id of a record that exists, or that was deleted since the device last saw it.",
    )
    NOT_FOUND = "not_found", "There is no record with this id."
    DELETED = (
        "deleted",
        "The record is deleted, and the device knew it. Insert it with its last version to bring it back.",
    )
    BASE_VERSION = (
        "base_version",
        "`base_version` is a version the record never had. The replica may stem from another server life.",
    )
    UNKNOWN_CONFLICT = "unknown_conflict", "There is no such conflict, or it belongs to someone else."
    RESOLVER = "resolver", "The object type's own resolver refused the op."
    TX_ABORTED = (
        "tx_aborted",
        "Another op of the same tx was refused or is in conflict, so this one was not applied either.",
    )
    INTERNAL = "internal", "The server failed on this; its log has the details. Keep the op and try again later."

    # A push was refused as a whole: nothing of it was applied.
    OP_ORDER = "op_order", "The op_ids of a push do not rise strictly."
    TOO_MANY_OPS = "too_many_ops", "The push has more ops than `limits.ops`. Send it in parts."
    OVERLOADED = "overloaded", "Too much is waiting to be written. Wait `retry_after` seconds and send the push again."
    UNAVAILABLE = (
        "unavailable",
        "The database did not answer in time. Send the push again; an op is never applied twice.",
    )

    # The connection or a request on it.
    MALFORMED = "malformed", "The frame is not what the protocol says; nothing of it was applied."
    UNKNOWN_TYPE = "unknown_type", "The server knows no message of this `type`."
    NOT_READY = "not_ready", "The message came before `hello` or `subscribe`, which it needs."
    HELLO_TIMEOUT = "hello_timeout", "No `hello` came in time."
    PROTOCOL = "protocol", "The server does not speak the protocol named in `hello`. Update the client."
    BAD_TOKEN = "bad_token", "The token is unknown. Log in again; pending edits are kept."
    REVOKED = (
        "revoked",
        "The device was revoked, or its user may no longer enter. Log in again; pending edits are kept.",
    )
    FORBIDDEN = "forbidden", "The user's profile does not allow this."
    ACCESS_CHANGED = (
        "access_changed",
        "What the user may see has changed. Connect again at once: the server says how to go on.",
    )
    REPLACED = "replaced", "A newer connection of the same device took over."
    TOO_MANY_ERRORS = "too_many_errors", "The connection made more errors than `limits.errors`."
    TOO_SLOW = "too_slow", "The client did not read for too long. Connect again and catch up."
    AHEAD = "ahead", "The client's cursor is past the end of the log: the server was restored or replaced."
    EPOCH = "epoch", "The log is another one than the client knew: the server was restored or replaced."
    SCHEMA_BEHIND = "schema_behind", "The client must bring its schema up to date before it can catch up."
    SNAPSHOT_GONE = "snapshot_gone", "The snapshot no longer exists. Subscribe again for a newer one."
    SHUTTING_DOWN = (
        "shutting_down",
        "The server is going down or restarting. Connect again after `retry_after` seconds.",
    )
