"""Browse and edit records of any published object type in the admin.

Every write is an op through the engine. All clients receive it at once, and an edit of an outdated version becomes a
conflict instead of being lost.
"""

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
def record_list(request: HttpRequest, context: TableContext) -> HttpResponseBase:
    """Browse, search, filter, and sort. A POST asks to confirm deleting the selected records."""
    if request.method == "POST":
        return _delete_selected(request, context)
    listing = Listing(context.tenant.pk, context.spec, request.GET)
    titles = reference_titles(context.tenant.pk, context.schema, context.spec, listing.rows)
    rows = [
        (
            row.id,
            context.url("change", row.id),
            [cell(context.tenant.slug, context.spec, row, name, titles) for name in listing.columns],
        )
        for row in listing.rows
    ]
    for problem in listing.problems:
        messages.warning(request, problem)
    return page(
        request,
        "list.html",
        context,
        title=f"Select {_name(context)} to change",
        listing=listing,
        rows=rows,
        pages=_page_links(listing),
    )


@with_table
def record_add(request: HttpRequest, context: TableContext) -> HttpResponseBase:
    """Add a record."""
    form_class = form_for(context.spec, context.tenant.slug)
    if request.method != "POST":
        return _form_page(
            request, context, form_class(initial=defaults_of(context.spec) | _given(context, request)), None
        )
    form = form_class(request.POST)
    if form.is_valid():
        record_id = form.cleaned_data["id"] or str(uuid.uuid4())
        (result,) = push(
            context.actor(request), [Op(1, None, context.spec.table_name, record_id, "insert", 0, form.values())]
        )
        if result.accepted:
            return _saved(request, context, record_id, "added")
        _add_error(form, result)
    return _form_page(request, context, form, None)


@with_table
def record_change(request: HttpRequest, context: TableContext, record_id: str) -> HttpResponseBase:
    """Change a record. Merges the user's changes with those made since the page was opened."""
    row = _row(context, unquote(record_id))
    if row.deleted and request.method != "POST":  # an edit of a deleted record is a conflict, not lost
        messages.warning(request, f"This {_name(context)} was deleted.")
        return HttpResponseRedirect(context.url("history", row.id))
    labels = _reference_labels(context, row)
    form_class = form_for(context.spec, context.tenant.slug, labels=labels, record=row.values())
    if request.method != "POST":
        form = form_class(initial={**initial_of(context.spec, row.values()), BASE_VERSION: row.version})
        return _form_page(request, context, form, row)
    form = form_class(request.POST)
    if form.is_valid():
        patch = form.patch()
        if not patch:
            messages.info(request, "No changes to save.")
            return _after(request, context, row.id)
        base = form.cleaned_data[BASE_VERSION] or row.version
        (result,) = push(context.actor(request), [Op(1, None, context.spec.table_name, row.id, "update", base, patch)])
        if result.conflict:
            return HttpResponseRedirect(context.url("conflict", row.id, result.conflict.conflict))
        if result.accepted:
            return _saved(request, context, row.id, "changed", merged=result.status == "merged")
        _add_error(form, result)
    return _form_page(request, context, form, row)


@with_table
def record_delete(request: HttpRequest, context: TableContext, record_id: str) -> HttpResponseBase:
    """Confirm, then delete a record."""
    row = _row(context, unquote(record_id))
    if request.method == "POST" and not row.deleted:
        base = request.POST.get(BASE_VERSION, "")
        version = int(base) if base.isdecimal() and len(base) < 16 else row.version
        (result,) = push(context.actor(request), [Op(1, None, context.spec.table_name, row.id, "delete", version)])
        if result.conflict:
            return HttpResponseRedirect(context.url("conflict", row.id, result.conflict.conflict))
        if result.accepted:
            messages.success(
                request, format_html("The {} “{}” was deleted.", _name(context), title_of(context.spec, row))
            )
            return HttpResponseRedirect(context.url("list"))
        messages.error(request, result.message or "The record couldn’t be deleted.")
    return page(
        request,
        "delete.html",
        context,
        title="Confirm deletion",
        row=row,
        record_title=title_of(context.spec, row),
        change_url=context.url("change", row.id),
    )


@with_table
def record_history(request: HttpRequest, context: TableContext, record_id: str) -> HttpResponseBase:
    """Show who changed what, when, and on which device."""
    row = _row(context, unquote(record_id))
    title = title_of(context.spec, row)
    events = history(context.tenant.pk, context.schema, context.spec, row.id)
    return page(
        request,
        "history.html",
        context,
        title=f"Change history: {title}",
        row=row,
        record_title=title,
        change_url=context.url("change", row.id),
        events=events,
        complete=bool(events) and events[-1].version == 1,
    )


@with_table
def record_autocomplete(request: HttpRequest, context: TableContext) -> HttpResponseBase:
    """Respond to the searchable select of a reference.

    `{"results": [{"id", "text"}], "pagination": {"more"}}`.
    """
    query = request.GET.copy()
    query["q"] = request.GET.get("term", "")
    query["p"] = request.GET.get("page", "1")
    query["o"] = context.spec.title_field or "id"
    listing = Listing(context.tenant.pk, context.spec, query)
    results = [{"id": row.id, "text": title_of(context.spec, row)} for row in listing.rows]
    return JsonResponse({"results": results, "pagination": {"more": listing.page < listing.pages}})


def _delete_selected(request: HttpRequest, context: TableContext) -> HttpResponseBase:
    ids = request.POST.getlist("_selected")[:MOST_SELECTED]
    found = [row for row in records(context.tenant.pk, context.spec, ids).values() if not row.deleted]
    if not found:
        messages.warning(request, "Select the records to delete.")
        return HttpResponseRedirect(request.get_full_path())
    if request.POST.get("_confirmed") != "yes":
        titles = [title_of(context.spec, row) for row in found]
        return page(
            request,
            "delete_selected.html",
            context,
            title="Confirm deletion",
            rows=[(row.id, t) for row, t in zip(found, titles, strict=True)],
        )
    results = push(
        context.actor(request),
        [Op(n, None, context.spec.table_name, row.id, "delete", row.version) for n, row in enumerate(found, 1)],
    )
    done = sum(result.accepted for result in results)
    messages.success(request, f"{done} deleted.")
    for row, result in zip(found, results, strict=True):
        if not result.accepted:
            reason = result.message or "changed since you opened this page. Review it and try again."
            messages.error(request, f"{title_of(context.spec, row)}: {reason}")
    return HttpResponseRedirect(context.url("list"))


def _row(context: TableContext, record_id: str) -> Row:
    row = records(context.tenant.pk, context.spec, [record_id]).get(record_id)
    if row is None:
        raise Http404(f"{_name(context)} {record_id} not found.")
    return row


def _name(context: TableContext) -> str:
    return (context.spec.label or context.spec.object_name).lower()


def _reference_labels(context: TableContext, row: Row) -> dict[str, str]:
    titles = reference_titles(context.tenant.pk, context.schema, context.spec, [row])
    pointed = {f.name: (f.reference_table, row.get(f.name)) for f in context.spec.fields if f.reference_table}
    return {name: titles[key] for name, key in pointed.items() if key in titles}


def _given(context: TableContext, request: HttpRequest) -> dict[str, Any]:
    """Return initial values from the query string, as the admin's own add pages do."""
    return {n: v for n, v in request.GET.items() if n in context.spec.by_name or n in ("object_type", "status")}


def _form_page(request: HttpRequest, context: TableContext, form: RecordForm, row: Row | None) -> TemplateResponse:
    hidden = [bound for bound in form if bound.is_hidden]
    return page(
        request,
        "form.html",
        context,
        title=f"Change {_name(context)}" if row else f"Add {_name(context)}",
        subtitle=title_of(context.spec, row) if row else None,
        form=form,
        hidden=hidden,
        row=row,
        media=form.media,
        errors=form.errors if form.is_bound else {},
        history_url=context.url("history", row.id) if row else "",
        delete_url=context.url("delete", row.id) if row else "",
    )


def _add_error(form: RecordForm, result: OpResult) -> None:
    """Show the engine's reason at the field it concerns."""
    where = (
        result.field
        if result.field in form.fields
        else "id"
        if result.code in ("bad_id", "exists") and "id" in form.fields
        else None
    )
    form.add_error(where, result.message or result.code or "This change was rejected.")


def _saved(
    request: HttpRequest, context: TableContext, record_id: str, verb: str, *, merged: bool = False
) -> HttpResponseRedirect:
    row = _row(context, record_id)
    more = " Someone else also changed it; both changes were kept." if merged else ""
    text = format_html(
        'The {} “<a href="{}">{}</a>” was {}.{}',
        _name(context),
        context.url("change", record_id),
        title_of(context.spec, row),
        verb,
        more,
    )
    messages.success(request, text)
    return _after(request, context, record_id)


def _after(request: HttpRequest, context: TableContext, record_id: str) -> HttpResponseRedirect:
    if "_continue" in request.POST:
        return HttpResponseRedirect(context.url("change", record_id))
    return HttpResponseRedirect(context.url("add" if "_addanother" in request.POST else "list"))


def _page_links(listing: Listing) -> list[tuple[str, str | None]]:
    """Return page links as (text, query): the first, the last, and those around the current page.

    The query is None for the current page and for gaps.
    """
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
