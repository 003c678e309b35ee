"""Browse and edit records of any published object type in the admin. Every write is an op through the engine, so that
clients see it at once and an edit of something stale is a conflict, not a loss."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.html import format_html

from metadata.catalog import schema_of
from sync.admin.record_access import TableContext, page, tenant_of, with_table
from sync.admin.record_cells import cell
from sync.admin.record_forms import BASE_VERSION, RecordForm, defaults_of, form_for, initial_of
from sync.admin.record_history import history
from sync.admin.record_list import Listing, reference_titles, title_of
from sync.records.rows import Row, records
from sync.settle.push import push
from sync.wire.ops import Op, OpResult
from tenants.scoping import visible_tenants

MOST_SELECTED = 1000


def tenant_index(request: HttpRequest, slug: str | None = None) -> HttpResponseBase:
    """List the object types of one tenant, or of every tenant the user administers."""
    tenants = [tenant_of(request, slug)] if slug else list(visible_tenants(request)[:200])
    sections = [(tenant, schema_of(tenant.pk, tenant.schema_version).objects) for tenant in tenants]
    return page(request, "index.html", None, title="Records", sections=sections, only=tenants[0] if slug else None)


@with_table
def record_list(request: HttpRequest, place: TableContext) -> HttpResponseBase:
    """Browse, search, filter and sort; a POST asks to delete the ticked records."""
    if request.method == "POST":
        return _delete_selected(request, place)
    listing = Listing(place.tenant.pk, place.spec, request.GET)
    titles = reference_titles(place.tenant.pk, place.schema, place.spec, listing.rows)
    rows = [
        (
            row.id,
            place.url("change", row.id),
            [cell(place.tenant.slug, place.spec, row, name, titles) for name in listing.columns],
        )
        for row in listing.rows
    ]
    for problem in listing.problems:
        messages.warning(request, problem)
    return page(
        request,
        "list.html",
        place,
        title=f"Select {_name(place)} to change",
        listing=listing,
        rows=rows,
        pages=_page_links(listing),
    )


@with_table
def record_add(request: HttpRequest, place: TableContext) -> HttpResponseBase:
    """Add a record."""
    form_class = form_for(place.spec, place.tenant.slug)
    if request.method != "POST":
        return _form_page(request, place, form_class(initial=defaults_of(place.spec) | _given(place, request)), None)
    form = form_class(request.POST)
    if form.is_valid():
        record_id = form.cleaned_data["id"] or str(uuid.uuid4())
        (result,) = push(
            place.actor(request), [Op(1, None, place.spec.table_name, record_id, "insert", 0, form.values())]
        )
        if result.accepted:
            return _saved(request, place, record_id, "added")
        _explain(form, result)
    return _form_page(request, place, form, None)


@with_table
def record_change(request: HttpRequest, place: TableContext, record_id: str) -> HttpResponseBase:
    """Change a record. What the person changed is merged with what others changed since the page was opened."""
    row = _row(place, unquote(record_id))
    if row.deleted and request.method != "POST":  # an edit that meets a delete is a conflict, not lost
        messages.warning(request, f"This {_name(place)} was deleted.")
        return HttpResponseRedirect(place.url("history", row.id))
    labels = _reference_labels(place, row)
    form_class = form_for(place.spec, place.tenant.slug, labels=labels, record=row.values())
    if request.method != "POST":
        form = form_class(initial={**initial_of(place.spec, row.values()), BASE_VERSION: row.version})
        return _form_page(request, place, form, row)
    form = form_class(request.POST)
    if form.is_valid():
        patch = form.patch()
        if not patch:
            messages.info(request, "Nothing was changed.")
            return _after(request, place, row.id)
        base = form.cleaned_data[BASE_VERSION] or row.version
        (result,) = push(place.actor(request), [Op(1, None, place.spec.table_name, row.id, "update", base, patch)])
        if result.conflict:
            return HttpResponseRedirect(place.url("conflict", row.id, result.conflict.conflict))
        if result.accepted:
            return _saved(request, place, row.id, "changed", merged=result.status == "merged")
        _explain(form, result)
    return _form_page(request, place, form, row)


@with_table
def record_delete(request: HttpRequest, place: TableContext, record_id: str) -> HttpResponseBase:
    """Ask, then delete a record."""
    row = _row(place, unquote(record_id))
    if request.method == "POST" and not row.deleted:
        base = request.POST.get(BASE_VERSION, "")
        version = int(base) if base.isdecimal() and len(base) < 16 else row.version
        (result,) = push(place.actor(request), [Op(1, None, place.spec.table_name, row.id, "delete", version)])
        if result.conflict:
            return HttpResponseRedirect(place.url("conflict", row.id, result.conflict.conflict))
        if result.accepted:
            messages.success(request, format_html("The {} “{}” was deleted.", _name(place), title_of(place.spec, row)))
            return HttpResponseRedirect(place.url("list"))
        messages.error(request, result.message or "The record could not be deleted.")
    return page(
        request,
        "delete.html",
        place,
        title="Are you sure?",
        row=row,
        record_title=title_of(place.spec, row),
        change_url=place.url("change", row.id),
    )


@with_table
def record_history(request: HttpRequest, place: TableContext, record_id: str) -> HttpResponseBase:
    """Show who changed what, when, on which device."""
    row = _row(place, unquote(record_id))
    title = title_of(place.spec, row)
    events = history(place.tenant.pk, place.schema, place.spec, row.id)
    return page(
        request,
        "history.html",
        place,
        title=f"Change history: {title}",
        row=row,
        record_title=title,
        change_url=place.url("change", row.id),
        events=events,
        complete=bool(events) and events[-1].version == 1,
    )


@with_table
def record_autocomplete(request: HttpRequest, place: TableContext) -> HttpResponseBase:
    """Answer the searchable select of a reference: `{"results": [{"id", "text"}], "pagination": {"more"}}`."""
    query = request.GET.copy()
    query["q"] = request.GET.get("term", "")
    query["p"] = request.GET.get("page", "1")
    query["o"] = place.spec.title_field or "id"
    listing = Listing(place.tenant.pk, place.spec, query)
    results = [{"id": row.id, "text": title_of(place.spec, row)} for row in listing.rows]
    return JsonResponse({"results": results, "pagination": {"more": listing.page < listing.pages}})


def _delete_selected(request: HttpRequest, place: TableContext) -> HttpResponseBase:
    ids = request.POST.getlist("_selected")[:MOST_SELECTED]
    found = [row for row in records(place.tenant.pk, place.spec, ids).values() if not row.deleted]
    if not found:
        messages.warning(request, "Tick the records to delete first.")
        return HttpResponseRedirect(request.get_full_path())
    if request.POST.get("_confirmed") != "yes":
        titles = [title_of(place.spec, row) for row in found]
        return page(
            request,
            "delete_selected.html",
            place,
            title="Are you sure?",
            rows=[(row.id, t) for row, t in zip(found, titles, strict=True)],
        )
    results = push(
        place.actor(request),
        [Op(n, None, place.spec.table_name, row.id, "delete", row.version) for n, row in enumerate(found, 1)],
    )
    done = sum(result.accepted for result in results)
    messages.success(request, f"{done} deleted.")
    for row, result in zip(found, results, strict=True):
        if not result.accepted:
            messages.error(
                request, f"{title_of(place.spec, row)}: {result.message or 'changed meanwhile; look at it again.'}"
            )
    return HttpResponseRedirect(place.url("list"))


def _row(place: TableContext, record_id: str) -> Row:
    row = records(place.tenant.pk, place.spec, [record_id]).get(record_id)
    if row is None:
        raise Http404(f"There is no {_name(place)} {record_id}.")
    return row


def _name(place: TableContext) -> str:
    return (place.spec.label or place.spec.object_name).lower()


def _reference_labels(place: TableContext, row: Row) -> dict[str, str]:
    titles = reference_titles(place.tenant.pk, place.schema, place.spec, [row])
    pointed = {f.name: (f.reference_table, row.get(f.name)) for f in place.spec.fields if f.reference_table}
    return {name: titles[key] for name, key in pointed.items() if key in titles}


def _given(place: TableContext, request: HttpRequest) -> dict[str, Any]:
    """Take initial values from the query string, as the admin's own add pages do."""
    return {n: v for n, v in request.GET.items() if n in place.spec.by_name or n in ("object_type", "status")}


def _form_page(request: HttpRequest, place: TableContext, form: RecordForm, row: Row | None) -> TemplateResponse:
    hidden = [bound for bound in form if bound.is_hidden]
    return page(
        request,
        "form.html",
        place,
        title=f"Change {_name(place)}" if row else f"Add {_name(place)}",
        subtitle=title_of(place.spec, row) if row else None,
        form=form,
        hidden=hidden,
        row=row,
        media=form.media,
        errors=form.errors if form.is_bound else {},
        history_url=place.url("history", row.id) if row else "",
        delete_url=place.url("delete", row.id) if row else "",
    )


def _explain(form: RecordForm, result: OpResult) -> None:
    """Put the engine's reason at the field it is about."""
    where = (
        result.field
        if result.field in form.fields
        else "id"
        if result.code in ("bad_id", "exists") and "id" in form.fields
        else None
    )
    form.add_error(where, result.message or result.code or "The engine refused this.")


def _saved(
    request: HttpRequest, place: TableContext, record_id: str, verb: str, *, merged: bool = False
) -> HttpResponseRedirect:
    row = _row(place, record_id)
    more = " Others changed it meanwhile; both are kept." if merged else ""
    text = format_html(
        'The {} “<a href="{}">{}</a>” was {}.{}',
        _name(place),
        place.url("change", record_id),
        title_of(place.spec, row),
        verb,
        more,
    )
    messages.success(request, text)
    return _after(request, place, record_id)


def _after(request: HttpRequest, place: TableContext, record_id: str) -> HttpResponseRedirect:
    if "_continue" in request.POST:
        return HttpResponseRedirect(place.url("change", record_id))
    return HttpResponseRedirect(place.url("add" if "_addanother" in request.POST else "list"))


def _page_links(listing: Listing) -> list[tuple[str, str | None]]:
    """Return the pages around the current one, the first and the last, as (text, query); None where one stands or pages are left out."""
    near = {1, 2, listing.pages - 1, listing.pages, *range(listing.page - 2, listing.page + 3)}
    wanted = sorted(n for n in near if 1 <= n <= listing.pages)
    links: list[tuple[str, str | None]] = []
    for previous, number in zip([0, *wanted], wanted, strict=False):
        if number > previous + 1:
            links.append(("…", None))
        base = listing.with_query()
        links.append(
            (str(number), None if number == listing.page else f"{base}{'&' if len(base) > 1 else ''}p={number}")
        )
    return links if listing.pages > 1 else []
