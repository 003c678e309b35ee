"""Keep `sync.v1` working in INSTALLED_APPS; the models it stored are in `sync.entities` now."""

from sync.entities.apps import SyncV1Config

__all__ = ["SyncV1Config"]
