"""The metadata app: definitions of object types, and the tables built from them."""

from importlib import import_module

from django.apps import AppConfig

from metadata import conf, limits


class MetadataConfig(AppConfig):
    """Object types, their fields and revisions, and publishing."""

    name = "metadata"
    verbose_name = "Object types"

    def ready(self) -> None:
        """Set the value limits, register the system checks, and connect the receivers."""
        limits.use_limits_from(conf.configured_limits)
        import_module("metadata.access_receivers")
        import_module("metadata.checks")
