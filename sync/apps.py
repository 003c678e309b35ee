"""The sync app."""

from importlib import import_module

from django.apps import AppConfig


class SyncConfig(AppConfig):
    """See docs/architecture.md for what belongs here."""

    name = "sync"
    verbose_name = "Sync"

    def ready(self) -> None:
        """Connect the receivers; register the admin of profiles, which Django's autodiscovery does not find in a package."""
        import_module("sync.receivers")
        import_module("sync.admin.profiles")
