"""Syncing: runs the engine over a WebSocket and performs its actions on a replica."""

from moat_client.sync.session import Hooks, Stopped, Sync, other_sync

__all__ = ["Hooks", "Stopped", "Sync", "other_sync"]
