"""A cache for counters: Redis, or this process's memory while Redis is down, so that signing in never fails."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

from sync import metrics

logger = structlog.get_logger(__name__)
RETRY_SECONDS = 5.0
"""How long to skip Redis after a failure, so that not every request waits for it."""
TIMEOUT_SECONDS = 1.0
_left_alone_until: dict[str, float] = {}


class RedisOrLocalCache(RedisCache):
    """A Redis cache that counts locally while Redis is down. Rate limits then apply per process."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        timeouts = {"socket_connect_timeout": TIMEOUT_SECONDS, "socket_timeout": TIMEOUT_SECONDS}
        super().__init__(server, {**params, "OPTIONS": {**timeouts, **params.get("OPTIONS", {})}})
        self._local = LocMemCache(server, {**params, "OPTIONS": {}})
        self._server = server

    def _either(self, name: str, shared: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= _left_alone_until.get(self._server, 0.0):
            try:
                return shared(*args, **kwargs)
            except (RedisError, OSError) as error:
                _left_alone_until[self._server] = time.monotonic() + RETRY_SECONDS
                logger.warning("cache_down", error=error, retry_seconds=RETRY_SECONDS)
        metrics.cache_fallbacks.inc()
        return getattr(self._local, name)(*args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        """Add a value; like all methods here, see Django's cache API."""
        return self._either("add", super().add, *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Read a value."""
        return self._either("get", super().get, *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        """Write a value."""
        return self._either("set", super().set, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> Any:
        """Extend a value's lifetime."""
        return self._either("touch", super().touch, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        """Delete a value."""
        return self._either("delete", super().delete, *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        """Read several values."""
        return self._either("get_many", super().get_many, *args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> Any:
        """Return whether the key has a value."""
        return self._either("has_key", super().has_key, *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> Any:
        """Increment a counter; raises ValueError if there is none."""
        return self._either("incr", super().incr, *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        """Write several values."""
        return self._either("set_many", super().set_many, *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        """Delete several values."""
        return self._either("delete_many", super().delete_many, *args, **kwargs)

    def clear(self) -> Any:
        """Delete everything."""
        return self._either("clear", super().clear)
