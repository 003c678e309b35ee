#!/usr/bin/python3
"""A window on an app's own pages, as Capacitor's on an iPhone: WebKitGTK with the files of a folder at `capacitor://localhost`.

Run by WebKitWebDriver with Debian's own Python (python3-gi). Options: those of webkit_view, and --folder=DIR. An
address without an extension is the page, as in Capacitor's own router.
"""

import sys
from pathlib import Path

import gi

gi.require_version("WebKit2", "4.1")
gi.require_version("Soup", "3.0")
from gi.repository import Gio, GLib, Soup, WebKit2  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))
from webkit_view import new_context, options, run  # noqa: E402

SCHEME = "capacitor"
#: The MIME types that iOS and Capacitor give to the files of the web client (`UTType`, and `mimeTypes` in Capacitor's
#: WebViewAssetHandler.swift).
TYPES = {
    "": "text/html",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
folder = Path(options["folder"]).resolve()


def serve(request: WebKit2.URISchemeRequest) -> None:
    """Answer with a file of the folder, as Capacitor's WebViewAssetHandler does."""
    path = request.get_path()
    file = folder / (path.lstrip("/") if Path(path).suffix else "index.html")
    if not file.is_file() or folder not in file.resolve().parents:
        request.finish_error(
            GLib.Error.new_literal(Gio.io_error_quark(), f"{path} is not there", Gio.IOErrorEnum.NOT_FOUND)
        )
        return
    data = file.read_bytes()
    response = WebKit2.URISchemeResponse.new(Gio.MemoryInputStream.new_from_bytes(GLib.Bytes.new(data)), len(data))
    response.set_content_type(TYPES.get(Path(path).suffix, "application/octet-stream"))
    headers = Soup.MessageHeaders.new(Soup.MessageHeadersType.RESPONSE)
    headers.append("Cache-Control", "no-cache")
    response.set_http_headers(headers)
    request.finish_with_response(response)


context = new_context()
security = context.get_security_manager()
security.register_uri_scheme_as_secure(SCHEME)
security.register_uri_scheme_as_cors_enabled(SCHEME)
context.register_uri_scheme(SCHEME, serve)
run(context)
