"""The sync app."""

from django.apps import AppConfig


class SyncConfig(AppConfig):
    """See docs/architecture.md for what belongs here."""

    name = "sync"
    verbose_name = "Sync"
