"""A client of SyncProtocol v1: an embedded entity store, and an engine that keeps it in step over HTTPS.

from moat_client.v1 import Config, EntityStore, SyncEngine

store = EntityStore("notes.db")
engine = SyncEngine(store, Config("https://moat.example", "acme", DEVICE, lambda: TOKEN))
store.collection("notes").put("n1", {"title": "Milk"})
engine.sync()
"""

from moat_client.v1.engine import Config, Status, Synced, SyncEngine
from moat_client.v1.http import Refusal
from moat_client.v1.resolvers import Clash, Keep, Yield, field_merge, last_write_wins, server_wins
from moat_client.v1.store import Collection, Entity, EntityStore, FeedOp

__all__ = [
    "Clash",
    "Collection",
    "Config",
    "Entity",
    "EntityStore",
    "FeedOp",
    "Keep",
    "Refusal",
    "Status",
    "SyncEngine",
    "Synced",
    "Yield",
    "field_merge",
    "last_write_wins",
    "server_wins",
]
