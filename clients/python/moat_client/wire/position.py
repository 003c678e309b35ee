"""The position of a replica in its channel's log.

Pure: no I/O, clock, or randomness.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """The replica holds everything up to `cursor`. `state_hash` is hex; empty before the first contact."""

    tenant: str = ""
    channel: str = ""
    cursor: int = 0
    state_hash: str = ""
    schema_version: int = 0
    server_epoch: str = ""
