"""Writers that push until the server is killed, and checks of the log afterwards."""

import threading
import time
from collections.abc import Callable, Sequence

from sync.log.verify import verify_log
from sync.models import Change
from tenants.models import Tenant
from tests.contract.servers import ServerProcess

PATIENCE = 90


def storm_until_killed(
    server: ServerProcess, storms: Sequence[Callable[[], object]], enough: Callable[[], bool]
) -> None:
    """Run every writer in a thread, kill -9 the server after enough responses, and start it again."""
    threads = [threading.Thread(target=storm) for storm in storms]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    while not enough() and time.monotonic() < deadline:
        time.sleep(0.02)
    server.kill()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a writer never noticed that its server is gone"
    assert enough(), "the storm was too small to prove anything"
    server.start()


def assert_log_whole(tenant: Tenant) -> None:
    """No cursor is missing or duplicated, and the chain matches the lines."""
    tenant.refresh_from_db()
    cursors = Change.objects.filter(tenant=tenant).order_by("cursor").values_list("cursor", flat=True)
    assert list(cursors) == list(range(1, tenant.cursor + 1))
    assert not verify_log(tenant.pk).problems
