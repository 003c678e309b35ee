"""Conflict policies of an application: classes that object types name by dotted path and `MOAT["RESOLVERS"]` allows.

class Inventory(Resolver):
    def resolve(self, conflict):
        if conflict.mine is None:
            return Reject("Stock can't be deleted on the road.")
        sold = conflict.base["count"] - conflict.mine["count"]
        return Merged({**conflict.mine, "count": conflict.theirs["count"] - sold})
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, cast

import structlog
from django.utils.module_loading import import_string

from sync.conf import engine_settings
from sync.settle.merge import POLICIES

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Accept:
    """Apply the op as sent, whatever others changed."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Reject the op; its user reads `message`."""

    message: str


@dataclass(frozen=True, slots=True)
class Merged:
    """Write these values instead of the op's. They are checked like a client's values."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """Keep the conflict for a user to resolve."""


@dataclass(frozen=True, slots=True)
class EditConflict:
    """An op and the concurrent changes of others.

    `mine` holds the fields the op sets; None if it deletes the record. `theirs` is the server's record; None if it is
    deleted. `base` is the record as the device knew it; None if the log has been pruned. `concurrent` names the
    fields that both changed.
    """

    table: str
    record_id: str
    mine: Mapping[str, Any] | None
    theirs: Mapping[str, Any] | None
    base: Mapping[str, Any] | None
    concurrent: frozenset[str]
    by: str
    device: str | None

    @property
    def contested(self) -> frozenset[str]:
        """The former name of `concurrent`, kept for one release."""
        return self.concurrent


Answer = Accept | Reject | Merged | Ask


class Resolver(Protocol):
    """A resolver class: created without arguments, once per process. It must not use the database."""

    def resolve(self, conflict: EditConflict, /) -> Answer:
        """Decide one op."""


@lru_cache(maxsize=64)
def _load(path: str) -> Resolver:
    return cast("Resolver", import_string(path)())


def resolver_of(policy: str) -> Resolver | None:
    """Return the resolver a policy names; None for one of the four built-in policies.

    A path that is not allowed or cannot be loaded gets a resolver that leaves every conflict to a user, so that a
    typing error loses nothing.
    """
    if policy in POLICIES:
        return None
    if policy not in engine_settings().resolvers:
        logger.error("resolver_not_allowed", policy=policy)
        return _AskAlways()
    try:
        return _load(policy)
    except Exception:
        logger.exception("resolver_not_loaded", policy=policy)
        return _AskAlways()


def ask(resolver: Resolver, conflict: EditConflict) -> Answer:
    """Return a resolver's answer. If it fails or the answer is invalid, a user has to decide."""
    try:
        answer = resolver.resolve(conflict)
    except Exception:
        logger.exception("resolver_failed", table=conflict.table, record_id=conflict.record_id)
        return Ask()
    return answer if isinstance(answer, Accept | Reject | Merged) else Ask()


class _AskAlways:
    """Replaces a resolver that is missing. It works like the policy `manual`."""

    def resolve(self, conflict: EditConflict, /) -> Answer:
        """Leave the decision to a user."""
        return Ask()
