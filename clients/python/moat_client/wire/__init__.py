"""The wire format of `moat.v1`: messages, lines, canonical JSON, patches, the hash chain, and field values.

Pure: no I/O, clock, or randomness.
"""
