"""The conflict inbox. Members see their own conflicts, tenant admins also those of the records they can see."""

import uuid
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from sync.errors import SyncError
from sync.models import Conflict
from sync.settle import conflict_view, guard, push
from sync.settle.inbox import conflicts_for
from sync.transports.rest.auth import Caller, InTenant, caller_of
from sync.transports.rest.conf import rest_settings
from sync.transports.rest.describe import described, ref
from sync.transports.rest.errors import RestCode, RestError
from sync.transports.rest.listing import limit_of
from sync.transports.rest.parsers import body_object
from sync.transports.rest.quantized import QuantizedView
from sync.transports.rest.reading import TenantView, seen_record, view_of_caller
from sync.transports.rest.writing import accepted, result_json
from sync.wire.codes import Code
from sync.wire.lines import wire_time


class ConflictsView(QuantizedView):
    """Conflicts, newest first."""

    permission_classes = (InTenant,)

    @described(
        "list_conflicts", "conflicts", 200, ref("Conflicts"), errors=(400, 401), query=["state", "cursor", "limit"]
    )
    def get(self, request: Request) -> Response:
        """Return open conflicts, or `?state=settled` ones; `next` is the cursor of the next page."""
        state = request.query_params.get("state", Conflict.State.OPEN)
        if state not in Conflict.State.values:
            raise RestError(
                RestCode.BAD_FILTER, f"state must be one of {', '.join(Conflict.State.values)}.", field="state"
            )
        limit = limit_of(request.query_params.get("limit", ""), rest_settings())
        caller = caller_of(request)
        visible, tenant_view = _visible(caller), view_of_caller(caller)
        rows = visible.filter(state=state).filter(_after(visible, request.query_params.get("cursor", "")))
        found = list(rows.order_by("-created_at", "-id")[: limit + 1])
        return Response(
            {
                "results": [_shown(c, tenant_view) for c in found[:limit]],
                "next": str(found[limit - 1].pk) if len(found) > limit else None,
            }
        )


class ConflictView(QuantizedView):
    """One conflict."""

    permission_classes = (InTenant,)

    @described("read_conflict", "conflicts", 200, ref("Conflict"), errors=(401, 404))
    def get(self, request: Request, conflict_id: str) -> Response:
        """Return both versions and who wrote them."""
        caller = caller_of(request)
        return Response(_shown(_one(caller, conflict_id), view_of_caller(caller)))


class ResolveView(QuantizedView):
    """Resolves a conflict."""

    permission_classes = (InTenant,)

    @described(
        "resolve_conflict", "conflicts", 200, ref("Conflict"), errors=(400, 401, 404, 409), body=ref("Resolution")
    )
    def post(self, request: Request, conflict_id: str) -> Response:
        """Resolve the conflict.

        `mine` writes the device's values, `theirs` changes nothing, and `edit` writes `values` on top of `mine`.
        """
        caller = caller_of(request)
        conflict = _one(caller, conflict_id)
        body = body_object(request)
        resolution, values = body.get("resolution"), body.get("values")
        if resolution not in ("mine", "theirs", "edit"):
            raise RestError(RestCode.BAD_REQUEST, "resolution must be mine, theirs, or edit.", field="resolution")
        if (resolution == "edit") != isinstance(values, dict) or (resolution != "edit" and values is not None):
            raise RestError(
                RestCode.BAD_REQUEST,
                "values (an object of fields) is required for edit and not allowed otherwise.",
                field="values",
            )
        result = accepted(
            push.resolve_conflict(conflict.pk, resolution, caller.username, values, user_id=caller.actor.user_id)
        )
        conflict.refresh_from_db()
        return Response({**_shown(conflict, view_of_caller(caller)), "result": result_json(result)})


def _visible(caller: Caller) -> "QuerySet[Conflict]":
    return Conflict.objects.filter(conflicts_for(caller.access, caller.username, caller.role))


def _one(caller: Caller, conflict_id: str) -> Conflict:
    """Return a conflict the caller may see. Hidden and missing ones get one error."""
    key = _key(conflict_id)
    found = _visible(caller).filter(pk=key).first() if key else None
    if found is None:
        raise SyncError(Code.UNKNOWN_CONFLICT, "Conflict not found.")
    return found


def _key(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _after(visible: "QuerySet[Conflict]", cursor: str) -> Q:
    if not cursor:
        return Q()
    last = visible.filter(pk=_key(cursor) or uuid.UUID(int=0)).first()
    if last is None:
        raise RestError(RestCode.BAD_CURSOR, "The page cursor is not valid. Start from the first page.", field="cursor")
    return Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, id__lt=last.pk)


def _shown(conflict: Conflict, tenant_view: TenantView) -> dict[str, Any]:
    spec = tenant_view.schema.by_table.get(conflict.table_name)
    visible = not tenant_view.channel.filtered or (
        spec is not None and seen_record(tenant_view, spec, conflict.record_id) is not None
    )
    seen = guard.readable_view(conflict_view(conflict), tenant_view.channel.rules, conflict.table_name, visible=visible)
    names = (
        "op",
        "base_version",
        "server_version",
        "by",
        "theirs_by",
        "state",
        "resolution",
        "settled_by",
    )
    times = {name: getattr(conflict, name) for name in ("theirs_at", "created_at", "settled_at")}
    return {
        "id": str(conflict.pk),
        "table": conflict.table_name,
        "record_id": conflict.record_id,
        "device": conflict.device_id,
        **{name: getattr(conflict, name) for name in names},
        **{
            "fields": list(seen.fields),
            "base": seen.base,
            "mine": seen.mine,
            "theirs": seen.theirs,
            "theirs_by": seen.by,
        },
        **{name: None if value is None else wire_time(value) for name, value in times.items()},
    }
