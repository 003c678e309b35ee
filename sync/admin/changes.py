"""A tenant's change log as a page, because Django's admin cannot show a composite key."""

import json

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from sync.admin.record_access import page, tenant_of
from sync.models import Change
from sync.wire.lines import decode_line
from tenants.models import Device

SHOWN = 100


def change_log(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Show a tenant's newest changes first; `?before=` takes a cursor, `?table=` one table."""
    tenant = tenant_of(request, slug)
    changes = Change.objects.filter(tenant=tenant)
    before, table = request.GET.get("before", ""), request.GET.get("table", "")
    if before.isascii() and before.isdigit() and len(before) < 17:
        changes = changes.filter(cursor__lt=int(before))
    if table:
        changes = changes.filter(table_name=table[:40].replace("\x00", ""))
    rows = list(changes.order_by("-cursor").values_list("line", "state_hash")[: SHOWN + 1])
    lines = [{**decode_line(line), "hash": bytes(state_hash).hex()} for line, state_hash in rows[:SHOWN]]
    names = dict(
        Device.objects.filter(tenant=tenant, pk__in={line["device"] for line in lines if "device" in line}).values_list(
            "pk", "name"
        )
    )
    for line in lines:
        line["written"] = line["at"][:19].replace("T", " ")
        line["what"] = json.dumps(line["payload"], ensure_ascii=False) if line.get("payload") else ""
        line["device_name"] = names.get(line.get("device", ""), line.get("device", ""))
    older = lines[-1]["cursor"] if len(rows) > SHOWN else None
    return page(
        request, "log.html", None, title=f"Change log: {tenant}", tenant=tenant, lines=lines, older=older, table=table
    )
