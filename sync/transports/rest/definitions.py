"""Object types and layouts as clients receive them, and the API's index."""

from typing import Any

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metadata.fieldtypes import json_schema_of
from metadata.schema import ObjectSpec
from sync.channels import view
from sync.models import SystemRecord
from sync.transports.rest.auth import InTenant, caller_of
from sync.transports.rest.describe import INTEGER, OBJECT, array, described, record_of, ref
from sync.transports.rest.errors import RestError
from sync.transports.rest.reading import view_of_caller
from sync.wire.codes import Code
from sync.wire.system_tables import LAYOUT_DEFINITION


class RootView(APIView):
    """The URLs of the API."""

    permission_classes = ()

    @described("root", "session", 200, OBJECT, errors=())
    def get(self, request: Request) -> Response:
        """Return the URLs by name."""
        names = ("me", "objects", "layouts", "conflicts", "login", "logout", "schema", "docs")
        return Response({name: request.build_absolute_uri(reverse(f"api-{name}")) for name in names})


class ObjectsView(APIView):
    """The tenant's published object types."""

    permission_classes = (InTenant,)

    @described(
        "list_object_types", "definitions", 200, record_of(schema_version=INTEGER, results=array(ref("ObjectType")))
    )
    def get(self, request: Request) -> Response:
        """Return all published object types with their fields, and the `schema_version`."""
        schema = view_of_caller(caller_of(request)).schema
        return Response(
            {"schema_version": schema.schema_version, "results": [_shown(request, spec) for spec in schema.objects]}
        )


class ObjectView(APIView):
    """One published object type."""

    permission_classes = (InTenant,)

    @described("read_object_type", "definitions", 200, ref("ObjectType"), errors=(401, 404))
    def get(self, request: Request, object_name: str) -> Response:
        """Return the object type with its fields and JSON Schema."""
        spec = view_of_caller(caller_of(request)).schema.by_object.get(object_name)
        if spec is None:
            raise RestError(Code.NOT_FOUND, "Object type not found.")
        return Response(_shown(request, spec))


class LayoutsView(APIView):
    """The tenant's layouts."""

    permission_classes = (InTenant,)

    @described("list_layouts", "definitions", 200, record_of(results=array(ref("Layout"))), query=["object_name"])
    def get(self, request: Request) -> Response:
        """Return all layouts, or those of `?object_name=`. Clients use the most specific one for a record."""
        tenant_view = view_of_caller(caller_of(request))
        found = SystemRecord.objects.filter(
            tenant_id=tenant_view.channel.tenant_id, table_name=LAYOUT_DEFINITION, deleted=False
        )
        wanted = request.query_params.get("object_name")
        stored = [(row.record_id, row.version, False, row.data) for row in found.order_by("record_id")]
        rows = view.system_rows(tenant_view.channel, LAYOUT_DEFINITION, stored)
        layouts = [{"id": record_id, "version": version, **data} for record_id, version, _, data in rows]
        return Response({"results": [layout for layout in layouts if wanted in (None, layout.get("object_name"))]})


def _shown(request: Request, spec: ObjectSpec) -> dict[str, Any]:
    records = request.build_absolute_uri(reverse("api-records", args=[spec.table_name]))
    return {"object_name": spec.object_name, **spec.record(json_schema_of(spec)), "records": records}
