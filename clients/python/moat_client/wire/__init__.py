"""The wire format of `moat.v1`: messages, lines, canonical JSON, patches, the hash chain, field values."""
