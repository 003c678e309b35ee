"""Pure: the hash chain by which a client proves that it has the server's log. See docs/spec/chain.md."""

from collections.abc import Iterable
from hashlib import sha256


def link(state: bytes, line: bytes) -> bytes:
    """Return the chain value (32 raw bytes) after one change line, given as its exact bytes without a newline."""
    return sha256(sha256(line).digest() + state).digest()


def fold(state: bytes, lines: Iterable[bytes]) -> bytes:
    """Return the chain value after several change lines in cursor order."""
    for line in lines:
        state = sha256(sha256(line).digest() + state).digest()
    return state
