"""Definitions of object types. Admins edit drafts; `published` is the state that clients have."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction

from metadata.kinds import LABELS, Kind
from tenants.models import SecurityProfile, Tenant, profile_changed

RULES_WITH_FULL_ACCESS = (
    "A profile with full access can't have rules: they would have no effect. Turn off full access, or delete the rules."
)


class ObjectMetadata(models.Model):
    """An object type: a draft, and in `published` the state that clients have (None before the first publish).

    `retired` is the draft's intention, `retired_version` the fact. Once that is set, `published` only describes the
    kept table.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="object_types")
    object_name = models.CharField(max_length=40, help_text="Singular, for example job. Can’t change after publishing.")
    table_name = models.CharField(
        max_length=40,
        blank=True,
        help_text="Leave empty to derive it from the object name. Can’t change after publishing.",
    )
    label = models.CharField(max_length=80, blank=True)
    label_plural = models.CharField(max_length=80, blank=True)
    icon = models.CharField(max_length=40, blank=True)
    title_field = models.CharField(
        max_length=40, blank=True, help_text="Field shown as the record’s title in lists and pickers."
    )
    subtypes = models.JSONField(
        default=list,
        blank=True,
        help_text='Allowed values of object_type, such as [{"value": "job_residential", "label": "Residential"}]',
    )
    statuses = models.JSONField(
        default=list, blank=True, help_text='Allowed values of status, such as [{"value": "open", "label": "Open"}]'
    )
    conflict_policy = models.CharField(
        max_length=200,
        default="field_merge",
        help_text="last_write_wins, field_merge, server_wins, manual, or the dotted path of an allowed resolver class.",
    )
    published = models.JSONField(null=True, blank=True, editable=False)
    published_version = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    published_at = models.DateTimeField(null=True, blank=True, editable=False)
    retired_version = models.PositiveBigIntegerField(
        null=True, blank=True, editable=False, help_text="Schema version in which this type was retired from clients."
    )
    retired_fields = models.JSONField(
        default=list,
        blank=True,
        editable=False,
        help_text="Retired fields as they were last published. Their names can’t be reused.",
    )
    retired = models.BooleanField(
        default=False, help_text="Remove this object type from all clients at the next publish. Its table is kept."
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
    name = models.CharField(
        max_length=40, help_text="Use a–z, 0–9, and _, starting with a letter. Can’t change after publishing."
    )
    label = models.CharField(max_length=80, blank=True)
    kind = models.CharField(
        max_length=12, choices=[(kind.value, label) for kind, label in LABELS.items()], default=Kind.TEXT.value
    )
    required = models.BooleanField(default=False)
    unique = models.BooleanField(default=False)
    indexed = models.BooleanField(default=False)
    default = models.JSONField(null=True, blank=True)
    help_text = models.CharField(max_length=300, blank=True)
    choices = models.JSONField(
        default=list, blank=True, help_text='For choice fields, such as [{"value": "a", "label": "A"}]'
    )
    reference = models.ForeignKey(
        ObjectMetadata, null=True, blank=True, on_delete=models.PROTECT, related_name="referenced_by"
    )
    decimal_places = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="For decimal fields. Defaults to 2."
    )
    retired = models.BooleanField(
        default=False,
        help_text="Remove this field from all clients at the next publish. trim_columns drops its column later.",
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
    """One publish of a tenant: structured commands for clients, and the SQL that ran. Append-only."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="revisions")
    schema_version = models.PositiveBigIntegerField()
    commands = models.JSONField()
    plan = models.JSONField(help_text="The publish plan, one line per operation.")
    sql = models.JSONField(help_text="SQL statements that ran, in order.")
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
    """A profile's rule for one object type. Without a rule, an object type does not exist for a filtered profile."""

    profile = models.ForeignKey(SecurityProfile, on_delete=models.CASCADE, related_name="rules")
    object_name = models.CharField(max_length=40)
    can_read = models.BooleanField("read", default=True)
    can_create = models.BooleanField("create", default=False)
    can_update = models.BooleanField("update", default=False)
    can_delete = models.BooleanField("delete", default=False)
    readable_fields = models.JSONField(
        null=True,
        blank=True,
        help_text='For example ["title", "notes"]. Leave empty for all fields, including future ones.',
    )
    writable_fields = models.JSONField(
        null=True,
        blank=True,
        help_text='For example ["status", "notes"]. Can include status and object_type. '
        "Leave empty for all readable fields.",
    )
    row_filter = models.JSONField(
        default=dict,
        blank=True,
        help_text='For example {"technician": "$user.username"}, {"job.technician": "$membership.technician"}, '
        'or {"region": ["north", "west"]}. {} matches all records.',
    )
    subtypes = models.JSONField(
        default=list, blank=True, help_text='Only these subtypes, such as ["job_residential"]. Leave empty for all.'
    )
    statuses = models.JSONField(
        default=list, blank=True, help_text='Only these statuses, such as ["open"]. Leave empty for all.'
    )

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
        """Save, and increment the profile's revision in the same transaction. Bulk updates do not: never use them.

        Raises ValidationError for a new rule of a full-access profile, where it would have no effect.
        """
        if self._state.adding and self.profile.full_access:
            raise ValidationError(RULES_WITH_FULL_ACCESS)
        super().save(*args, **kwargs)
        profile_changed(self.profile_id)

    @transaction.atomic
    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete, and increment the profile's revision in the same transaction."""
        profile_id = self.profile_id
        done = super().delete(*args, **kwargs)
        profile_changed(profile_id)
        return done
