"""A browser on a profile of its own: what both suites need to drive it, and what a failed test leaves to look at."""

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.common.exceptions import JavascriptException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.remote.webdriver import WebDriver
from urllib3.exceptions import HTTPError

from tests.browser import engines

PATIENCE = 60.0
#: What a stopped server, a missing icon and the lookup of a profile make the console say.
NOISE = re.compile(
    r"favicon|DEBUG|ERR_CONNECTION_REFUSED|Could not connect|WebSocket connection to|WebSocket network error|net::ERR_"
)
_VIOLATIONS = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""
# WebKit takes a picture only when it paints: one pixel is kept moving meanwhile.
_REPAINT = """
const pixel = document.createElement('i');
pixel.id = 'repaint';
document.documentElement.append(pixel);
pixel.style.position = 'fixed';
pixel.style.width = pixel.style.height = '1px';
let even = false;
(function paint() {
  if (pixel.isConnected) { pixel.style.opacity = (even = !even) ? '0.9' : '1'; requestAnimationFrame(paint); }
})();
"""


def eventually(probe: Callable[[], Any], what: Callable[[], str], *, seconds: float = PATIENCE) -> Any:
    """Ask until the answer is true and return it; raises TimeoutError with what is the case instead."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(what())
        time.sleep(0.02)
    return answer


class Window:
    """One browser. Its tabs are window handles; its profile outlives it."""

    def __init__(
        self, url: str, profile: Path, *, engine: str = "chromium", size: engines.Size | None = None, screen: str = ""
    ) -> None:
        self.url, self.profile, self.engine = url, profile, engine
        self.driver = self.start_driver(size or engines.ENGINES[engine][1], screen)
        self.driver.set_script_timeout(PATIENCE * 2)
        self._said: list[str] = []
        self._gone = False
        if engine == "chromium":
            run_command = self.driver.execute_cdp_cmd  # type: ignore[attr-defined]
            run_command("Page.addScriptToEvaluateOnNewDocument", {"source": _VIOLATIONS})

    def start_driver(self, size: engines.Size, screen: str) -> WebDriver:
        """Start the browser."""
        return engines.ENGINES[self.engine][0](self.profile, size, screen)

    def js(self, source: str, *args: Any) -> Any:
        """Run JavaScript and return its value."""
        return self.driver.execute_script(source, *args)

    def until(self, condition: str, *args: Any, seconds: float = PATIENCE) -> Any:
        """Wait until a JavaScript expression is true and return it."""

        def probe() -> Any:
            # An element that was found may be gone before it is handed over.
            with contextlib.suppress(JavascriptException, StaleElementReferenceException):
                return self.js(f"return {condition}", *args)

        return eventually(probe, lambda: f"never true: {condition} {args}\n{self.state()}", seconds=seconds)

    def state(self) -> str:
        """Say what there is to see, for a failure."""
        with contextlib.suppress(WebDriverException, HTTPError):
            return f"{self.driver.current_url}\n{self.js('return document.body?.innerText')}\n" + "\n".join(
                self.console()
            )
        return "the browser does not answer"

    def tab(self) -> str:
        """Open another tab, switch to it and return its handle."""
        self.driver.switch_to.new_window("tab")
        return str(self.driver.current_window_handle)

    def close_tab(self, handle: str) -> None:
        """Close a tab and go back to the one that was in front."""
        here = self.driver.current_window_handle
        self.driver.switch_to.window(handle)
        self.driver.close()
        self.driver.switch_to.window(here)

    def console(self) -> list[str]:
        """Everything that the console said so far, without noise."""
        if self.engine == "chromium" and not self._gone:
            with contextlib.suppress(WebDriverException):
                entries = self.driver.get_log("browser")  # type: ignore[attr-defined]
                self._said += [f"{entry['level']} {entry['message']}" for entry in entries]
        elif self.engine == "webkit":
            text = (self.profile / engines.LOG).read_text(errors="replace")
            self._said = [line for line in text.splitlines() if line.startswith("CONSOLE")]
        return [line for line in self._said if not NOISE.search(line)]

    def problems(self) -> list[str]:
        """What no test may leave in the console: uncaught errors, and what the page's policy blocked."""
        return [
            line
            for line in self.console()
            if "Content Security Policy" in line or "Uncaught" in line or "Unhandled" in line
        ]

    def leave_evidence(self, folder: Path, name: str) -> None:
        """Save a picture and the console of a failed test."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(f"{self.state()}\n{chr(10).join(self._said)}\n")
        with contextlib.suppress(WebDriverException, HTTPError):
            self.screenshot(folder / f"{name}.png")

    def screenshot(self, path: Path) -> None:
        """Save a picture of what is shown."""
        if self.engine == "webkit":
            self.js(_REPAINT)
        try:
            self.driver.save_screenshot(str(path))
        finally:
            self.js("document.getElementById('repaint')?.remove()")

    def kill(self) -> None:
        """kill -9 the browser with everything it started; the profile stays."""
        self.console()
        self._gone = True
        engines.kill(self.driver, self.profile)

    def quit(self) -> None:
        """Close the browser, and kill what stays; the profile stays."""
        if not self._gone:
            with contextlib.suppress(WebDriverException, HTTPError):
                self.driver.quit()
            self._gone = True
        engines.kill(self.driver, self.profile)
