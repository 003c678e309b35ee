"""`/health` for load balancers, `/metrics` for Prometheus."""

import hmac
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sync.settle.writer import get_writer
from sync.transports.runtime import current_runtime


@require_safe
@never_cache
def health(request: HttpRequest) -> HttpResponse:
    """Report whether this process can work: 200, or 503 with the failing check."""
    runtime = current_runtime()
    checks: dict[str, Any] = {
        "database": _database_answers(),
        "writer": get_writer().healthy,
        # Before the first connection there is no hub, which is fine. A draining process wants no new clients.
        "hub": runtime is None or runtime.running,
    }
    good = all(checks.values())
    return JsonResponse({"status": "ok" if good else "unhealthy", **checks}, status=200 if good else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Return this process's metrics to superusers or a caller with METRICS_TOKEN. Others get 404.

    They count all tenants, so tenant admins do not get them.
    """
    if not (_has_token(request) or _is_operator(request)):
        return HttpResponse("Not found", status=404, content_type="text/plain")
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _is_operator(request: HttpRequest) -> bool:
    user = request.user
    return user.is_authenticated and user.is_active and user.is_superuser


def _has_token(request: HttpRequest) -> bool:
    expected = f"Bearer {settings.METRICS_TOKEN}"
    given = request.headers.get("Authorization", "")
    return bool(settings.METRICS_TOKEN) and hmac.compare_digest(given.encode(), expected.encode())
