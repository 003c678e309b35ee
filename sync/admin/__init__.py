"""The sync engine's admin: records of every published object type."""
