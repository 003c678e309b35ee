"""The web client in a real Chromium: first sync, catch-up, long lists, and an edit's latency to another browser."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver

from benchmarks.replicas import push_updates
from benchmarks.report import Figure, at_least, at_most, median, percentile
from benchmarks.server import Server, moat

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-timer-throttling",
)
SCRIPT = Path(__file__).with_name("browser.js").read_text()
PATIENCE = 600

# The functions of browser.js and one call of them. Inserted as text, because the page's policy forbids `eval`.
_RUN = """
const done = arguments[arguments.length - 1];
(async (args) => { %s
return await %s; })(arguments[0])
  .then((value) => done({ value }), (error) => done({ error: String(error.stack ?? error) }));
"""


class Page:
    """A Chromium with its own profile, showing one page of the server."""

    def __init__(self, server: Server) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="moat-bench-chromium-"))
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in (*ARGUMENTS, f"--user-data-dir={self.home}"):
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        self.driver.set_script_timeout(PATIENCE)
        self.driver.get(f"http://127.0.0.1:{server.port}/static/web/examples/blank.html")

    def run(self, call: str, **args: Any) -> Any:
        """Call a function of browser.js and return its value."""
        answer = self.driver.execute_async_script(_RUN.replace("%s", SCRIPT, 1).replace("%s", call, 1), args)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def cpu_seconds(self) -> float:
        """Return the CPU seconds used by the browser's page processes, a figure that hardly depends on other load."""
        ticks = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                if b"--type=renderer" not in command or not self._owns(folder):
                    continue
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
            except (FileNotFoundError, ProcessLookupError):
                continue
        return ticks / os.sysconf("SC_CLK_TCK")

    def _owns(self, folder: Path) -> bool:
        """Return whether a process descends from this page's driver."""
        while folder.name not in ("0", "1"):
            if int(folder.name) == self.driver.service.process.pid:
                return True
            folder = folder.with_name((folder / "stat").read_text().rpartition(")")[2].split()[1])
        return False

    def quit(self) -> None:
        """Close the browser and remove its profile."""
        self.driver.quit()
        shutil.rmtree(self.home, ignore_errors=True)


@contextmanager
def _pages(server: Server, count: int) -> Iterator[list[Page]]:
    pages: list[Page] = []
    try:
        pages.extend(Page(server) for _ in range(count))  # if one fails to start, the ones before it are still closed
        yield pages
    finally:
        for page in pages:
            page.quit()


async def browser(records: int, changes: int) -> list[Figure]:
    """Measure the web client; return no figures if Chromium or its driver is missing."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        return []
    async with moat(devices=1, records=records) as server:
        with _pages(server, 2) as pages:
            return await _measure(server, pages, records, changes)


async def _measure(server: Server, pages: list[Page], records: int, changes: int) -> list[Figure]:
    login = {"tenant": server.tenant["slug"], "user": f"user-{server.tenant['slug']}", "password": "secret"}
    before = pages[0].cpu_seconds()
    bare = ("plain sqlite-wasm in the page", await asyncio.to_thread(pages[0].run, "bareRows(100000)"))
    bare_cpu = ("the same of plain sqlite-wasm", 100_000 / max(pages[0].cpu_seconds() - before, 0.01))
    # The first browser waits until the snapshot is built; the second finds it ready.
    synced = [await asyncio.to_thread(page.run, "firstSync(args)", **login) for page in pages]
    if any(one["rows"] != records for one in synced):
        raise RuntimeError("a browser is missing records")
    figures = [
        at_least(
            f"browser: first sync of {records:,} records, snapshot ready",
            records / synced[1]["seconds"],
            "rows/s",
            200_000,
            bare=bare,
        )
    ]
    figures += await _lists(pages[1])
    figures += await _catch_up(server, pages[1], changes, records, (bare, bare_cpu))
    figures += await _edits(pages)
    return figures


async def _lists(page: Page) -> list[Figure]:
    found = await asyncio.to_thread(page.run, "lists()")
    return [
        at_most("browser: long list, first window", found["first"], "ms", 100),
        at_most("browser: long list, a window anywhere, p95", percentile(found["windows"], 0.95), "ms", 100),
        at_most("browser: long list, search shown", found["search"], "ms", 300),
        Figure("browser: long list, sort by a number shown", found["number"], "ms"),
        Figure("browser: long list, sort by a unique text shown", found["text"], "ms"),
        at_most("browser: long list, window while a sort runs", found["during"], "ms", 100),
        at_most("browser: long list, edit of one record shown", found["edit"], "ms", 100),
    ]


async def _catch_up(
    server: Server, page: Page, changes: int, records: int, bare: tuple[tuple[str, float], tuple[str, float]]
) -> list[Figure]:
    await asyncio.to_thread(page.run, "moat.close()")
    await push_updates(server, server.tenant["devices"][0], server.tenant["state"], changes, records)
    await asyncio.sleep(0.5)
    before, began = page.cpu_seconds(), time.perf_counter()
    await asyncio.to_thread(page.run, "reopened()")
    wall, cpu = time.perf_counter() - began, page.cpu_seconds() - before
    return [
        Figure(
            f"browser: catch-up of {changes:,} missed changes",
            changes / wall,
            "changes/s",
            beside=bare[0][0],
            ratio=changes / wall / bare[0][1],
        ),
        at_least("the same, by the browser's CPU time", changes / max(cpu, 0.01), "changes/s", 60_000, bare=bare[1]),
    ]


async def _edits(pages: list[Page]) -> list[Figure]:
    """Time each edit by the clock both browsers share, from the call in one to the listener in the other."""
    await asyncio.to_thread(pages[0].run, "follow()")
    took = []
    for number in range(30):
        sent = await asyncio.to_thread(pages[1].run, "edit(args.text)", text=f"edit {number}")
        took.append(await asyncio.to_thread(pages[0].run, "seen(args.text)", text=f"edit {number}") - sent)
    return [
        Figure("browser: edit visible in another browser, p50", median(took), "ms"),
        Figure("the same, p95", percentile(took, 0.95), "ms"),
    ]
