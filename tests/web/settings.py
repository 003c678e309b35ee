"""Settings of the servers that browser tests talk to: snapshots after a few changes, log-ins without a limit."""

from config.settings.dev import *  # noqa: F403

MOAT = {"SNAPSHOT_ROWS": 1000, "SNAPSHOT_TAIL": 50}
REST_FRAMEWORK = {**REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {"login": "1000/min", "login_address": "1000/min"}}  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
