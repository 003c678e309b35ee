"""The Django app of SyncProtocol v1's tables."""

from django.apps import AppConfig


class SyncV1Config(AppConfig):
    """The app has its own label, `sync_v1`, so that its migrations are separate from those of `sync`."""

    name = "sync.entities"
    label = "sync_v1"
    verbose_name = "SyncProtocol v1"
