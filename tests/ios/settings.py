"""Settings of the servers that the app talks to: a snapshot after a few records, and a farewell after which nobody comes back by itself."""

from tests.browser.settings import *  # noqa: F403

MOAT = {"SNAPSHOT_ROWS": 100, "SNAPSHOT_TAIL": 50, "DRAIN_SECONDS": 900}
