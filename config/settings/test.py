"""Tests: a database of its own, fast password hashing; warnings are errors (pyproject)."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("DEBUG", "1")
os.environ.setdefault("LOGIN_RATE", "1000/min")
os.environ.setdefault("LOGIN_ADDRESS_RATE", "1000/min")
os.environ.setdefault("MOAT_DATA_DIR", tempfile.mkdtemp(prefix="moat-test-"))
# Each process of pytest-xdist has a database of its own, so also its files: snapshots' folders and locks are named by tenants' ids.
os.environ["MOAT_DATA_DIR"] = str(
    Path(os.environ["MOAT_DATA_DIR"].removesuffix(os.environ.get("PYTEST_XDIST_WORKER", "")))
    / os.environ.get("PYTEST_XDIST_WORKER", "")
)

from config.settings.base import *  # noqa: F403
from config.settings.base import DATA_DIR, DATABASES, env

DEBUG = False
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Look static files up when asked for: each test client would list them all otherwise.
WHITENOISE_AUTOREFRESH = True
HTTPS = SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
# A file, not memory, on SQLite: several threads and processes must see the same database, as in production.
_suffix = env.str("TEST_DB_SUFFIX", default="")
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    DATABASES["default"]["TEST"] = {"NAME": f"test_moat_{_suffix}" if _suffix else "test_moat"}
