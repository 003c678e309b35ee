"""A request leaves no database connection open when its thread ends."""

import threading

import pytest
from django.db import connection

from config.connections import close_with_request


@pytest.mark.django_db(transaction=True)
def test_a_requests_thread_keeps_no_connection_and_a_worker_of_many_requests_keeps_its_own() -> None:
    seen: list[bool] = []

    def request() -> None:
        connection.ensure_connection()
        seen.append(connection.connection is not None)
        close_with_request()
        seen.append(connection.connection is not None)

    thread = threading.Thread(target=request)
    thread.start()
    thread.join()
    connection.ensure_connection()
    close_with_request()
    assert [*seen, connection.connection is not None] == [True, False, True]
