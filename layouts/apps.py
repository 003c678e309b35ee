"""The layouts app."""

from django.apps import AppConfig


class LayoutsConfig(AppConfig):
    """See docs/architecture.md for what belongs here."""

    name = "layouts"
    verbose_name = "Layouts"
