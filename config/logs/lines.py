"""Turn an event, of structlog or of the standard library, into a line of text."""

import re
import sys
from collections.abc import MutableMapping, Sequence
from logging import LogRecord
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from config.logs.exceptions import describe, summary
from config.logs.secrets import Redactor

MAX_LINE = 16_384
#: asyncio writes an exception's repr into its message: "… exception=ValueError('value')>".
_ASYNCIO_ERROR = re.compile(r"exception=([\w.]+)\(.*\)", re.DOTALL)
_OWN_KEYS = ("timestamp", "level", "logger", "event")


class SafeEvent:
    """The one processor between every event and its line: describes exceptions and removes secrets."""

    def __init__(self, secrets: Sequence[str], *, all_texts: bool) -> None:
        self._redactor = Redactor(secrets)
        self._all_texts = all_texts

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> EventDict:
        """Return the event as it may be logged."""
        record = event.pop("_record", None)
        own = event.pop("_from_structlog", False)
        error = _exception(event.pop("exc_info", None))
        event.pop("stack_info", None)
        suppressed = getattr(record, "suppressed", 0)
        if not own and isinstance(event.get("event"), str):
            event["event"] = _ASYNCIO_ERROR.sub(r"exception=\1", event["event"])
        head = {key: self._redactor.value(event.pop(key, None)) for key in _OWN_KEYS}
        rest = {key: self._plain(value) for key, value in event.items()}
        safe: EventDict = {**head, **self._redactor.mapping(rest)}
        if suppressed:
            safe["suppressed"] = suppressed
        if error is not None:
            safe["exception"] = self._redactor.value(describe(error, all_texts=self._all_texts))
        return safe

    def _plain(self, value: Any) -> Any:
        return summary(value, all_texts=self._all_texts) if isinstance(value, BaseException) else value


def _exception(exc_info: Any) -> BaseException | None:
    """Return the exception that `exc_info` means: an exception, a triple, or true for the one being handled."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) > 1 else None
    return sys.exc_info()[1] if exc_info else None


def _json(logger: Any, method: str, event: EventDict) -> str:
    line = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode("utf-8", "replace")
    if len(line) <= MAX_LINE:
        return line
    short = {key: event.get(key) for key in _OWN_KEYS} | {"cut": len(line)}
    return orjson.dumps(short, default=str).decode("utf-8", "replace")


def _console(logger: Any, method: str, event: EventDict) -> str:
    """Render a line for people, with an exception's frames below it."""
    error = event.pop("exception", None)
    line = str(_PLAIN(logger, method, event))
    for entry in error or ():
        line += "\n  Traceback, the innermost place last:"
        line += "".join(f"\n    {frame}" for frame in entry["frames"])
        line += f"\n  {entry['type']}: {entry.get('message', '')}"
    return line[:MAX_LINE]


_PLAIN = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def formatter(secrets: Sequence[str], *, json: bool, all_texts: bool) -> structlog.stdlib.ProcessorFormatter:
    """Return the formatter of every handler: JSON lines, or text for people."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[*_SHARED, SafeEvent(secrets, all_texts=all_texts), _json if json else _console]
    )


def _level_and_logger(logger: Any, method: str, event: EventDict) -> EventDict:
    record: LogRecord = event["_record"]
    event["level"], event["logger"] = record.levelname.lower(), record.name
    return event


_SHARED: list[Processor] = [_level_and_logger, structlog.processors.TimeStamper(fmt="iso", utc=True)]
