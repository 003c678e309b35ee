"""Keep `sync.v1` working in INSTALLED_APPS. Its models are now in `sync.entities`."""

from sync.entities.apps import SyncV1Config

__all__ = ["SyncV1Config"]
