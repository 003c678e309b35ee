"""SyncProtocol v1 over HTTP: messages, negotiation, who calls, the event stream."""
