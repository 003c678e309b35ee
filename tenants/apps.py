"""The tenants app: who is who, and the per-tenant counters."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Tenants, memberships, security profiles and devices."""

    name = "tenants"
    verbose_name = "Tenants"
