"""Settings shared by all environments. Operators configure them with environment variables (docs/guides/operate.md)."""

import warnings
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from config.headers import PAGES, static_headers
from config.private_files import private_database, private_directory

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = Path(env.str("MOAT_DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
private_directory(DATA_DIR)
PORT = env.int("PORT", default=8000)

DEFAULT_SECRET_KEY = "insecure-key-for-development-only-never-in-production"  # noqa: S105
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default=DEFAULT_SECRET_KEY)
if not DEBUG and SECRET_KEY == DEFAULT_SECRET_KEY:
    raise ImproperlyConfigured(
        "DEBUG is off but SECRET_KEY is the development default. Set SECRET_KEY to at least 50 random characters."
    )
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Origins of apps that embed the web client (docs/guides/ios.md). They may call the API and open the WebSocket with a
# device's token. Never add a web site's origin. Cookies are not accepted here, and CORS never lets a browser send them.
APP_ORIGINS: list[str] = env.list("APP_ORIGINS", default=["capacitor://localhost"])
CORS_ALLOWED_ORIGINS = APP_ORIGINS
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = ("accept", "authorization", "content-type", "if-match", "if-none-match", "if-range", "range")
CORS_EXPOSE_HEADERS = ("content-range", "etag", "retry-after")

INSTALLED_APPS = [
    "config.apps.MoatAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "tenants",
    "metadata",
    "layouts",
    "sync",
    "sync.entities",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


ENGINES = ("django.db.backends.sqlite3", "django.db.backends.postgresql")


def database(url: str) -> dict[str, Any]:
    """Return Django's settings for a database URL, with the options Moat needs for SQLite and PostgreSQL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # reject unknown schemes here; environ only warns
        settings: dict[str, Any] = environ.Env.db_url_config(url)
    if settings.get("ENGINE") not in ENGINES:
        kind = url.partition(":")[0]
        raise ImproperlyConfigured(
            f"DATABASE_URL uses unsupported scheme {kind!r}. Use sqlite:////path or postgres://user:password@host/name."
        )
    if settings["ENGINE"].endswith("sqlite3"):
        settings["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384; "
                "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=268435456;"
            ),
        }
        settings["CONN_MAX_AGE"] = None
    else:
        settings["CONN_MAX_AGE"] = env.int("DB_CONN_MAX_AGE", default=60)
        settings["CONN_HEALTH_CHECKS"] = True
    settings["ATOMIC_REQUESTS"] = False
    return settings


# Treat an empty value as unset: compose files pass unset variables on as empty ones.
DATABASES = {"default": database(env.str("DATABASE_URL", default="") or f"sqlite:///{DATA_DIR / 'moat.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    private_database(DATABASES["default"]["NAME"])
REDIS_URL = env.str("REDIS_URL", default="")
# Bearer token that grants access to /metrics. Without it, only superusers can read the metrics.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# JSON Web Tokens for SyncProtocol v1, in addition to device tokens: a shared secret (HS256) or the URL of the issuer's
# public keys (RS256).
V1_JWT = {
    "secret": env.str("V1_JWT_SECRET", default=""),
    "jwks_url": env.str("V1_JWT_JWKS_URL", default=""),
    "issuer": env.str("V1_JWT_ISSUER", default=""),
    "audience": env.str("V1_JWT_AUDIENCE", default=""),
}
# JSON lines, written by a thread of their own, so that a slow or full log stops nothing. Most exceptions quote values,
# so they are left out unless LOG_EXCEPTION_TEXT says otherwise (docs/guides/operate.md).
LOGGING_CONFIG = "config.logs.configure"
LOGGING: dict[str, Any] = {
    "level": env.str("LOG_LEVEL", default="INFO").upper(),
    "json": not DEBUG,
    "queue": not DEBUG,
    "repeat_limit": not DEBUG,
    "all_texts": env.bool("LOG_EXCEPTION_TEXT", default=DEBUG),
}
if LOGGING["level"] not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
    raise ImproperlyConfigured("LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR, or CRITICAL.")
# Seconds for the headers of a request, and again for its body; a large body gets a second more for each 16 KiB.
BODY_SECONDS = env.float("BODY_SECONDS", default=30.0)
# Devices of one user in one tenant that are not revoked.
DEVICES_PER_USER = env.int("DEVICES_PER_USER", default=50)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# The admin's second factor: optional for each staff user, or required of all of them.
ADMIN_SECOND_FACTOR = env.str("ADMIN_SECOND_FACTOR", default="") or "optional"
if ADMIN_SECOND_FACTOR not in ("optional", "required"):
    raise ImproperlyConfigured(f"ADMIN_SECOND_FACTOR must be optional or required, not {ADMIN_SECOND_FACTOR!r}.")
OTP_TOTP_ISSUER = "Moat"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
# The web client: plain modules, served as they are. `npm run build` adds the one library they need.
STATICFILES_DIRS = [(f"web/{part}", BASE_DIR / "clients" / "web" / part) for part in ("sdk", "app", "examples")]
# Serve static files directly from the apps, so that no collectstatic step is needed.
WHITENOISE_USE_FINDERS = True
WHITENOISE_ADD_HEADERS_FUNCTION = static_headers

# Settings of the engine. Read them through `sync.conf.limits` and similar functions, which add types and defaults.
MOAT: dict[str, Any] = {}

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "sync.transports.rest.auth.DeviceAuthentication",
        "sync.transports.rest.auth.TenantSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["sync.transports.rest.auth.InTenant"],
    "DEFAULT_PARSER_CLASSES": ["sync.transports.rest.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "sync.transports.rest.renderers.BrowsableRenderer",
    ],
    "EXCEPTION_HANDLER": "sync.transports.rest.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    # Sign-in attempts per address and user, and per address.
    "DEFAULT_THROTTLE_RATES": {
        "login": env.str("LOGIN_RATE", default="10/min"),
        "login_address": env.str("LOGIN_ADDRESS_RATE", default="100/min"),
    },
    # Number of trusted proxies that set X-Forwarded-For. With 0, the client address is the connection's own.
    "NUM_PROXIES": env.int("NUM_PROXIES", default=0),
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Moat API",
    "DESCRIPTION": "A tenant's object types, layouts, and records. Writes use the same engine as every sync client.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
}

CACHES: dict[str, Any] = {
    "default": {"BACKEND": "config.caches.RedisOrLocalCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "moat"}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# HTTPS is required whenever DEBUG is off. Behind a TLS-terminating proxy, set HTTPS_PROXY_HEADER=1. To test a
# production set-up on a plain local port, set HTTPS=0.
HTTPS = env.bool("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = HTTPS
# SyncProtocol v1 rejects plain HTTP itself, because a redirected POST would lose its body. Health checks are exempt:
# load balancers send them behind the TLS-terminating proxy and treat a redirect as a failure.
SECURE_REDIRECT_EXEMPT = [r"^v1/", r"^health$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
# Preloading binds every subdomain for years, and browsers take long to forget it: an operator has to ask for it.
SECURE_HSTS_PRELOAD = HTTPS and env.bool("HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # the check that asks for preloading
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
if env.bool("HTTPS_PROXY_HEADER", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
# Static files have their own policy (`static_headers`). A 304 carries none, and with one added here, a browser
# would replace the stored policy of a worker.
CONTENT_SECURITY_POLICY = {"DIRECTIVES": PAGES, "EXCLUDE_URL_PREFIXES": [f"/{STATIC_URL}"]}
