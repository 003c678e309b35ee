"""Settings of the servers of the app's tests: early snapshots, and a shutdown after which no client reconnects."""

from tests.browser.settings import *  # noqa: F403

MOAT = {"SNAPSHOT_ROWS": 100, "SNAPSHOT_TAIL": 50, "DRAIN_SECONDS": 900}
