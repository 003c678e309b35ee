"""The log of a process: JSON lines in production, without secrets and record values, written by a thread of its own."""

from config.logs.setup import configure

__all__ = ["configure"]
