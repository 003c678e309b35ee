"""Settings of the servers of browser tests: early snapshots, sign-ins without a limit, and cheap password hashes."""

from config.settings.dev import *  # noqa: F403

MOAT = {"SNAPSHOT_ROWS": 1000, "SNAPSHOT_TAIL": 50}
REST_FRAMEWORK = {
    **REST_FRAMEWORK,  # noqa: F405
    "DEFAULT_THROTTLE_RATES": {"login": "1000/min", "login_address": "1000/min"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Files are looked up when asked for: who works on the client while the tests run gets what is there now.
WHITENOISE_AUTOREFRESH = True
