"""A line of the log: JSON, without secrets, local variables, and values that the text of an exception quotes."""

import io
import json
import logging
import sqlite3
import sys
import threading

import pytest
import structlog

from config.logs import setup
from config.logs.exceptions import describe, text_of
from config.logs.lines import MAX_LINE
from config.logs.queued import QueuedLines, RepeatLimit, Stream
from config.logs.secrets import REDACTED, Redactor
from sync import metrics
from tenants.errors import MoatError
from tenants.tokens import PREFIX, _new_token

PRODUCTION = {"level": "INFO", "json": True, "queue": False, "repeat_limit": False, "all_texts": False}
#: Constant, because test IDs hold it, and all workers must collect the same tests.
TOKEN = f"{PREFIX}q7Zb0vHn3KxT9sWmR2yLdE5uAj8cGf4PiO6tVhNkXwQ"
SECRET_VALUE = "The boiler's code is 4711"


class Lines(io.StringIO):
    @property
    def parsed(self):
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def written(settings):
    """What production logging writes, from structlog and the standard library."""
    settings.SECRET_KEY = "the-key-of-this-server-" + "k" * 40
    lines = Lines()
    handler = setup.make_handler(PRODUCTION, lines)
    root = logging.getLogger()
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)


def fail(token, value):
    local = {"password": "hunter2", "value": value, "token": token}
    raise ValueError(f"{local['value']!r} is wrong")


def test_an_exception_has_its_type_and_places_but_neither_locals_nor_values(written):
    try:
        fail(TOKEN, SECRET_VALUE)
    except ValueError:
        structlog.get_logger("sync.test").exception("failed", device="d1")
        logging.getLogger("django.request").exception("Internal Server Error: %s", "/api/records/jobs/")
    ours, theirs = written.parsed
    assert ours["event"] == "failed" and ours["device"] == "d1" and ours["level"] == "error"
    assert ours["logger"] == "sync.test" and ours["timestamp"].endswith("Z")
    for line in (ours, theirs):
        (error,) = line["exception"]
        assert error["type"] == "ValueError"
        assert error["frames"][-1].startswith("tests/logs/test_lines.py:") and error["frames"][-1].endswith(" fail")
        assert "message" not in error
    for secret in (TOKEN, "hunter2", SECRET_VALUE, "4711"):
        assert secret not in written.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        f"connected with {TOKEN}",
        f"Authorization: Bearer {TOKEN}",
        f"{{'authorization': 'Token {TOKEN}'}}",
        f"[(b'authorization', b'Basic {TOKEN}')]",
        f"GET /ws/sync?token={TOKEN[5:]} HTTP/1.1",
        f'{{"password": "{TOKEN[5:]}"}}',
        f"password={TOKEN[5:]}&user=olga",
        f"Cookie: sessionid={TOKEN[5:]}",
        f"redis://user:{TOKEN[5:]}@host:6379/0",
        f"eyJhbGciOiJIUzI1NiJ9.{TOKEN[5:]}.c2lnbmF0dXJl",
        f"csrftoken={TOKEN[5:]}",
    ],
)
def test_a_secret_in_a_text_is_removed_wherever_it_comes_from(written, text):
    structlog.get_logger("sync.test").warning(text, note=text, nested=[{"deeper": text}])
    logging.getLogger("uvicorn.error").warning("It said %s", text)
    for line in written.getvalue().splitlines():
        assert TOKEN[5:] not in line
        assert REDACTED in line or "[query]" in line


@pytest.mark.parametrize("key", ["token", "password", "Authorization", "cookie", "V1_JWT_SECRET", "api_key", "csrf"])
def test_a_value_under_a_telling_key_is_replaced_whole(written, key):
    structlog.get_logger("sync.test").warning("failed", **{key: "abc"}, headers={key: "abc"})
    assert written.parsed[0][key] == REDACTED and written.parsed[0]["headers"] == {key: REDACTED}


def test_the_servers_own_secrets_are_removed_as_they_are(written, settings):
    logging.getLogger("some.library").error("signing with %s failed", settings.SECRET_KEY)
    assert written.parsed[0]["event"] == f"signing with {REDACTED} failed"


def test_a_number_or_an_id_is_not_taken_for_a_secret(written):
    structlog.get_logger("sync.test").info("built", tenant_id=3, seconds=0.25, channel="full", ok=True, none=None)
    line = written.parsed[0]
    assert (line["tenant_id"], line["seconds"], line["channel"], line["ok"], line["none"]) == (
        3,
        0.25,
        "full",
        True,
        None,
    )


def test_a_long_or_deep_value_is_cut(written):
    deep = []
    for _ in range(100):
        deep = [deep]
    structlog.get_logger("sync.test").warning("long", text="x" * 100_000, deep=deep, many=["y" * 1500] * 1000)
    (line,) = written.getvalue().splitlines()
    assert len(line) <= MAX_LINE
    assert json.loads(line)["event"] == "long"


def test_asyncio_does_not_quote_an_exception_that_nobody_retrieved(written):
    logging.getLogger("asyncio").error(
        f"Task exception was never retrieved\nfuture: <Task exception={ValueError(SECRET_VALUE)!r}>"
    )
    assert "4711" not in written.getvalue() and "ValueError" in written.getvalue()


def test_a_thread_that_dies_is_logged_without_its_values(written, capfd):
    thread = threading.Thread(target=fail, args=(TOKEN, SECRET_VALUE), name="worker")
    hook, threading.excepthook = threading.excepthook, setup._thread_died
    try:
        thread.start()
        thread.join()
    finally:
        threading.excepthook = hook
    (line,) = written.parsed
    assert line["level"] == "critical" and "worker" in line["event"] and line["exception"][0]["type"] == "ValueError"
    assert SECRET_VALUE not in written.getvalue()


# Texts of exceptions


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


def sqlite_error(statement, *values):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE jobs (title TEXT UNIQUE)")
    database.execute("INSERT INTO jobs VALUES ('a')")
    try:
        database.execute(statement, values)
    except sqlite3.Error as error:
        return error
    finally:
        database.close()
    raise AssertionError("no error")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError(SECRET_VALUE), ""),
        (KeyError(SECRET_VALUE), ""),
        (RuntimeError(SECRET_VALUE), ""),
        (AssertionError(SECRET_VALUE), ""),
        (MoatError("forbidden", SECRET_VALUE), "forbidden"),
        (TypeError("unhashable type: 'list'"), "unhashable type: 'list'"),
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (sqlite_error("SELECT * FROM absent"), "no such table: absent"),
        (sqlite_error("INSERT INTO jobs VALUES (?)", "a"), "UNIQUE constraint failed: jobs.title"),
        (sqlite3.OperationalError("bad path: 'it's 4711' here"), "bad path: [value] here"),
    ],
)
def test_the_text_of_an_exception_is_logged_only_if_it_cannot_quote_a_value(error, text):
    assert text_of(error) == text


class Diagnosis:
    def __init__(self, sqlstate):
        self.sqlstate, self.table_name, self.column_name, self.constraint_name = sqlstate, "jobs", None, "one_code"


class PostgresError(Exception):
    def __init__(self, text, sqlstate):
        super().__init__(text)
        self.diag = Diagnosis(sqlstate)


@pytest.mark.parametrize(
    ("sqlstate", "message", "text"),
    [
        ("22P02", f'invalid input syntax for type bigint: "{SECRET_VALUE}"', "SQLSTATE 22P02 jobs one_code"),
        ("23505", f"duplicate key\nDETAIL: Key (code)=({SECRET_VALUE})", "SQLSTATE 23505 jobs one_code"),
        ("42P01", f'relation "jobs" does not exist\nLINE 1: {SECRET_VALUE}', 'relation "jobs" does not exist'),
        (None, "connection failed: Connection refused", "connection failed: Connection refused"),
    ],
)
def test_postgresql_is_quoted_only_where_it_speaks_of_the_schema_or_the_connection(sqlstate, message, text):
    assert text_of(PostgresError(message, sqlstate)) == text


def test_causes_and_groups_are_described_and_the_chain_is_bounded():
    try:
        try:
            fail(TOKEN, SECRET_VALUE)
        except ValueError as cause:
            raise ExceptionGroup("several", [KeyError(SECRET_VALUE), OSError(28, "No space left on device")]) from cause
    except ExceptionGroup as group:
        outer, inner = describe(group)
    assert inner["type"] == "ValueError"
    assert outer["members"] == ["KeyError", "OSError: [Errno 28] No space left on device"]
    assert "4711" not in str((outer, inner))
    loop = raised(RuntimeError())
    loop.__cause__ = raised(ValueError())
    loop.__cause__.__cause__ = loop
    assert len(describe(loop)) == 2


def test_who_asks_for_them_gets_the_texts():
    assert text_of(ValueError("a\nb"), all_texts=True) == "a"


# Repeats


def record(event, level=logging.WARNING, error=None, name="sync.test"):
    made = logging.LogRecord(name, level, "", 0, event, (), None)
    if error is not None:
        made.exc_info = (type(error), error, None)
    return made


def test_a_storm_of_one_event_is_one_line_a_second_that_counts_the_rest(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("config.logs.queued.time.monotonic", lambda: now[0])
    limit = RepeatLimit()
    assert [limit.filter(record("write_postponed")) for _ in range(330)] == [True] + [False] * 329
    assert limit.filter(record("another event")) and limit.filter(record("write_postponed", error=OSError()))
    now[0] += 1
    last = record("write_postponed")
    assert limit.filter(last) and last.suppressed == 329


def test_routine_events_have_room_and_the_memory_of_kinds_is_bounded(monkeypatch):
    monkeypatch.setattr("config.logs.queued.time.monotonic", lambda: 100.0)
    limit = RepeatLimit()
    assert sum(limit.filter(record("snapshot_built", logging.INFO)) for _ in range(100)) == 20
    for number in range(5000):
        limit.filter(record(f"event {number}"))
    assert len(limit._kinds) <= 1000


def test_suppressed_lines_are_counted_in_the_line(written):
    made = record("write_postponed")
    made.suppressed = 7
    logging.getLogger().handle(made)
    assert written.parsed[0]["suppressed"] == 7


# The thread that writes


class Stuck(logging.Handler):
    def __init__(self):
        super().__init__()
        self.let_go, self.lines = threading.Event(), []

    def emit(self, record):
        self.let_go.wait(30)
        self.lines.append(record.getMessage())


def test_a_log_that_is_stuck_delays_nobody_and_says_what_it_lost():
    stuck = Stuck()
    handler = QueuedLines(stuck, lines=10)
    handler.start()
    dropped = metrics.log_lines_dropped._value.get()
    try:
        for number in range(50):  # would never end if one of them waited
            handler.handle(record(f"event {number}"))
        assert metrics.log_lines_dropped._value.get() - dropped >= 39
    finally:
        stuck.let_go.set()
    handler.stop()
    lost = 50 - len(stuck.lines)
    handler._listener.start()
    handler.handle(record("afterwards"))
    handler.stop()
    assert stuck.lines[-2:] == [f"log_lines_dropped: {lost}", "afterwards"]


def test_a_full_disk_is_counted_and_prints_nothing(capfd):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    dropped = metrics.log_lines_dropped._value.get()
    Stream(Full()).handle(record("lost"))
    assert metrics.log_lines_dropped._value.get() == dropped + 1
    assert capfd.readouterr().err == ""


def test_a_queued_line_keeps_no_exception_and_no_request():
    class Keep(logging.Handler):
        def emit(self, record):
            kept.append(record)

    kept = []
    handler = QueuedLines(Keep())
    handler.start()
    made = record("failed", error=raised(ValueError(SECRET_VALUE)))
    made.request = object()
    handler.handle(made)
    handler.stop()
    assert kept[0].exc_info is None and not hasattr(kept[0], "request")


def test_the_end_of_a_process_does_not_wait_for_a_log_that_is_stuck(monkeypatch):
    monkeypatch.setattr("config.logs.queued._EXIT_SECONDS", 0.01)
    stuck = Stuck()
    handler = QueuedLines(stuck, lines=2)
    handler.start()
    for number in range(10):
        handler.handle(record(f"event {number}"))
    handler.stop()  # would never return
    stuck.let_go.set()


def test_every_device_token_matches_the_filter():
    assert PREFIX == "moat_"
    assert all(_new_token() not in Redactor().text(f"x{_new_token()}x") for _ in range(10))
    token = _new_token()
    assert token not in Redactor().text(f"got ({token})")


def test_django_sends_its_records_through_the_one_handler():
    assert logging.getLogger("django").handlers == [] and logging.getLogger("django").propagate
    assert setup._handler in logging.getLogger().handlers
    assert sys.stderr is not None
