"""The hash chain over change lines and the digest of a table (docs/spec/chain.md).

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Iterable
from hashlib import sha256

_MASK = 2**64 - 1


def genesis(server_epoch: str, slug: str, channel_key: str | None = None) -> bytes:
    """Return the chain's value before the first change: of the tenant, or of a filtered channel."""
    parts = [b"moat.v1", server_epoch.encode(), slug.encode()]
    if channel_key is not None:
        parts.append(channel_key.encode())
    return sha256(b"\x00".join(parts)).digest()


def link(state: bytes, line: bytes) -> bytes:
    """Return the chain's value after one more line."""
    return sha256(sha256(line).digest() + state).digest()


def fold(state: bytes, lines: Iterable[bytes]) -> bytes:
    """Return the chain's value after all lines, in order."""
    hashed = sha256
    for line in lines:
        state = hashed(hashed(line).digest() + state).digest()
    return state


def table_digest(records: Iterable[tuple[str, int]]) -> tuple[int, str]:
    """Return (count, digest as 16 hex digits) of (id, version) pairs, in any order."""
    count = total = 0
    hashed, number = sha256, int.from_bytes
    for record_id, version in records:
        count += 1
        total += number(hashed(b"%b\x00%d" % (record_id.encode(), version)).digest()[:8])
    return count, f"{total & _MASK:016x}"
