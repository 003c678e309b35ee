"""JSON Web Tokens as an alternative to device tokens.

HS256 uses a shared secret, RS256 the issuer's published keys.
"""

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

import jwt
import structlog
from django.conf import settings

from sync.transports.v1.errors import V1Code, V1Error

logger = structlog.get_logger(__name__)
_LEEWAY: Final = 30
_KEYS_FOR: Final = 300
_MOST: Final = 8192
_NAME: Final = 200
_ASK_AGAIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of a token: database, device, optional user, and expiry in seconds since 1970."""

    database: str
    device: str
    user: str | None
    until: float


def looks_like_jwt(token: str) -> bool:
    """Whether a bearer token is a JWT rather than a device token."""
    return token.count(".") == 2 and len(token) <= _MOST


def read(token: str) -> Claims:
    """Check a token and return its claims.

    Raises `V1Error` authenticationFailed, or serviceUnavailable if the issuer is unreachable.
    """
    config: dict[str, str] = settings.V1_JWT
    try:
        algorithm = jwt.get_unverified_header(token).get("alg")
        claims = jwt.decode(
            token,
            _key(token, algorithm, config),
            algorithms=[str(algorithm)],
            audience=config["audience"] or None,
            issuer=config["issuer"] or None,
            leeway=_LEEWAY,
            options={"require": ["exp"], "verify_aud": bool(config["audience"])},
        )
    except jwt.PyJWKClientConnectionError as error:
        logger.warning("jwks_unreachable", error=error)
        raise V1Error(V1Code.SERVICE_UNAVAILABLE, "Can't fetch the token issuer's keys.", retry_after=5) from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise invalid_token() from None
    return _claims(claims)


def invalid_token() -> V1Error:
    """Return the error of an invalid token. It does not say why."""
    return V1Error(V1Code.AUTHENTICATION_FAILED, "The token is not valid.")


def _key(token: str, algorithm: object, config: dict[str, str]) -> Any:
    """Return the key of a configured algorithm. A public key is never used as a secret."""
    if algorithm == "HS256" and config["secret"]:
        return config["secret"]
    if algorithm == "RS256" and config["jwks_url"]:
        found = _issuer_keys(config["jwks_url"]).get_signing_key_from_jwt(token)
        if found.key_type == "RSA":
            return found.key
    raise jwt.InvalidAlgorithmError


class _Keys(jwt.PyJWKClient):
    """The keys of an issuer.

    After a failure the issuer is not asked again for some seconds, or invalid tokens would tie up threads.
    """

    _failed: float | None = None

    def fetch_data(self) -> Any:
        """Fetch the key set. Raises `PyJWKClientConnectionError`."""
        if self._failed is not None and time.monotonic() - self._failed < _ASK_AGAIN:
            raise jwt.PyJWKClientConnectionError("The token issuer did not respond.")
        try:
            found = super().fetch_data()
        except jwt.PyJWKClientConnectionError:
            self._failed = time.monotonic()
            raise
        self._failed = None
        return found


@lru_cache(maxsize=4)
def _issuer_keys(url: str) -> jwt.PyJWKClient:
    if urlsplit(url).scheme not in ("https", "http"):
        raise jwt.PyJWKClientError("The JWKS URL must be an HTTP or HTTPS URL.")
    # Cache the set for a while but no single key: it would outlive its withdrawal by the issuer.
    return _Keys(url, cache_keys=False, lifespan=_KEYS_FOR, timeout=5)


def _claims(claims: dict[str, Any]) -> Claims:
    database, device, user = (claims.get(key) for key in ("dbId", "deviceId", "sub"))
    if not _is_name(database) or not _is_name(device) or not (user is None or _is_name(user)):
        raise invalid_token()
    return Claims(database, device, user, int(claims["exp"]) + _LEEWAY)


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _NAME and value.isprintable()
