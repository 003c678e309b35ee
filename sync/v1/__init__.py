"""The other door: SyncProtocol v1, CBOR over HTTPS, for pull-then-push clients. See docs/spec/syncprotocol-v1.md."""
