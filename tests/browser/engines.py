"""Browser engines that can be driven here. Offline means that the server is gone: emulated offline leaks through workers."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver

CHROMIUM_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--lang=en-GB"),
)
DESKTOP, PHONE = (1280, 800), (390, 844)


def chromium(profile: Path, size: tuple[int, int]) -> WebDriver:
    """Start Chromium on a profile that outlives it."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*CHROMIUM_ARGUMENTS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 700}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return driver


Start = Callable[[Path, tuple[int, int]], WebDriver]
#: Engine → how to start it, and the programs it needs (with the Debian packages that bring them).
ENGINES: dict[str, tuple[Start, dict[str, str]]] = {"chromium": (chromium, {"chromium": "chromium", "chromedriver": "chromium-driver"})}


def missing(engine: str) -> str:
    """Say what is missing to drive an engine; nothing when it is all there."""
    absent = [package for program, package in ENGINES[engine][1].items() if not shutil.which(program)]
    return f"{engine}: apt-get install {' '.join(absent)}" if absent else ""


def kill(driver: WebDriver, profile: Path) -> None:
    """kill -9 the browser and its driver: the tree below the driver's own process. The profile stays."""
    pid = driver.service.process.pid  # type: ignore[attr-defined]
    for each in [*_descendants(pid), pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    for lock in profile.glob("Singleton*"):
        lock.unlink(missing_ok=True)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found: list[int] = []
    queue = [pid]
    while queue:
        queue.extend(below := children.get(queue.pop(), []))
        found.extend(below)
    return found
