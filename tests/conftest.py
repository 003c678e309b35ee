"""Fixtures and collection rules for all server tests."""

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

OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
#: pytest-django gives a test database access only through these.
DATABASE_FIXTURES = {
    "db",
    "transactional_db",
    "django_db_reset_sequences",
    "django_db_serialized_rollback",
    "live_server",
}
LEFT_OUT = "left to the run on SQLite"

# Keep the tests out of the keyring of the person who runs them.
os.environ.setdefault("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")

# A busy machine must not fail a test: benchmarks measure speed, tests do not.
hypothesis.settings.register_profile("moat", deadline=None)
hypothesis.settings.load_profile("moat")

# If the machine's Node is missing or too old, tests use the one in the environment (config/scripts/node.sh).
if Path(sys.executable).with_name("node").exists():
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


@pytest.fixture(scope="session", autouse=True)
def _no_session_outlives_the_tests(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Close the sessions of server threads: PostgreSQL does not drop a database that is in use."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(OTHERS)


@pytest.fixture(autouse=True)
def _no_runtime_outlives_its_test() -> Iterator[None]:
    """Stop the runtime, or it would serve the next test from an event loop that has ended."""
    yield
    left, runtime._runtime = runtime._runtime, None
    assert left is None, "this test left a server's runtime behind: shut the server down"


def _reaches_database(item: pytest.Item) -> bool:
    """Whether a test uses a database."""
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & DATABASE_FIXTURES) or item.get_closest_marker("django_db") is not None


def _differs_by_database(item: pytest.Item) -> bool:
    """Whether a test's result can depend on the database. A browser cannot tell databases apart."""
    return item.get_closest_marker("database") is not None and item.get_closest_marker("browser") is None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark browser tests. On PostgreSQL, deselect tests that cannot differ there, and count them."""
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
    """Receives results from pytest-xdist workers. Each collects all tests, so their counts agree."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Store how many tests a worker deselected."""
        told = getattr(node, "workeroutput", {})
        if LEFT_OUT in told:
            node.config.stash[_left_out] = told[LEFT_OUT]  # type: ignore[attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    """Register for workers, if there are any."""
    config.pluginmanager.register(FromWorkers())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests measured, and how many were deselected."""
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
