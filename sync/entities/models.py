"""Models of SyncProtocol v1: documents of changes, clients' versions in conflicts, and the pull state of devices."""

from typing import ClassVar

from django.db import models

from sync.models import Conflict
from tenants.models import Device, Tenant


class EntityChange(models.Model):
    """A record's document after one change of the log, as CBOR clients receive it.

    `sync.settle.stored_documents` writes it.
    """

    pk = models.CompositePrimaryKey("tenant_id", "cursor")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False, related_name="+")
    cursor = models.BigIntegerField()
    table_name = models.CharField(max_length=40)
    record_id = models.CharField(max_length=128)
    entity_version = models.BigIntegerField()
    timestamp_ms = models.BigIntegerField(null=True)
    cbor = models.BinaryField(null=True)

    class Meta:
        db_table = "v1_changes"
        indexes: ClassVar = [
            models.Index(fields=["tenant", "table_name", "record_id", "cursor"], name="v1_changes_record")
        ]

    def __str__(self) -> str:
        return f"{self.table_name}/{self.record_id} v{self.entity_version} @{self.cursor}"


class EntityConflict(models.Model):
    """A CBOR client's op that is in conflict, with the client's own bytes."""

    conflict = models.OneToOneField(Conflict, on_delete=models.CASCADE, primary_key=True, related_name="entity")
    op_type = models.CharField(max_length=10)
    entity_version = models.BigIntegerField()
    cbor = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"{self.conflict}: {self.op_type} v{self.entity_version}"


class PullState(models.Model):
    """The pull position of a device and its channel. See `sync.v1.pull_state`.

    `floor`: end of the backfill; up to it the device receives records instead of the log. `paged`: backfill cursor.
    `confirmed`: acknowledged cursor. `sent`: the highest cursor that was sent under this channel.
    """

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="v1")
    channel = models.CharField(max_length=64, default="", db_index=True)
    floor = models.BigIntegerField(default=0)
    confirmed = models.BigIntegerField(default=0)
    sent = models.BigIntegerField(default=0)
    paged = models.BigIntegerField(default=0)

    class Meta:
        db_table = "sync_v1_devicestate"

    def __str__(self) -> str:
        return f"{self.device_id} of {self.channel}"


class LostRecord(models.Model):
    """A record that a device may hold but its channel no longer shows. A restarting device must delete it.

    `cursor` is that of the record's last change that the device could see; `entity_version` is its version then.
    """

    pk = models.CompositePrimaryKey("device_id", "cursor")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, db_index=False, related_name="+")
    cursor = models.BigIntegerField()
    table_name = models.CharField(max_length=40)
    record_id = models.CharField(max_length=128)
    entity_version = models.BigIntegerField()

    class Meta:
        db_table = "v1_lost"

    def __str__(self) -> str:
        return f"{self.table_name}/{self.record_id} @{self.cursor}"


class TenantSettings(models.Model):
    """A tenant's settings for SyncProtocol v1."""

    class Unknown(models.TextChoices):
        REFUSE = "refuse", "Reject the push"
        PUBLISH = "publish", "Publish an empty object type"

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True, related_name="v1")
    unknown_collections = models.CharField(
        max_length=10,
        choices=Unknown.choices,
        default=Unknown.REFUSE,
        help_text="What to do when a push names a collection without a published object type.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "SyncProtocol v1 settings"

    def __str__(self) -> str:
        return f"SyncProtocol v1 settings for {self.tenant}"
