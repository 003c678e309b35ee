"""Database connections of HTTP requests under ASGI."""

import threading

from django.db import connections


def close_with_request(**_: object) -> None:
    """Close what a request's thread has open.

    Under ASGI each request has a thread of its own, which ends with it. A connection kept for the next one would be used by nobody
    and stay open until the garbage collector comes by: twenty busy devices held sixty.
    """
    if threading.current_thread() is not threading.main_thread():
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()
