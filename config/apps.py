"""Which admin site Django uses."""

from django.contrib.admin.apps import AdminConfig


class MoatAdminConfig(AdminConfig):
    """The admin with records of published object types in it."""

    default_site = "sync.admin.site.MoatAdminSite"
