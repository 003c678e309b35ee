"""An application's own conflict policy: a class, named by its dotted path in the object type and allowed in `MOAT["RESOLVERS"]`.

class Inventory(Resolver):
    def resolve(self, clash):
        if clash.mine is None:
            return Reject("Stock is never deleted on the road.")
        return Merged({**clash.mine, "count": clash.theirs["count"] + clash.mine["count"] - clash.base["count"]})
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
    """Refuse the op; its maker reads `message`."""

    message: str


@dataclass(frozen=True, slots=True)
class Merged:
    """Write these values instead of the op's. They are checked like any client's."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """Keep it as a conflict for a person."""


@dataclass(frozen=True, slots=True)
class EditConflict:
    """An op that met changes of others.

    `mine` holds the fields the op sets, None when it deletes the record; `theirs` the server's record, None when it is
    deleted; `base` the record as the device knew it, None when the log no longer says; `concurrent` the fields both changed.
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
    """What a resolver class must offer. It is made without arguments, once per process, and must not touch the database."""

    def resolve(self, clash: EditConflict) -> Answer:
        """Decide one op."""


@lru_cache(maxsize=64)
def _load(path: str) -> Resolver:
    return cast("Resolver", import_string(path)())


def resolver_of(policy: str) -> Resolver | None:
    """Return the resolver a policy names; None when it is one of the four built-in policies.

    A path that is not allowed, or cannot be loaded, gets a resolver that asks a person: nothing is lost by a typing error.
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


def ask(resolver: Resolver, clash: EditConflict) -> Answer:
    """Return a resolver's answer; one that fails or answers nonsense leaves the decision to a person."""
    try:
        answer = resolver.resolve(clash)
    except Exception:
        logger.exception("resolver_failed", table=clash.table, record_id=clash.record_id)
        return Ask()
    return answer if isinstance(answer, Accept | Reject | Merged) else Ask()


class _AskAlways:
    """Stands in for a resolver that is not there: as the policy `manual`."""

    def resolve(self, clash: EditConflict) -> Answer:
        """Leave it to a person."""
        return Ask()
