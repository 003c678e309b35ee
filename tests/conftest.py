"""Fixtures and rules for all tests of the server."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from django.conf import settings
from django.db import connection
from pytest_django import DjangoDbBlocker

from sync.transports import runtime

OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
#: pytest-django lets a test reach the database by these only.
DATABASE_FIXTURES = {
    "db",
    "transactional_db",
    "django_db_reset_sequences",
    "django_db_serialized_rollback",
    "live_server",
}
LEFT_OUT = "left to the run on SQLite"

# A busy machine is no failure: benchmarks measure speed, tests do not.
hypothesis.settings.register_profile("moat", deadline=None)
hypothesis.settings.load_profile("moat")

# Where the machine's Node was too old, or none, what tests run takes that of the environment (config/scripts/node.sh).
if Path(sys.executable).with_name("node").exists():
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


@pytest.fixture(scope="session", autouse=True)
def _no_session_outlives_the_tests(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """PostgreSQL does not drop a database that a thread of some test's server still holds a connection to."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(OTHERS)


@pytest.fixture(autouse=True)
def _no_runtime_outlives_its_test() -> Iterator[None]:
    """A server that was not shut down would serve the next test from an event loop that has ended."""
    yield
    left, runtime._runtime = runtime._runtime, None
    assert left is None, "this test left a server's runtime behind: shut the server down"


def _reaches_database(item: pytest.Item) -> bool:
    """Whether a test uses a database."""
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & DATABASE_FIXTURES) or item.get_closest_marker("django_db") is not None


def _differs_by_database(item: pytest.Item) -> bool:
    """Whether another database could change what a test finds. A browser does not see which one it is."""
    return item.get_closest_marker("database") is not None and item.get_closest_marker("browser") is None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what drives a browser. On PostgreSQL run what can differ there; the rest is left to the run on SQLite, and counted."""
    for item in items:
        if "windows" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        if _reaches_database(item):
            item.add_marker("database")
    if not settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        return
    left_out = [item for item in items if not _differs_by_database(item)]
    items[:] = [item for item in items if _differs_by_database(item)]
    config.hook.pytest_deselected(items=left_out)
    if hasattr(config, "workeroutput"):
        config.workeroutput[LEFT_OUT] = len(left_out)
    else:
        config.stash[_left_out] = len(left_out)


_left_out = pytest.StashKey[int]()


class FromWorkers:
    """Hears from the processes of pytest-xdist what only they know. Each collects all tests: the numbers are equal."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Keep how many tests a worker left out."""
        told = getattr(node, "workeroutput", {})
        if LEFT_OUT in told:
            node.config.stash[_left_out] = told[LEFT_OUT]  # type: ignore[attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    """Listen to the workers, if there are any."""
    config.pluginmanager.register(FromWorkers())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests measured, and how many were left out."""
    measured = [
        each
        for report in terminalreporter.getreports("passed")
        for each in report.user_properties
        if report.when == "call"
    ]
    if measured:
        terminalreporter.section("measured")
        for name, value in sorted(measured):
            terminalreporter.line(f"{name}: {value}")
    if count := config.stash.get(_left_out, 0):
        terminalreporter.line(
            f"{count} tests {LEFT_OUT}: they reach no database, or drive a browser, which does not see it"
        )
