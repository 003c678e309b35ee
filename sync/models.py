"""Models of the log, conflicts, channels, and snapshots. Type tables are created at run time (see `metadata.ddl`)."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from tenants.models import Device, SecurityProfile, Tenant


class Change(models.Model):
    """One entry of the log. `line` holds the exact bytes that were hashed and sent. The other columns only index it.

    Only `sync.log.changes` writes it, with prepared statements, under the tenant lock.
    """

    pk = models.CompositePrimaryKey("tenant_id", "cursor")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False, related_name="+")
    cursor = models.BigIntegerField()
    schema_version = models.PositiveBigIntegerField()
    table_name = models.CharField(max_length=40)
    record_id = models.CharField(max_length=128)
    version = models.BigIntegerField()
    device_id = models.CharField(max_length=40, null=True)
    op_id = models.BigIntegerField(null=True)
    at = models.DateTimeField()
    previous = models.BigIntegerField(null=True, help_text="Cursor of the record’s previous change.")
    line = models.BinaryField()
    state_hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "changes"
        # No index by record: a record has the cursor of its last change, and each change that of the previous one. This
        # saves the hot path one random index page per op.
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["device_id", "op_id"], condition=models.Q(device_id__isnull=False), name="changes_device_op"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.table_name}/{self.record_id} v{self.version} @{self.cursor}"


class SystemRecord(models.Model):
    """A record of `object_metadata` or `layout_definition` as clients have it. Deleted records stay as tombstones."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    table_name = models.CharField(max_length=40)
    record_id = models.CharField(max_length=128)
    version = models.BigIntegerField()
    cursor = models.BigIntegerField()
    deleted = models.BooleanField(default=False)
    data = models.JSONField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "table_name", "record_id"], name="system_record_key")
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "cursor"], name="system_record_cursor")]

    def __str__(self) -> str:
        return f"{self.table_name}/{self.record_id} v{self.version}"


class Conflict(models.Model):
    """A conflict: the op was not applied, and both versions are kept until a user or a policy resolves it."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        SETTLED = "settled", "Resolved"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="conflicts")
    table_name = models.CharField(max_length=40)
    record_id = models.CharField(max_length=128)
    op = models.CharField(max_length=10)
    fields = models.JSONField(default=list, help_text="Fields that both sides changed.")
    base = models.JSONField(null=True, help_text="Values both sides started from; null if the log has been pruned.")
    mine = models.JSONField(null=True, help_text="The device’s values; null if it deleted the record.")
    theirs = models.JSONField(null=True, help_text="The server’s values; null if the record was deleted.")
    base_version = models.BigIntegerField()
    server_version = models.BigIntegerField()
    device_id = models.CharField(max_length=40, null=True)
    op_id = models.BigIntegerField(null=True)
    tx = models.CharField(max_length=64, null=True)
    by = models.CharField(max_length=150, help_text="User who made the edit.")
    theirs_by = models.CharField(max_length=150, blank=True, help_text="User who made the server’s latest change.")
    theirs_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    resolution = models.CharField(
        max_length=20, blank=True, help_text="mine, theirs, edit, or the policy that resolved it."
    )
    settled_by = models.CharField(max_length=150, blank=True)
    settled_at = models.DateTimeField(null=True)
    told_device = models.BooleanField(default=False, help_text="The device has been notified of the resolution.")

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [models.Index(fields=["tenant", "state", "-created_at"], name="conflict_inbox")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["device_id", "op_id"], condition=models.Q(device_id__isnull=False), name="conflict_device_op"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.table_name}/{self.record_id}: {', '.join(self.fields) or self.op}"


class PrunedOps(models.Model):
    """A span of a device's accepted op_ids whose changes were pruned. Sent again, the ops are still duplicates."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, db_index=False, related_name="+")
    low = models.BigIntegerField()
    high = models.BigIntegerField()
    cursor = models.BigIntegerField(help_text="Pruning cursor when this span was last extended.")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["device", "low"], name="pruned_ops_key")]

    def __str__(self) -> str:
        return f"{self.device_id} {self.low}-{self.high}"


class Channel(models.Model):
    """A filtered channel: tenant, revision of the security profile, and resolved parameters. Equal keys, same stream.

    `rules` are the resolved rules. They never change; a new revision is a new channel. The chain starts at
    `born_cursor` with the channel's genesis (docs/spec/channels.md). Unfiltered channels have no row.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="channels")
    key = models.CharField(max_length=64)
    profile = models.ForeignKey(SecurityProfile, null=True, on_delete=models.SET_NULL, related_name="channels")
    profile_revision = models.PositiveIntegerField(default=1)
    parameters = models.JSONField(default=dict)
    rules = models.JSONField(default=list)
    born_cursor = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["tenant", "profile", "id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "key"], name="channel_key_per_tenant")]

    def __str__(self) -> str:
        return self.key


class ChannelCheckpoint(models.Model):
    """The chain of a filtered channel at a cursor, so that it need not be computed from the channel's first line."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="checkpoints")
    cursor = models.BigIntegerField()
    state_hash = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["channel", "cursor"], name="one_checkpoint_per_cursor")
        ]

    def __str__(self) -> str:
        return f"{self.channel_id}@{self.cursor}"


class ChangeSide(models.Model):
    """The side of a change, for tenants with filtered profiles: see `sync.channels.projection.Side`."""

    pk = models.CompositePrimaryKey("tenant_id", "cursor")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False, related_name="+")
    cursor = models.BigIntegerField()
    side = models.TextField()

    class Meta:
        db_table = "change_side"

    def __str__(self) -> str:
        return f"@{self.cursor}"


class ChangeRoute(models.Model):
    """The index that finds a channel's changes without reading any others: see `sync.channels.routing`."""

    pk = models.CompositePrimaryKey("tenant_id", "route", "cursor")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False, related_name="+")
    route = models.BigIntegerField()
    cursor = models.BigIntegerField()

    class Meta:
        # No index on (tenant, cursor): the query planner could use it for catch-up and read other channels' changes.
        db_table = "change_route"

    def __str__(self) -> str:
        return f"{self.route}@{self.cursor}"


class Snapshot(models.Model):
    """A ready replica file of a channel at a cursor, in gzipped parts under MOAT_DATA_DIR. Immutable."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="snapshots")
    channel = models.CharField(max_length=64)
    cursor = models.BigIntegerField()
    schema_version = models.PositiveBigIntegerField()
    manifest = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["tenant", "channel", "-cursor"], name="snapshot_newest")]

    def __str__(self) -> str:
        return f"{self.channel}@{self.cursor}"
