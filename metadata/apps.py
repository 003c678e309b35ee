"""The metadata app: definitions of object types, and the tables made of them."""

from django.apps import AppConfig


class MetadataConfig(AppConfig):
    """Object types, their fields and revisions; publishing them."""

    name = "metadata"
    verbose_name = "Object types"

    def ready(self) -> None:
        """Register the system checks and connect the receivers."""
        from metadata import access_receivers, checks  # noqa: F401, PLC0415 - registering is all they are imported for, and models are not loaded before
