"""The sync engine: events go in, actions come out. It uses no socket, clock, or file.

Pure: no I/O, clock, or randomness.
"""

from moat_client.engine.machine import Engine, State, Status

__all__ = ["Engine", "State", "Status"]
