"""PURE: the sync engine. Events go in, actions come out; nothing here touches a socket, a clock or a file."""

from moat_client.engine.machine import Engine, State, Status

__all__ = ["Engine", "State", "Status"]
