"""SyncProtocol v1: CBOR over HTTPS on the same log, for pull-then-push clients. See docs/spec/syncprotocol-v1.md."""
