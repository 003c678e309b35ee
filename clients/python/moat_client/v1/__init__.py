"""A client of SyncProtocol v1: an embedded entity store, and an engine that syncs it over HTTPS.

from moat_client.v1 import Config, EntityStore, SyncEngine

store = EntityStore("notes.db")
engine = SyncEngine(store, Config("https://moat.example", "acme", DEVICE, lambda: TOKEN))
store.collection("notes").put("n1", {"title": "Milk"})
engine.sync()
"""

from typing import TYPE_CHECKING

from moat_client.deprecated import old_names
from moat_client.v1.engine import Config, Status, Synced, SyncEngine
from moat_client.v1.http import Refusal
from moat_client.v1.resolvers import EditConflict, Keep, Yield, field_merge, last_write_wins, server_wins
from moat_client.v1.store import Collection, Entity, EntityStore, QueuedOp

__all__ = [
    "Collection",
    "Config",
    "EditConflict",
    "Entity",
    "EntityStore",
    "Keep",
    "QueuedOp",
    "Refusal",
    "Status",
    "SyncEngine",
    "Synced",
    "Yield",
    "field_merge",
    "last_write_wins",
    "server_wins",
]

if TYPE_CHECKING:
    Clash, FeedOp = EditConflict, QueuedOp
else:
    _RENAMED = {
        "Clash": ("moat_client.v1.EditConflict", EditConflict),
        "FeedOp": ("moat_client.v1.QueuedOp", QueuedOp),
    }
    __getattr__ = old_names(__name__, _RENAMED)
