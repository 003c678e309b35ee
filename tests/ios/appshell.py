#!/usr/bin/python3
"""A window on an app's own pages, as Capacitor's on an iPhone: WebKitGTK with the files of a folder at `capacitor://localhost`.

Run by WebKitWebDriver with Debian's own Python (python3-gi). Options: --automation --profile=DIR --folder=DIR --ua=TEXT. The profile
outlives the window. An address without an extension is the page, as in Capacitor's own router.
"""

import sys
from pathlib import Path

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
gi.require_version("Soup", "3.0")
from gi.repository import Gio, GLib, Gtk, Soup, WebKit2  # noqa: E402

SCHEME = "capacitor"
#: What iOS and Capacitor call the files of the web client (`UTType`, and `mimeTypes` in Capacitor's WebViewAssetHandler.swift).
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
options = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:] if "=" in argument)
folder = Path(options["folder"]).resolve()
profile = options["profile"]
context = WebKit2.WebContext.new_with_website_data_manager(
    WebKit2.WebsiteDataManager(base_data_directory=f"{profile}/data", base_cache_directory=f"{profile}/cache")
)
settings = WebKit2.Settings()
settings.set_enable_write_console_messages_to_stdout(True)
settings.set_property("hardware-acceleration-policy", WebKit2.HardwareAccelerationPolicy.NEVER)
settings.set_user_agent(options["ua"])
windows = []


def serve(request: WebKit2.URISchemeRequest) -> None:
    """Answer with a file of the folder, as Capacitor's WebViewAssetHandler does."""
    path = request.get_path()
    file = folder / (path.lstrip("/") if Path(path).suffix else "index.html")
    if not file.is_file() or folder not in file.resolve().parents:
        request.finish_error(GLib.Error.new_literal(Gio.io_error_quark(), f"{path} is not there", Gio.IOErrorEnum.NOT_FOUND))
        return
    data = file.read_bytes()
    response = WebKit2.URISchemeResponse.new(Gio.MemoryInputStream.new_from_bytes(GLib.Bytes.new(data)), len(data))
    response.set_content_type(TYPES.get(Path(path).suffix, "application/octet-stream"))
    headers = Soup.MessageHeaders.new(Soup.MessageHeadersType.RESPONSE)
    headers.append("Cache-Control", "no-cache")
    response.set_http_headers(headers)
    request.finish_with_response(response)


def open_view(*_: object) -> WebKit2.WebView:
    """Open a window for the session and return its view."""
    view = WebKit2.WebView(web_context=context, settings=settings, is_controlled_by_automation=True)
    window = Gtk.Window()
    window.set_default_size(390, 844)
    window.add(view)
    window.show_all()
    windows.append(window)
    view.connect("close", lambda _view: window.destroy())
    return view


def started(_context: WebKit2.WebContext, session: WebKit2.AutomationSession) -> None:
    """Introduce ourselves to the driver."""
    about = WebKit2.ApplicationInfo()
    about.set_name("MiniBrowser")
    about.set_version(WebKit2.get_major_version(), WebKit2.get_minor_version(), WebKit2.get_micro_version())
    session.set_application_info(about)
    session.connect("create-web-view", open_view)


security = context.get_security_manager()
security.register_uri_scheme_as_secure(SCHEME)
security.register_uri_scheme_as_cors_enabled(SCHEME)
context.register_uri_scheme(SCHEME, serve)
context.set_automation_allowed(True)
context.connect("automation-started", started)
Gtk.main()
