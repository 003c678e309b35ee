"""Tests: a separate database and fast password hashing. Warnings are errors (see pyproject.toml)."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("DEBUG", "1")
os.environ.setdefault("LOGIN_RATE", "1000/min")
os.environ.setdefault("LOGIN_ADDRESS_RATE", "1000/min")
os.environ.setdefault("MOAT_DATA_DIR", tempfile.mkdtemp(prefix="moat-test-"))
# Each pytest-xdist process has its own database, so it needs its own files too: snapshot folders and locks are named by
# tenant IDs.
os.environ["MOAT_DATA_DIR"] = str(
    Path(os.environ["MOAT_DATA_DIR"].removesuffix(os.environ.get("PYTEST_XDIST_WORKER", "")))
    / os.environ.get("PYTEST_XDIST_WORKER", "")
)

from config.settings.base import *  # noqa: F403
from config.settings.base import DATA_DIR, DATABASES, env

DEBUG = False
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Find static files on demand; otherwise every test client would list them all.
WHITENOISE_AUTOREFRESH = True
HTTPS = SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
# Use a file on SQLite, not memory: several threads and processes must see one database, as in production.
_suffix = env.str("TEST_DB_SUFFIX", default="")
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    DATABASES["default"]["TEST"] = {"NAME": f"test_moat_{_suffix}" if _suffix else "test_moat"}
