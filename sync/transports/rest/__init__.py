"""The REST API: access to records through the sync engine, for callers without a replica."""
