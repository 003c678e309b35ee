"""The command `moat`."""
