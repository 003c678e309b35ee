"""The metadata app."""

from django.apps import AppConfig


class MetadataConfig(AppConfig):
    """See docs/architecture.md for what belongs here."""

    name = "metadata"
    verbose_name = "Object types"
