"""The tenants app: tenants, their users and devices, and the per-tenant counters."""

from importlib import import_module

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Tenants, memberships, security profiles, and devices."""

    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        """Connect the receivers."""
        import_module("tenants.receivers")
