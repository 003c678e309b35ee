"""The current `RoutePlan` of a tenant, built from the stored rules of its filtered profiles and cached."""

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
    """Return the plan of a tenant whose lock is held; None if all its profiles have full access.

    The cache key holds the access and schema versions. Rules, schema, and the set of outdated channels change only
    together with one of them. Of the outdated channels, those that devices still hold only become fewer.
    """
    key = (locked.id, locked.access_version, locked.schema_version)
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    plan = build_plan([*rules_of_profiles(locked.id, locked.schema_version), *held_rules(locked.id)])
    # Only after commit: a rollback would let a later transaction reuse these versions.
    transaction.on_commit(partial(_keep, key, plan))
    return plan


def _keep(key: _Key, plan: RoutePlan | None) -> None:
    with _lock:
        _cache[key] = plan
        while len(_cache) > _SIZE:
            _cache.popitem(last=False)


def forget() -> None:
    """Clear the cache. For tests, whose rollbacks reuse versions."""
    with _lock:
        _cache.clear()
