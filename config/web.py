"""The web client's page at `/app/` and its service worker at `/sw.js`. All else of the client is static files."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from config.headers import PREFIX, content_security_policy

CLIENT = Path(settings.BASE_DIR) / "clients" / "web"
PARTS = ("app", "sdk")
SERVED = frozenset({".js", ".mjs", ".wasm", ".css", ".svg", ".png", ".webmanifest"})
#: Built by `npm run build`; the client cannot start without it.
VENDORED = CLIENT / "sdk" / "vendor" / "sqlite3" / "sqlite3.wasm"
WORKER = CLIENT / "app" / "sw.js"
TO_BUILD = "The web client is not built: run `npm ci && npm run build` in clients/web, or `make demo`, which does."


@require_safe
def app(request: HttpRequest) -> HttpResponse:
    """Return the client's page, with its relative paths rewritten to static files."""
    if not VENDORED.exists():
        return HttpResponse(TO_BUILD, status=503, content_type="text/plain; charset=utf-8")
    response = _fresh(HttpResponse(_page()))
    response["Content-Security-Policy"] = content_security_policy(request.get_host())
    response["Referrer-Policy"] = "no-referrer"
    return response


@require_safe
def service_worker(request: HttpRequest) -> HttpResponse:
    """Return the service worker with the list of files to cache.

    Its text changes when any of them does, which is how browsers notice an update.
    """
    files = precache()
    version = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]
    begin = (
        f"const VERSION = {json.dumps(version)};\nconst PAGE = {json.dumps(_page_path())};\n"
        f"const FILES = {json.dumps(files, indent=1)};\n"
    )
    script = WORKER.read_text()
    response = _fresh(HttpResponse(begin + script, content_type="text/javascript; charset=utf-8"))
    response["Content-Security-Policy"] = content_security_policy(request.get_host())
    return response


def precache() -> dict[str, str]:
    """Return every URL the client needs to start offline, with the SHA-256 of its content."""
    files = {_page_path(): hashlib.sha256(_page().encode()).hexdigest()}
    for part in PARTS:
        for path in sorted((CLIENT / part).rglob("*")):
            if path.suffix in SERVED and path != WORKER:
                about = path.stat()
                files[static(f"{PREFIX}{path.relative_to(CLIENT)}")] = _sha256(path, about.st_mtime_ns, about.st_size)
    return files


def _page() -> str:
    return (CLIENT / "app" / "index.html").read_text().replace('="./', f'="{static(f"{PREFIX}app/")}')


def _page_path() -> str:
    return "/app/"


@lru_cache(maxsize=1024)
def _sha256(path: Path, changed_ns: int, size: int) -> str:
    """Return the digest of a file. The cache key includes the modification time, so a changed file is read again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fresh(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-cache"
    response["X-Content-Type-Options"] = "nosniff"
    return response
