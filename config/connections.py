"""Connections under ASGI: those of HTTP requests to the database, and daphne's sockets."""

import sys
import threading

from django.db import connections


def close_with_request(**_: object) -> None:
    """Close the database connections of a request's thread.

    Under ASGI each request has its own thread, which ends with it. A connection left open would never be reused and
    stay open until garbage collection: 20 busy devices once held 60 connections.
    """
    if threading.current_thread() is not threading.main_thread():
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()


def close_sockets_with_codes() -> None:
    """Make daphne, if it is the server, end a socket that violates RFC 6455 with a close code instead of dropping it.

    autobahn, which daphne builds on, takes the option from the protocol's class. daphne has no argument for it.
    """
    module = sys.modules.get("daphne.ws_protocol")
    if module is not None:
        module.WebSocketProtocol.failByDrop = False
