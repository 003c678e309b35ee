"""The metadata app: definitions of object types, and the tables made of them."""

from django.apps import AppConfig


class MetadataConfig(AppConfig):
    """Object types, their fields and revisions; publishing them."""

    name = "metadata"
    verbose_name = "Object types"

    def ready(self) -> None:
        """Register the system checks."""
        from metadata import checks  # noqa: F401, PLC0415 - registering is all it is imported for, and models are not loaded before
