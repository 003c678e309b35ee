"""The sync app."""

from importlib import import_module

from django.apps import AppConfig


class SyncConfig(AppConfig):
    """The sync engine: docs/architecture.md describes its packages."""

    name = "sync"
    verbose_name = "Sync"

    def ready(self) -> None:
        """Connect the receivers, and register the profile admin, which Django's autodiscovery does not find."""
        import_module("sync.receivers")
        import_module("sync.admin.profiles")
