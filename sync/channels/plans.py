"""Which routing values the changes of a tenant must carry now: the stored rules of its filtered profiles, as a `RoutePlan`."""

from collections import OrderedDict
from functools import partial
from threading import Lock

from django.db import transaction

from metadata.access_store import rules_of_profiles
from sync.channels.routing import RoutePlan, build_plan
from sync.channels.upkeep import held_rules
from tenants.locks import LockedTenant

_SIZE = 1024
_Key = tuple[int, int, int]
_cache: OrderedDict[_Key, RoutePlan | None] = OrderedDict()
_lock = Lock()


def plan_of(locked: LockedTenant) -> RoutePlan | None:
    """Return the plan of a tenant whose lock is held; None when all its profiles have full access.

    Rules and schema change only together with one of the versions it is remembered by; so do the channels that are outdated, and
    which are held of them only becomes fewer.
    """
    key = (locked.id, locked.access_version, locked.schema_version)
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    plan = build_plan([*rules_of_profiles(locked.id, locked.schema_version), *held_rules(locked.id)])
    # Not before this transaction is committed: it may be rolled back, and its versions be used again.
    transaction.on_commit(partial(_keep, key, plan))
    return plan


def _keep(key: _Key, plan: RoutePlan | None) -> None:
    with _lock:
        _cache[key] = plan
        while len(_cache) > _SIZE:
            _cache.popitem(last=False)


def forget() -> None:
    """Drop all remembered plans. For tests, whose rollbacks use versions again."""
    with _lock:
        _cache.clear()
