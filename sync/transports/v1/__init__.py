"""SyncProtocol v1 over HTTP: messages, content negotiation, callers, and the event stream."""
