"""Moat's Python client: a local SQLite replica that works offline and syncs over one WebSocket.

replica = Replica.open("olga.db")
replica.update("jobs", job_id, {"status": "done"})
await Sync(replica).run()
"""

from typing import TYPE_CHECKING

from moat_client.deprecated import old_names
from moat_client.engine import State, Status
from moat_client.errors import (
    BadSnapshot,
    Diverged,
    InvalidEdit,
    LoginFailed,
    MalformedMessage,
    MoatError,
    NotAReplica,
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
    "InvalidEdit",
    "LoginFailed",
    "MalformedMessage",
    "MoatError",
    "NotAReplica",
    "Problem",
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

if TYPE_CHECKING:
    Refused = InvalidEdit
else:
    __getattr__ = old_names(__name__, {"Refused": ("moat_client.InvalidEdit", InvalidEdit)})
