"""The page that resolves a conflict: both values side by side, with a choice per field."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from sync.admin.conflicts import visible_conflicts
from sync.admin.record_access import TableContext, page, with_table
from sync.admin.record_cells import shown
from sync.admin.record_list import label_of
from sync.models import Conflict
from sync.settle.push import resolve_conflict
from tenants.errors import MoatError


@dataclass(frozen=True, slots=True)
class FieldComparison:
    """One field of a conflict, in both versions."""

    name: str
    label: str
    base: str
    mine: str
    theirs: str


@with_table
def record_conflict(
    request: HttpRequest, context: TableContext, record_id: str, conflict_id: uuid.UUID
) -> HttpResponseBase:
    """Show both versions. A POST resolves: `mine`, `theirs`, or `edit` with a choice per field."""
    record_id = unquote(record_id)
    visible = Conflict.objects.filter(visible_conflicts(request), tenant=context.tenant)
    conflict = visible.filter(pk=conflict_id, table_name=context.spec.table_name, record_id=record_id).first()
    if conflict is None:
        raise Http404("Conflict not found.")
    if request.method == "POST" and conflict.state == Conflict.State.OPEN:
        return _settle(request, context, conflict)
    return page(
        request,
        "conflict.html",
        context,
        title="Someone else changed this too",
        conflict=conflict,
        sides=list(_sides(context, conflict)),
        per_field=conflict.mine is not None and conflict.theirs is not None,
        record_title=_title(context, conflict),
        change_url=context.url("change", record_id),
        open=conflict.state == Conflict.State.OPEN,
    )


def _settle(request: HttpRequest, context: TableContext, conflict: Conflict) -> HttpResponseBase:
    resolution, values = _choice(request, conflict)
    try:
        result = resolve_conflict(conflict.pk, resolution, request.user.get_username(), values=values)
        problem = None if result.accepted else result.message
    except MoatError as error:
        problem = error.message
    if problem:
        messages.error(request, problem)
        return HttpResponseRedirect(request.get_full_path())
    messages.success(
        request,
        {"mine": "Kept your version.", "theirs": "Kept their version."}.get(resolution, "Your choices were saved."),
    )
    return HttpResponseRedirect(context.url("list"))


def _choice(request: HttpRequest, conflict: Conflict) -> tuple[str, dict[str, Any] | None]:
    """Return the choice from one button for all, or one radio button per field."""
    if whole := next((side for side in ("mine", "theirs") if f"_{side}" in request.POST), None):
        return whole, None
    picked = {name: request.POST.get(f"f.{name}", "theirs") for name in conflict.fields}
    if len(set(picked.values())) == 1:
        return next(iter(picked.values())), None
    return "edit", {name: _value(conflict, name, side) for name, side in picked.items()}


def _value(conflict: Conflict, name: str, side: str) -> Any:
    values = conflict.mine if side == "mine" else conflict.theirs
    return (values or {}).get(name)


def _sides(context: TableContext, conflict: Conflict) -> Iterator[FieldComparison]:
    for name in conflict.fields:
        base, mine, theirs = (
            "(deleted)" if side is None else shown(context.spec, name, side.get(name))
            for side in (conflict.base or {}, conflict.mine, conflict.theirs)
        )
        yield FieldComparison(name, label_of(context.spec, name), base, mine, theirs)


def _title(context: TableContext, conflict: Conflict) -> str:
    values = conflict.theirs or conflict.mine or {}
    return str(values.get(context.spec.title_field) or conflict.record_id)
