"""The browser engines: what each needs, how it is started on a profile, and how it is killed for real."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.webkitgtk.options import Options as WebKitOptions
from selenium.webdriver.webkitgtk.service import Service as WebKitService

Size = tuple[int, int]
DESKTOP, PHONE = (1280, 800), (390, 844)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/18.5 Mobile/15E148 Safari/604.1"
)
WKSHELL = Path(__file__).with_name("wkshell.py")
CHROMIUM_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--lang=en-GB",
    ),
    # A tab in the background works as one in front: the tests look at one tab while another goes on.
    *(
        "--disable-background-timer-throttling",
        "--disable-renderer-backgrounding",
        "--disable-backgrounding-occluded-windows",
    ),
)
#: The driver's own log, in the profile's folder; WebKit's console goes there, too.
LOG = "driver.log"


def chromium(profile: Path, size: Size, screen: str) -> WebDriver:
    """Start a headless Chromium; it needs no screen."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*CHROMIUM_ARGUMENTS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 700}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return driver


def webkit(profile: Path, size: Size, screen: str) -> WebDriver:
    """Start WebKitGTK on a virtual screen, saying it is a telephone."""
    return webkit_shell(WKSHELL, profile, screen, f"--width={size[0]}", f"--height={size[1]}", f"--ua={IPHONE}")


def webkit_shell(shell: Path, profile: Path, screen: str, *arguments: str) -> WebDriver:
    """Start one of our shells around WebKitGTK; its profile outlives it."""
    options = WebKitOptions()
    options.binary_location = str(shell)
    for argument in ("--automation", f"--profile={profile}", *arguments):
        options.add_argument(argument)
    environment = {
        **os.environ,
        "DISPLAY": screen,
        "GDK_BACKEND": "x11",
        "NO_AT_BRIDGE": "1",
        "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
    }
    service = WebKitService(shutil.which("WebKitWebDriver"), env=environment, log_output=str(profile / LOG))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Selenium's own use of its own API
        return webdriver.WebKitGTK(options=options, service=service)


Start = Callable[[Path, Size, str], WebDriver]
#: Engine → how to start it, its usual size, and the programs it needs with the Debian packages that bring them.
ENGINES: dict[str, tuple[Start, Size, dict[str, str]]] = {
    "chromium": (chromium, DESKTOP, {"chromium": "chromium", "chromedriver": "chromium-driver"}),
    "webkit": (webkit, PHONE, {"WebKitWebDriver": "webkit2gtk-driver", "Xvfb": "xvfb"}),
}


@functools.cache
def missing(engine: str) -> str:
    """Say what to install to drive an engine; nothing when it is all there."""
    absent = [package for program, package in ENGINES[engine][2].items() if not shutil.which(program)]
    if engine == "webkit" and not _gtk():
        absent += ["python3-gi", "gir1.2-webkit2-4.1", "gir1.2-gtk-3.0"]
    return f"{engine} is not installed (Debian: apt-get install {' '.join(absent)})" if absent else ""


def _gtk() -> bool:
    """Whether Debian's own Python, which runs the shell around WebKit, has what it imports."""
    probe = "import gi; gi.require_version('Gtk', '3.0'); gi.require_version('WebKit2', '4.1')"
    with contextlib.suppress(OSError):
        return subprocess.run(["/usr/bin/python3", "-c", probe], capture_output=True, check=False).returncode == 0
    return False


@contextlib.contextmanager
def virtual_screen() -> Iterator[str]:
    """Start a virtual screen for WebKit; yields its name."""
    command = [shutil.which("Xvfb") or "Xvfb", "-displayfd", "1", "-screen", "0", "1400x1024x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield f":{process.stdout.readline().decode().strip()}"
        finally:
            process.terminate()


def kill(driver: WebDriver, profile: Path) -> None:
    """kill -9 the browser, its driver and everything that works on the profile. The profile stays."""
    process = driver.service.process  # type: ignore[attr-defined]
    runs = process is not None and process.poll() is None
    for pid in _users_of(profile) | (_family(process.pid) if runs else set()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if runs:
        process.wait(10)
    for lock in profile.glob("Singleton*"):
        lock.unlink(missing_ok=True)


def _family(pid: int) -> set[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, queue = {pid}, [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found.update(below)
        queue.extend(below)
    return found


def _users_of(profile: Path) -> set[int]:
    """Processes that name the profile on their command line: some leave the family of the driver."""
    found = set()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(profile) in line.read_bytes():
                found.add(int(line.parent.name))
    return found - {os.getpid()}
