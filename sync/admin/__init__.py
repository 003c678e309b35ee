"""The admin of the sync engine: records of every published object type."""
