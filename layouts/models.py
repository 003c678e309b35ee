"""Layouts of records, bound to an object type, a subtype, and a status."""

import uuid
from typing import ClassVar

from django.db import models

from tenants.models import Tenant

ANY = "*"


class LayoutDefinition(models.Model):
    """A layout in the JSON Forms UI schema vocabulary. Saving one updates every client right away."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="layouts")
    label = models.CharField(max_length=80, blank=True)
    object_name = models.CharField(max_length=40)
    object_type = models.CharField(
        max_length=80, default=ANY, help_text="Subtype this layout applies to, or * for any."
    )
    status = models.CharField(max_length=80, default=ANY, help_text="Status this layout applies to, or * for any.")
    layout_json = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "layout_definition"
        ordering: ClassVar = ["tenant", "object_name", "object_type", "status"]
        verbose_name = "layout"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "object_name", "object_type", "status"], name="one_layout_per_binding"
            ),
        ]

    def __str__(self) -> str:
        return self.label or f"{self.object_name} / {self.object_type} / {self.status}"
