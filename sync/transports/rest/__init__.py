"""The REST API: the same records, through the same engine, for callers without a replica."""
