"""The use case that publishes drafts: tables, revision, schema_version, and change lines, in one transaction."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from metadata import ddl
from metadata.conf import allowed_resolvers
from metadata.drafts import drafts_of
from metadata.errors import DdlFailed
from metadata.fieldtypes import canonical_json, json_schema_of
from metadata.models import ObjectMetadata, SchemaRevision
from metadata.operations import Command
from metadata.plan import Change, Plan, make_plan
from metadata.preconditions import unmet
from metadata.schema import ObjectSpec
from metadata.signals import object_types_published
from tenants.errors import MoatError, Problem, ValidationFailed
from tenants.locks import LockedTenant, tenant_transaction
from tenants.rows import read_tenant

_ATTEMPTS = 4
_PAUSE = 0.25  # seconds, doubled with every attempt

MAX_RECORD = 524_288
"""Maximum bytes of canonical JSON in the definition of one object type."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publish did, or with `dry_run` would do.

    If there is nothing to do, `plan` is empty and `schema_version` unchanged.
    """

    schema_version: int
    plan: list[str]
    sql: list[str]
    commands: list[Command]


def publish(
    tenant_id: int,
    object_names: Iterable[str] | None = None,
    *,
    by: User | None = None,
    dry_run: bool = False,
) -> Publication:
    """Publish the drafts of some object types of a tenant, or of all. `dry_run` only plans and checks.

    Raises `ValidationFailed` with every problem found, `DdlFailed` if the database rejects a statement,
    `MoatError("unknown_tenant")`.
    """
    names = None if object_names is None else list(object_names)
    if dry_run:
        return _rehearse(tenant_id, names)
    for attempt in range(_ATTEMPTS):
        try:
            with tenant_transaction(tenant_id) as locked:
                return _perform(locked, names, by)
        except DdlFailed as failed:
            # Never retry inside a caller's transaction: it is already broken.
            if failed.code != "busy" or attempt == _ATTEMPTS - 1 or connection.in_atomic_block:
                raise
        time.sleep(_PAUSE * 2**attempt)
    raise DdlFailed("busy", "The tables couldn’t be locked. Try again.")


def _rehearse(tenant_id: int, names: list[str] | None) -> Publication:
    with transaction.atomic():
        tenant = read_tenant(tenant_id)
        if tenant is None:
            raise MoatError("unknown_tenant", "Unknown tenant.")
        version, plan = tenant.schema_version, _checked_plan(tenant_id, names)
        return _publication(version + 1 if plan.changes else version, plan, tenant_id)


def _perform(locked: LockedTenant, names: list[str] | None, by: User | None) -> Publication:
    plan = _checked_plan(locked.id, names)
    if not plan.changes:
        return _publication(locked.schema_version, plan, locked.id)
    done = _publication(locked.schema_version + 1, plan, locked.id)
    ddl.execute(done.sql)
    locked.schema_version = done.schema_version
    SchemaRevision.objects.create(
        tenant_id=locked.id,
        schema_version=done.schema_version,
        commands=done.commands,
        plan=done.plan,
        sql=done.sql,
        by=by,
    )
    records = [(name, _record(old), _record(new)) for name, old, new in plan.changes]
    for change in plan.changes:
        _mark_published(locked, change)
    object_types_published.send(
        ObjectMetadata, locked=locked, changes=records, by=by.get_username() if by else "system"
    )
    return done


def _checked_plan(tenant_id: int, names: list[str] | None) -> Plan:
    plan = make_plan(drafts_of(tenant_id), names, importable=importable)
    problems = list(plan.problems) or _oversized(plan) or unmet(tenant_id, plan.checks)
    if problems:
        raise ValidationFailed(problems)
    return plan


def importable(path: str) -> bool:
    """Return whether a dotted path is a resolver that this installation allows (`MOAT["RESOLVERS"]`) and can import."""
    if path not in allowed_resolvers():
        return False
    try:
        return callable(import_string(path))
    except Exception:  # importing runs the module, which can raise anything
        return False


def _oversized(plan: Plan) -> list[Problem]:
    # Every client receives the whole record in one change line.
    sizes = {name: len(canonical_json(_record(new))) for name, _, new in plan.changes if new is not None}
    message = f"The definition exceeds {MAX_RECORD:,} bytes. Shorten choices, help texts, or defaults."
    return [Problem(name, "too_large", message) for name, size in sizes.items() if size > MAX_RECORD]


def _publication(version: int, plan: Plan, tenant_id: int) -> Publication:
    commands = [command for operation in plan.operations if (command := operation.command()) is not None]
    words = [operation.words() for operation in plan.operations]
    return Publication(version, words, ddl.render(tenant_id, plan.operations), commands)


def _record(spec: ObjectSpec | None) -> dict[str, Any] | None:
    return None if spec is None else spec.record(json_schema_of(spec))


def _mark_published(locked: LockedTenant, change: Change) -> None:
    name, old, new = change
    row = ObjectMetadata.objects.get(tenant_id=locked.id, object_name=name)
    if new is None:
        row.retired_version = locked.schema_version
    else:
        row.published = {"object_name": name, **(_record(new) or {})}
        row.published_version = locked.schema_version
        row.published_at = timezone.now()
        row.table_name = new.table_name
        lost = [field.record() for field in (old.fields if old else ()) if field.name not in new.by_name]
        row.retired_fields = [*row.retired_fields, *lost]
    row.save(
        update_fields=[
            "retired_version",
            "published",
            "published_version",
            "published_at",
            "table_name",
            "retired_fields",
        ]
    )
