"""Definitions of object types. What an admin edits is a draft; `published` is what the world has."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models, transaction

from metadata.kinds import LABELS, Kind
from tenants.models import SecurityProfile, Tenant, profile_changed


class ObjectMetadata(models.Model):
    """An object type: a draft an admin edits, and in `published` the state that clients have (None before the first publish).

    `retired` is the draft's wish, `retired_version` the fact: once it is set, `published` is only what the kept table looks like.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="object_types")
    object_name = models.CharField(max_length=40, help_text="Singular, e.g. job. Fixed once published.")
    table_name = models.CharField(
        max_length=40, blank=True, help_text="Proposed from the object name when left empty. Fixed once published."
    )
    label = models.CharField(max_length=80, blank=True)
    label_plural = models.CharField(max_length=80, blank=True)
    icon = models.CharField(max_length=40, blank=True)
    title_field = models.CharField(
        max_length=40, blank=True, help_text="The field that names a record in lists and pickers."
    )
    subtypes = models.JSONField(
        default=list,
        blank=True,
        help_text='Values of object_type: [{"value": "job_residential", "label": "Residential"}]',
    )
    statuses = models.JSONField(
        default=list, blank=True, help_text='Values of status: [{"value": "open", "label": "Open"}]'
    )
    conflict_policy = models.CharField(
        max_length=200,
        default="field_merge",
        help_text="last_write_wins, field_merge, server_wins, manual, or the dotted path of a resolver class.",
    )
    published = models.JSONField(null=True, blank=True, editable=False)
    published_version = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    published_at = models.DateTimeField(null=True, blank=True, editable=False)
    retired_version = models.PositiveBigIntegerField(
        null=True, blank=True, editable=False, help_text="The schema version that took it away from the clients."
    )
    retired_fields = models.JSONField(
        default=list,
        blank=True,
        editable=False,
        help_text="Published fields taken away since, as they were; their names are never used again.",
    )
    retired = models.BooleanField(
        default=False, help_text="Take this object type away from all clients at the next publish. Its table is kept."
    )

    class Meta:
        db_table = "object_metadata"
        ordering: ClassVar = ["tenant", "object_name"]
        verbose_name = "object type"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "object_name"], name="object_name_per_tenant")
        ]
        permissions: ClassVar = [("publish_objectmetadata", "Can publish object types")]

    def __str__(self) -> str:
        return self.label or self.object_name


class ObjectField(models.Model):
    """A field of an object type's draft."""

    object_type = models.ForeignKey(ObjectMetadata, on_delete=models.CASCADE, related_name="fields")
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=40, help_text="a-z, 0-9 and _, starting with a letter. Fixed once published.")
    label = models.CharField(max_length=80, blank=True)
    kind = models.CharField(
        max_length=12, choices=[(kind.value, label) for kind, label in LABELS.items()], default=Kind.TEXT.value
    )
    required = models.BooleanField(default=False)
    unique = models.BooleanField(default=False)
    indexed = models.BooleanField(default=False)
    default = models.JSONField(null=True, blank=True)
    help_text = models.CharField(max_length=300, blank=True)
    choices = models.JSONField(default=list, blank=True, help_text='For kind choice: [{"value": "a", "label": "A"}]')
    reference = models.ForeignKey(
        ObjectMetadata, null=True, blank=True, on_delete=models.PROTECT, related_name="referenced_by"
    )
    decimal_places = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="For kind decimal; 2 when left empty."
    )
    retired = models.BooleanField(
        default=False,
        help_text="Take this field away from all clients at the next publish. Its column is kept until trimmed.",
    )

    class Meta:
        db_table = "object_field"
        ordering: ClassVar = ["object_type", "position", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["object_type", "name"], name="field_name_per_object_type")
        ]

    def __str__(self) -> str:
        return self.name


class SchemaRevision(models.Model):
    """One publish of a tenant: what was run, as structured commands for clients and as SQL for the record. Append-only."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="revisions")
    schema_version = models.PositiveBigIntegerField()
    commands = models.JSONField()
    plan = models.JSONField(help_text="The plan in words, one line per operation.")
    sql = models.JSONField(help_text="The statements that ran, in order.")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "schema_revision"
        ordering: ClassVar = ["tenant", "-schema_version"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "schema_version"], name="one_revision_per_version")
        ]

    def __str__(self) -> str:
        return f"{self.tenant} v{self.schema_version}"


class AccessRule(models.Model):
    """A profile's rule for one object type. Without one, a profile that lacks full access does not know the object type."""

    profile = models.ForeignKey(SecurityProfile, on_delete=models.CASCADE, related_name="rules")
    object_name = models.CharField(max_length=40)
    can_read = models.BooleanField("read", default=True)
    can_create = models.BooleanField("create", default=False)
    can_update = models.BooleanField("update", default=False)
    can_delete = models.BooleanField("delete", default=False)
    readable_fields = models.JSONField(
        null=True, blank=True, help_text='["title", "notes"]; empty: every field, also those yet to come.'
    )
    writable_fields = models.JSONField(
        null=True,
        blank=True,
        help_text='["status", "notes"]; may name status and object_type; empty: every readable one.',
    )
    row_filter = models.JSONField(
        default=dict,
        blank=True,
        help_text='{"technician": "$user.username"}, {"job.technician": "$membership.technician"}, {"region": ["north", "west"]}; {}: all.',
    )
    subtypes = models.JSONField(
        default=list, blank=True, help_text='Only these subtypes: ["job_residential"]; empty: all.'
    )
    statuses = models.JSONField(default=list, blank=True, help_text='Only these statuses: ["open"]; empty: all.')

    class Meta:
        db_table = "access_rule"
        ordering: ClassVar = ["profile", "object_name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["profile", "object_name"], name="rule_per_object_type")
        ]

    def __str__(self) -> str:
        return self.object_name

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and raise the profile's revision in the same transaction. Bulk updates do not: never use them here."""
        super().save(*args, **kwargs)
        profile_changed(self.profile_id)

    @transaction.atomic
    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete, and raise the profile's revision in the same transaction."""
        profile_id = self.profile_id
        done = super().delete(*args, **kwargs)
        profile_changed(profile_id)
        return done
