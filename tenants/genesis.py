"""Pure: the hash a chain starts from. See docs/spec/chain.md."""

from hashlib import sha256


def genesis(server_epoch: str, slug: str, channel_key: str | None = None) -> bytes:
    """Return the chain value at cursor 0 (32 raw bytes) of the tenant's chain, or of the given filtered channel."""
    parts = ["moat.v1", server_epoch, slug]
    if channel_key is not None:
        parts.append(channel_key)
    return sha256(b"\x00".join(part.encode() for part in parts)).digest()
