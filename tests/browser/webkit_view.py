"""A WebKitGTK window that WebDriver drives and whose profile outlives it.

It runs in Debian's own Python (python3-gi), so it can import nothing else of this project.

Options of the scripts that use it: --automation --profile=DIR --width=N --height=N --ua=TEXT, and their own.
"""

import sys

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2  # noqa: E402

options = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:] if "=" in argument)
_windows: list[Gtk.Window] = []


def new_context() -> WebKit2.WebContext:
    """Return a context that keeps what it stores in the profile; without one it keeps nothing."""
    profile = options.get("profile")
    if not profile:
        return WebKit2.WebContext.new_with_website_data_manager(WebKit2.WebsiteDataManager.new_ephemeral())
    manager = WebKit2.WebsiteDataManager(base_data_directory=f"{profile}/data", base_cache_directory=f"{profile}/cache")
    return WebKit2.WebContext.new_with_website_data_manager(manager)


def run(context: WebKit2.WebContext) -> None:
    """Wait for the driver, and open a window whenever it wants one."""
    settings = WebKit2.Settings()
    settings.set_enable_write_console_messages_to_stdout(True)
    settings.set_property("hardware-acceleration-policy", WebKit2.HardwareAccelerationPolicy.NEVER)
    if options.get("ua"):
        settings.set_user_agent(options["ua"])

    def open_view(*_: object) -> WebKit2.WebView:
        view = WebKit2.WebView(web_context=context, settings=settings, is_controlled_by_automation=True)
        window = Gtk.Window()
        window.set_default_size(int(options.get("width", 1024)), int(options.get("height", 768)))
        window.add(view)
        window.show_all()
        _windows.append(window)
        view.connect("close", lambda _view: window.destroy())
        return view

    def started(_context: WebKit2.WebContext, session: WebKit2.AutomationSession) -> None:
        about = WebKit2.ApplicationInfo()
        about.set_name("MiniBrowser")
        about.set_version(WebKit2.get_major_version(), WebKit2.get_minor_version(), WebKit2.get_micro_version())
        session.set_application_info(about)
        session.connect("create-web-view", open_view)

    context.set_automation_allowed(True)
    context.connect("automation-started", started)
    Gtk.main()
