"""The replica: its SQLite file, the edits waiting on top of it, and the queries over both."""

from moat_client.replica.replica import RESOLUTIONS, Replica, ReplicaStatus

__all__ = ["RESOLUTIONS", "Replica", "ReplicaStatus"]
