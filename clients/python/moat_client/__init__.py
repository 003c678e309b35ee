"""Moat's Python client: a local SQLite replica that works offline and keeps in step over one WebSocket.

replica = Replica.open("olga.db")
replica.update("jobs", job_id, {"status": "done"})
await Sync(replica).run()
"""

from moat_client.engine import State, Status
from moat_client.errors import (
    BadSnapshot,
    Diverged,
    LoginFailed,
    MalformedMessage,
    MoatError,
    NotAReplica,
    Refused,
    UnknownRecord,
    UnknownTable,
    Unreachable,
)
from moat_client.login import login, remember_login
from moat_client.replica.problems import Problem
from moat_client.replica.replica import Replica, ReplicaStatus
from moat_client.replica.watch import Watch
from moat_client.sync.session import Hooks, Stopped, Sync

__version__ = "0.1.0"
__all__ = [
    "BadSnapshot",
    "Diverged",
    "Hooks",
    "LoginFailed",
    "MalformedMessage",
    "MoatError",
    "NotAReplica",
    "Problem",
    "Refused",
    "Replica",
    "ReplicaStatus",
    "State",
    "Status",
    "Stopped",
    "Sync",
    "UnknownRecord",
    "UnknownTable",
    "Unreachable",
    "Watch",
    "login",
    "remember_login",
]
