"""The app of clients/ios as it stands on a telephone: its bundle at Capacitor's own scheme, in WebKit, in the size of an iPhone."""

import os
import shutil
import warnings
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

from tests.browser.person import PATIENCE, Person

SHELL = Path(__file__).with_name("appshell.py")
ORIGIN = "capacitor://localhost"
#: WKWebView in an app does not call itself Safari.
WKWEBVIEW = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
LOG = "driver.log"
# WebKit takes a picture only when it paints: one pixel is kept changing meanwhile.
_REPAINT = """
const pixel = document.createElement('i');
pixel.id = 'repaint';
document.documentElement.append(pixel);
Object.assign(pixel.style, { position: 'fixed', width: '1px', height: '1px' });
let even = false;
(function paint() { if (pixel.isConnected) { pixel.style.opacity = (even = !even) ? '0.9' : '1'; requestAnimationFrame(paint); } })();
"""


def start_app(profile: Path, folder: Path, screen: str) -> WebDriver:
    """Start the shell on a folder of files; its profile outlives it."""
    options = Options()
    options.binary_location = str(SHELL)
    for argument in ("--automation", f"--profile={profile}", f"--folder={folder}", f"--ua={WKWEBVIEW}"):
        options.add_argument(argument)
    environment = {
        **os.environ,
        "DISPLAY": screen,
        "GDK_BACKEND": "x11",
        "NO_AT_BRIDGE": "1",
        "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
    }
    service = Service(shutil.which("WebKitWebDriver"), env=environment, log_output=str(profile / LOG))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Selenium's own use of its own API
        return webdriver.WebKitGTK(options=options, service=service)


class Phone(Person):
    """A person with the app in hand. Not started as other browsers are: these pages are in no server's hands."""

    def __init__(self, profile: Path, folder: Path, screen: str) -> None:
        self.url, self.profile, self.engine = ORIGIN, profile, "webkit"
        self.driver = start_app(profile, folder, screen)
        self.driver.set_script_timeout(PATIENCE)

    def launch(self, place: str = "") -> "Phone":
        """Open the app, as a tap on its icon does."""
        self.driver.get(f"{ORIGIN}/{place}")
        return self

    def save(self) -> "Phone":
        """Save and wait until it is durable here: while it is being written "Cancel" can still be pressed."""
        super().save()
        enabled = "[...document.querySelectorAll('button')].some((e) => e.checkVisibility() && !e.disabled && /^(Save|Cancel)$/.test(e.textContent.trim()))"
        self.until(f"!{enabled}")
        return self

    def log(self) -> list[str]:
        """Return what the console said since the shell was started."""
        text = (self.profile / LOG).read_text(errors="replace")
        return [line for line in text.splitlines() if line.startswith("CONSOLE")]

    def screenshot(self, path: Path) -> None:
        """Save a picture of what is shown."""
        self.js(_REPAINT)
        try:
            self.driver.save_screenshot(str(path))
        finally:
            self.js("document.getElementById('repaint').remove()")
