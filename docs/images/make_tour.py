"""Takes the README's picture: the office at a desk and a technician on a phone, on the same job of the demo tenant.

Run from the repository's root, with Chromium and its driver installed: `PYTHONPATH=. .venv/bin/python docs/images/make_tour.py`. It starts a server
of its own on a database of its own, and writes `tour.png` beside this file.
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

from tests.browser.engines import DESKTOP, PHONE, chromium
from tests.browser.person import Person

ROOT = Path(__file__).resolve().parents[2]
PICTURE = Path(__file__).with_name("tour.png")
SIZE = (1400, 800)
#: The newest visits first: a list of many kinds of work.
LIST = "localStorage.setItem('moat.list.jobs', JSON.stringify({ sort: { field: 'scheduled_at', descending: true } }))"
PAGE = """<!doctype html><style>
  body {{ margin: 0; position: relative; width: {width}px; height: {height}px; overflow: hidden; background: linear-gradient(160deg, #e3eef1, #cfdfe5); }}
  img {{ position: absolute; display: block; box-shadow: 0 1px 3px rgb(10 40 50 / .2), 0 24px 60px rgb(10 40 50 / .22); }}
  .desk {{ left: 40px; top: 44px; width: 1072px; border-radius: 12px; }}
  .phone {{ right: 40px; bottom: 28px; width: 310px; border-radius: 34px; border: 7px solid #14212a; }}
</style><img class="desk" src="data:image/png;base64,{desk}"><img class="phone" src="data:image/png;base64,{phone}">"""


def main() -> None:
    """Start everything, take the picture, stop everything."""
    folder = Path(tempfile.mkdtemp(prefix="moat-tour-"))
    port = _free_port()
    environment = {**os.environ, "MOAT_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings.dev"}
    for command in ("migrate", "demo_data"):
        subprocess.run([sys.executable, "manage.py", command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen(
        [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    people: list[Person] = []
    try:
        _wait_for(port)
        for user, size in (("tom", PHONE), ("olga", DESKTOP)):
            people.append(_at(user, size, folder / user, f"http://127.0.0.1:{port}"))
        PICTURE.write_bytes(_picture(*people))
    finally:
        for person in people:
            person.driver.quit()
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _at(user: str, size: tuple[int, int], profile: Path, url: str) -> Person:
    """Return somebody who is logged in, at a sharp screen."""
    person = Person(chromium(profile, size), url, profile)
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 2, "mobile": size == PHONE}
    _cdp(person, "Emulation.setDeviceMetricsOverride", metrics)
    person.go().log_in(user, password=user)
    person.js(LIST)
    return person.go("#/o/jobs").live()


def _picture(tom: Person, olga: Person) -> bytes:
    """Tom begins a job that the office has open: both screens as they are then, in one picture."""
    tom.find(".chips")
    tom.click("Scheduled", within=".chips")
    tom.until("document.querySelector('.item .status')?.textContent === 'Scheduled'")
    tom.js("document.querySelector('.item').click()")
    tom.until("/^#.o.jobs..+/.test(location.hash) && document.querySelector('.record:not([hidden]) .control')")
    olga.visit(tom.js("return location.hash")).find(".record .control")
    tom.input("status").send_keys("In progress")
    tom.save().sent()
    olga.sees("status", "in_progress")
    for person in (tom, olga):
        person.until("!document.querySelector('.toast')")
        person.js("document.activeElement.blur()")
    desk, phone = (_screen(person) for person in (olga, tom))
    olga.driver.get("about:blank")
    page = PAGE.format(width=SIZE[0], height=SIZE[1], desk=desk, phone=phone)
    _cdp(olga, "Emulation.setDeviceMetricsOverride", {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1.5, "mobile": False})
    olga.js(
        "document.documentElement.innerHTML = arguments[0]; return Promise.all([...document.images].map((image) => image.decode()))", page
    )
    return base64.b64decode(_screen(olga))


def _screen(person: Person) -> str:
    time.sleep(0.5)  # the last transition has ended
    return str(_cdp(person, "Page.captureScreenshot", {"format": "png"})["data"])


def _cdp(person: Person, command: str, arguments: dict[str, Any]) -> Any:
    return person.driver.execute_cdp_cmd(command, arguments)


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
