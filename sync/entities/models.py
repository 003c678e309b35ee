"""What SyncProtocol v1 stores: bodies of changes beside the log, clients' sides of conflicts, and where its devices are."""

from typing import ClassVar

from django.db import models

from sync.models import Conflict
from tenants.models import Device, Tenant


class EntityChange(models.Model):
    """What CBOR clients are given of one change of the log: the bytes as they were after it. Written by `sync.settle.stored_documents`."""

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
    """What a CBOR client wanted, in its own bytes, when its op ran into a conflict."""

    conflict = models.OneToOneField(Conflict, on_delete=models.CASCADE, primary_key=True, related_name="entity")
    op_type = models.CharField(max_length=10)
    entity_version = models.BigIntegerField()
    cbor = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"{self.conflict}: {self.op_type} v{self.entity_version}"


class PullState(models.Model):
    """Where a device is that pulls, and under which channel: see `sync.v1.pull_state`.

    Until it is past `floor` it is given records instead of the log; `paged` is how far it was led through them. It has
    confirmed all up to `confirmed`; nothing after `sent` was ever handed to it under this channel.
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
    """A record that a device may hold and that its channel no longer shows: it is told to delete it while it starts over.

    `cursor` is that of the record's last change the device was allowed to know of, `entity_version` what it had then.
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
    """What a tenant decided about this door."""

    class Unknown(models.TextChoices):
        REFUSE = "refuse", "Refuse the push"
        PUBLISH = "publish", "Publish an empty object type"

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True, related_name="v1")
    unknown_collections = models.CharField(
        max_length=10,
        choices=Unknown.choices,
        default=Unknown.REFUSE,
        help_text="A push into a collection that no object type has.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "SyncProtocol v1 settings"

    def __str__(self) -> str:
        return f"SyncProtocol v1 of {self.tenant}"
