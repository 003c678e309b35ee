"""Real browsers, driven by Selenium. Offline means that the server is stopped: emulated offline leaks through workers."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.webkitgtk.options import Options as WebKitOptions
from selenium.webdriver.webkitgtk.service import Service as WebKitService

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WEBKIT, XVFB = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
WKSHELL = Path(__file__).with_name("wkshell.py")
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
CHROMIUM_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-background-timer-throttling"),
)
PATIENCE = 60.0

# Runs a text as the body of an async function whose `moat` is the page's replica and `args` what Python gave. The text is put
# in, not evaluated in the page: the page's Content-Security-Policy forbids that.
_RUN = """
const done = arguments[arguments.length - 1];
(async (moat, args) => { %s
})(window.moat, arguments[0]).then(
  (value) => done({ value: value === undefined ? null : value }),
  (error) => done({ error: { code: error.code ?? null, message: String(error.message ?? error), stack: error.stack ?? null } }),
);
"""


class PageError(Exception):
    """What the page threw."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}\n{error['stack']}")
        self.code = error["code"]


def start_chromium(profile: Path) -> WebDriver:
    """Start a headless Chromium on a profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (*CHROMIUM_ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))


def start_webkit(profile: Path, display: str) -> WebDriver:
    """Start WebKitGTK on a profile, in the shape of a telephone, on a virtual screen."""
    options = WebKitOptions()
    options.binary_location = str(WKSHELL)
    for argument in ("--automation", f"--profile={profile}", "--width=390", "--height=844", f"--ua={IPHONE}"):
        options.add_argument(argument)
    environment = {
        **os.environ,
        "DISPLAY": display,
        "GDK_BACKEND": "x11",
        "NO_AT_BRIDGE": "1",
        "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Selenium's own use of its own API
        return webdriver.WebKitGTK(options=options, service=WebKitService(WEBKIT, env=environment))


class Browser:
    """One browser with a profile of its own, which outlives it. Its tabs are window handles."""

    def __init__(self, url: str, profile: Path | None = None, *, engine: str = "chromium", display: str = "") -> None:
        self.url = url
        self.engine = engine
        self.profile = profile or Path(tempfile.mkdtemp(prefix=f"moat-{engine}-"))
        self.driver = start_webkit(self.profile, display) if engine == "webkit" else start_chromium(self.profile)
        self.driver.set_script_timeout(PATIENCE * 2)

    def page(self, path: str = "/static/web/examples/blank.html") -> "Browser":
        """Load a page of the server."""
        self.driver.get(self.url + path)
        return self

    def run(self, source: str, args: Any = None) -> Any:
        """Run JavaScript in the page and return its value; raises PageError."""
        result = self.driver.execute_async_script(_RUN.replace("%s", source), args)
        if "error" in result:
            raise PageError(result["error"])
        return result["value"]

    def until(self, condition: str, args: Any = None, *, seconds: float = PATIENCE) -> Any:
        """Wait until a JavaScript expression is true and return it."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(PageError):
                if value := self.run(f"return {condition}", args):
                    return value
            if time.monotonic() > deadline:
                state = self.run("return moat ? [moat.status(), await moat.overlays()] : 'no replica'")
                raise TimeoutError(f"{condition} did not come true: {state} {self.log()}")
            time.sleep(0.02)

    def open(self, *, name: str = "main", storage: str = "auto", user: str | None = None, tenant: str | None = None) -> "Browser":
        """Open the replica in a blank page as `window.moat`; log in when a user is given."""
        self.page()
        self.run(
            "const { open } = await import('/static/web/sdk/index.js'); window.moat = await open(args);", {"name": name, "storage": storage}
        )
        if user:
            self.login(tenant or "", user)
        return self

    def login(self, tenant: str, user: str) -> None:
        """Log in with the password every test user has."""
        self.run("await moat.login(args)", {"tenant": tenant, "user": user, "password": "secret"})

    def live(self, **more: Any) -> "Browser":
        """Wait until the replica is live."""
        self.until("moat.status().phase === 'live'", **more)
        return self

    def settled(self) -> "Browser":
        """Wait until the replica is live and nothing of it waits for the server."""
        self.until(
            "moat.status().phase === 'live' && !(await moat.overlays()).some(({ state }) => state === 'pending' || state === 'acked')"
        )
        return self

    def rows(self, sql: str, params: Any = ()) -> list[dict[str, Any]]:
        """Run an application's query."""
        rows: list[dict[str, Any]] = self.run("return moat.query(args[0], args[1])", [sql, list(params)])
        return rows

    def titles(self, table: str = "jobs", column: str = "title") -> dict[str, str]:
        """Return what a table shows, by id."""
        return {row["id"]: row[column] for row in self.rows(f'SELECT "id", "{column}" FROM "{table}"')}

    def tab(self) -> str:
        """Open another tab, switch to it and return its handle."""
        self.driver.switch_to.new_window("tab")
        return str(self.driver.current_window_handle)

    def switch(self, handle: str) -> "Browser":
        """Switch to a tab."""
        self.driver.switch_to.window(handle)
        return self

    def log(self) -> list[str]:
        """Return what the console said since the last call, without what a missing icon or a stopped server says."""
        if self.engine != "chromium":  # no other driver tells
            return []
        noise = ("favicon", "DEBUG", "net::ERR_CONNECTION_REFUSED", "WebSocket connection to")
        return [
            f"{entry['level']} {entry['message']}"
            for entry in self.driver.get_log("browser")
            if not any(word in str(entry) for word in noise)
        ]

    def kill(self) -> None:
        """kill -9 the browser with everything it started; the profile stays."""
        # All of a browser's processes that matter carry the profile's path; the rest end with them.
        found = subprocess.run(["pgrep", "-f", str(self.profile)], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(Exception):
            self.driver.service.stop()
        for lock in self.profile.glob("Singleton*"):
            lock.unlink(missing_ok=True)

    def quit(self) -> None:
        """Close the browser; the profile stays."""
        with contextlib.suppress(Exception):
            self.driver.quit()
