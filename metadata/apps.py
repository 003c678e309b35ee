"""The metadata app: definitions of object types, and the tables made of them."""

from importlib import import_module

from django.apps import AppConfig


class MetadataConfig(AppConfig):
    """Object types, their fields and revisions; publishing them."""

    name = "metadata"
    verbose_name = "Object types"

    def ready(self) -> None:
        """Register the system checks and connect the receivers."""
        import_module("metadata.access_receivers")
        import_module("metadata.checks")
