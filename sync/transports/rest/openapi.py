"""The OpenAPI description at `/api/schema` and its page at `/api/docs`.

The description is common to all callers, plus the object types of the caller's tenant.
"""

from typing import Any

from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.plumbing import set_query_parameters
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from sync.transports.rest.auth import TENANT_HEADER, Caller, requested_tenant
from sync.transports.rest.describe import COMPONENTS
from sync.transports.rest.reading import view_of_caller
from sync.transports.rest.sections import add_sections


class DeviceTokenScheme(OpenApiAuthenticationExtension):
    """Describes `DeviceAuthentication`."""

    target_class = "sync.transports.rest.auth.DeviceAuthentication"
    name = "deviceToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return the security scheme."""
        return {"type": "http", "scheme": "bearer", "description": "Device token from /api/login."}


class SessionScheme(OpenApiAuthenticationExtension):
    """Describes `TenantSessionAuthentication`."""

    target_class = "sync.transports.rest.auth.TenantSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return the security scheme."""
        about = f"An admin site session. Users with several tenants add the {TENANT_HEADER} header or ?tenant=."
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": about}


class MoatSchemaGenerator(SchemaGenerator):
    """Adds shared components, and a section per published object type of the caller's tenant."""

    def get_schema(self, request: HttpRequest | Request | None = None, public: bool = False) -> dict[str, Any]:
        """Return the whole description."""
        document: dict[str, Any] = super().get_schema(request=request, public=public)
        document.setdefault("components", {}).setdefault("schemas", {}).update(COMPONENTS)
        caller = getattr(request, "auth", None)
        if isinstance(caller, Caller):
            add_sections(document, view_of_caller(caller).schema.objects)
        return document


class SchemaView(SpectacularAPIView):
    """The description as JSON or YAML."""

    permission_classes = (AllowAny,)
    renderer_classes = [  # noqa: RUF012
        JSONRenderer,
        OpenApiJsonRenderer,
        OpenApiJsonRenderer2,
        OpenApiYamlRenderer,
        OpenApiYamlRenderer2,
    ]
    generator_class = MoatSchemaGenerator

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the description."""
        # The library's get reads `lang` and `version` from the URL; this API has neither.
        document = self.generator_class().get_schema(request=request, public=True)
        return Response(
            document, headers={"Cache-Control": "private, no-cache", "Vary": f"Authorization, Cookie, {TENANT_HEADER}"}
        )


class DocsView(SpectacularSwaggerView):
    """The description as an interactive page. All assets come from this server.

    The page is the same for everyone, so it authenticates no one: a revoked token must not make it fail. The schema it
    loads checks the caller.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    url_name = "api-schema"
    title = "Moat API"

    def _get_schema_url(self, request: Request) -> str:
        """Pass the choice of tenant on."""
        url: str = set_query_parameters("schema", tenant=requested_tenant(request) or None)
        return url
