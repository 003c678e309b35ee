"""The admin site that Django uses."""

from django.contrib.admin.apps import AdminConfig


class MoatAdminConfig(AdminConfig):
    """The admin site that includes the records of published object types."""

    default_site = "sync.admin.site.MoatAdminSite"
