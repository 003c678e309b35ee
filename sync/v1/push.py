"""The use-case of `POST /v1/push`: one push, one transaction."""

from collections.abc import Sequence

from django.db import transaction

from metadata.access_store import access_of
from metadata.catalog import schema_of
from metadata.definitions import DraftType, save_drafts
from metadata.names import object_name_problem, table_name_problem
from metadata.publish import publish
from sync.entities.models import TenantSettings
from sync.entities.ops import EntityOp, Pushed
from sync.settle import push
from sync.settle.entity import settle_entities
from sync.v1.conf import v1_settings
from sync.wire.ops import Actor
from tenants.errors import MoatError
from tenants.locks import tenant_transaction
from tenants.models import Tenant


def push_entities(actor: Actor, ops: Sequence[EntityOp]) -> Pushed:
    """Settle the ops of one push as a whole. They are durable when this returns.

    Raises `EntityRejected` for the op that cannot be applied, and `PushRejected` if the device may not write.
    """
    _publish_unknown(actor, {op.collection for op in ops})
    settings = v1_settings()
    with tenant_transaction(actor.tenant_id) as locked:
        pushed, batch = settle_entities(
            locked, actor, ops, field_merge=settings.v1_field_merge, room=settings.v1_page_bytes
        )
    transaction.on_commit(lambda: push.announce(batch))
    return pushed


def _publish_unknown(actor: Actor, collections: set[str]) -> None:
    """Publish an empty object type for each unknown collection, if the tenant allows it and the actor would see it."""
    tenant_id = actor.tenant_id
    tenant = Tenant.objects.get(pk=tenant_id)
    unknown = sorted(collections - set(schema_of(tenant_id, tenant.schema_version).by_table))
    if not unknown:
        return
    wanted = TenantSettings.objects.filter(pk=tenant_id).values_list("unknown_collections", flat=True).first()
    if wanted != TenantSettings.Unknown.PUBLISH or _is_limited(actor):
        return
    names = [name for name in unknown if not object_name_problem(name) and not table_name_problem(name)]
    for name in names:
        label = name.replace("_", " ").capitalize()
        try:
            save_drafts(tenant, [DraftType(name, label, label, (), table_name=name)])
            publish(tenant_id, [name])
        except MoatError:
            continue  # the name was retired or has a draft: settling rejects the push with the right message


def _is_limited(actor: Actor) -> bool:
    """Whether a profile hides anything from the actor. Settling the push rejects a non-member."""
    try:
        return actor.user_id is not None and access_of(actor.tenant_id, actor.user_id).filtered
    except MoatError:
        return True
