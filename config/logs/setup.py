"""Set up logging for structlog and the standard library alike. Django calls `configure` by `LOGGING_CONFIG`."""

import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings

from config.logs.lines import formatter
from config.logs.queued import QueuedLines, RepeatLimit, Stream

OWN = ("config", "sync", "layouts", "metadata", "tenants")
"""Loggers that `LOG_LEVEL` applies to. Libraries stay at INFO: below it they log statements with their values."""
_SERVERS = ("django", "django.server", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "daphne")
_handler: logging.Handler | None = None


def configure(config: Mapping[str, Any]) -> None:
    """Send every record through one handler.

    Keys: `json`, `queue`, `repeat_limit`, `all_texts` (bools), and `level`.
    """
    global _handler
    root = logging.getLogger()
    if _handler is not None:
        root.removeHandler(_handler)
        if isinstance(_handler, QueuedLines):
            _handler.stop()
    _handler = make_handler(config, sys.stderr)
    root.addHandler(_handler)
    root.setLevel(logging.INFO)
    for name in OWN:
        logging.getLogger(name).setLevel(config["level"])
    # Servers bring handlers of their own, which would write what the filter removes. Daphne's is on the root logger.
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    for name in _SERVERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(False)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    threading.excepthook = _thread_died


def make_handler(config: Mapping[str, Any], stream: Any) -> logging.Handler:
    """Return the handler that `configure` installs, writing to `stream`."""
    target = Stream(stream)
    handler: logging.Handler = QueuedLines(target) if config["queue"] else target
    handler.setFormatter(formatter(list(_secrets()), json=config["json"], all_texts=config["all_texts"]))
    if config["repeat_limit"]:
        handler.addFilter(RepeatLimit())
    if isinstance(handler, QueuedLines):
        handler.start()
    return handler


def _secrets() -> Iterator[str]:
    """Yield the secrets of this server that must not appear in its log, wherever they come from."""
    yield settings.SECRET_KEY
    yield from map(str, settings.SECRET_KEY_FALLBACKS)
    yield settings.METRICS_TOKEN
    yield settings.V1_JWT["secret"]
    for database in settings.DATABASES.values():
        yield database.get("PASSWORD") or ""
    yield urlsplit(settings.REDIS_URL).password or ""


def _thread_died(args: threading.ExceptHookArgs) -> None:
    """Log a thread that ended by an exception. The default would print the exception's text."""
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else "?"
        logging.getLogger(__name__).critical("A thread ended: %s", name, exc_info=args.exc_value)
