"""Takes the README's picture: the office at a desk and a technician on a phone, on the same job of the demo tenant.

Run from the repository's root, with Chromium and its driver installed: `.venv/bin/python docs/images/make_tour.py`.
It starts a server of its own on a database of its own, and writes `tour.png` next to this file.
"""

import base64
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).resolve().parents[2]
PICTURE = Path(__file__).with_name("tour.png")
SIZE = (1400, 800)
DESK, PHONE = (1280, 800), (390, 844)
LIVE = "document.querySelector('.sync-state[data-phase=live][data-pending=\"0\"]')"
RECORD = "location.hash.split('/').length > 3 && document.querySelector('.record:not([hidden]) .control')"
STATUS = "[data-field=status] select"
#: The newest visits first: a list of many kinds of work.
LIST = "localStorage.setItem('moat.list.jobs', JSON.stringify({ sort: { field: 'scheduled_at', descending: true } }))"
PAGE = """<!doctype html><style>
  body {{ margin: 0; position: relative; width: {width}px; height: {height}px; overflow: hidden;
    background: linear-gradient(160deg, #e3eef1, #cfdfe5); }}
  img {{ position: absolute; display: block;
    box-shadow: 0 1px 3px rgb(10 40 50 / .2), 0 24px 60px rgb(10 40 50 / .22); }}
  .desk {{ left: 40px; top: 44px; width: 1072px; border-radius: 12px; }}
  .phone {{ right: 40px; bottom: 28px; width: 310px; border-radius: 34px; border: 7px solid #14212a; }}
</style><img class="desk" src="data:image/png;base64,{desk}"><img class="phone" src="data:image/png;base64,{phone}">"""


def main() -> None:
    """Start everything, take the picture, stop everything."""
    folder = Path(tempfile.mkdtemp(prefix="moat-tour-"))
    port = _free_port()
    environment = {**os.environ, "MOAT_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings.dev"}
    for command in ("migrate", "demo_data"):
        subprocess.run(
            [sys.executable, "manage.py", command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
        )
    server = subprocess.Popen(
        [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    people: list[webdriver.Chrome] = []
    try:
        _wait_for(port)
        people.extend(_browser(folder / user, size) for user, size in (("tom", PHONE), ("olga", DESK)))
        for person, user in zip(people, ("tom", "olga"), strict=True):
            _log_in(person, user, f"http://127.0.0.1:{port}/app/")
        PICTURE.write_bytes(_picture(*people))
    finally:
        for person in people:
            person.quit()
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _browser(profile: Path, size: tuple[int, int]) -> webdriver.Chrome:
    """Return a browser with a sharp screen."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--lang=en-GB",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    _screen_of(browser, size, 2)
    return browser


def _log_in(browser: webdriver.Chrome, user: str, app: str) -> None:
    """Log in, and show the jobs."""
    browser.get(app)
    _until(browser, "document.querySelector('input[name=password]')")
    for name, value in (("tenant", "acme"), ("user", user), ("password", user)):
        browser.find_element(By.NAME, name).send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "form button[type=submit]").click()
    _until(browser, LIVE)
    browser.execute_script(LIST)
    browser.execute_script("location.hash = '#/o/jobs'")
    _until(browser, "document.querySelector('.item .title')")


def _picture(tom: webdriver.Chrome, olga: webdriver.Chrome) -> bytes:
    """Tom begins a job that the office has open: both screens as they are then, in one picture."""
    tom.execute_script(
        "[...document.querySelectorAll('.chip')].find((chip) => chip.textContent === 'Scheduled').click()"
    )
    _until(tom, "document.querySelector('.item .status')?.textContent === 'Scheduled'")
    tom.execute_script("document.querySelector('.item').click()")
    _until(tom, RECORD)
    olga.execute_script("location.hash = arguments[0]", tom.execute_script("return location.hash"))
    _until(olga, RECORD)
    tom.find_element(By.CSS_SELECTOR, STATUS).send_keys("In progress")
    _until(tom, "document.querySelector('.foot:not([hidden]) .primary:enabled')").click()
    _until(olga, f"document.querySelector('{STATUS}').value === 'in_progress'")
    for browser in (tom, olga):
        _until(browser, f"!document.querySelector('.toast') && {LIVE}")
        browser.execute_script("document.activeElement.blur()")
    desk, phone = (_screenshot(browser) for browser in (olga, tom))
    olga.get("about:blank")
    _screen_of(olga, SIZE, 1.5)
    page = PAGE.format(width=SIZE[0], height=SIZE[1], desk=desk, phone=phone)
    olga.execute_script(
        "document.documentElement.innerHTML = arguments[0]; "
        "return Promise.all([...document.images].map((image) => image.decode()))",
        page,
    )
    return base64.b64decode(_screenshot(olga))


def _until(browser: webdriver.Chrome, condition: str) -> Any:
    """Wait until a JavaScript expression is true, and return it."""
    return WebDriverWait(browser, 45).until(lambda one: one.execute_script(f"return {condition}"))


def _screen_of(browser: webdriver.Chrome, size: tuple[int, int], scale: float) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": scale, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def _screenshot(browser: webdriver.Chrome) -> str:
    time.sleep(0.5)  # the last transition has ended
    return str(browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("The server did not start.")


if __name__ == "__main__":
    main()
