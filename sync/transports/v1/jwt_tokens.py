"""JSON Web Tokens instead of device tokens, where the operator wants them: HS256 with a shared secret, RS256 with the issuer's published keys."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import structlog
from django.conf import settings

from sync.transports.v1.errors import V1Code, V1Error

logger = structlog.get_logger(__name__)
_LEEWAY: Final = 30
_KEYS_FOR: Final = 300
_MOST: Final = 8192


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: the database and device it is for, and the user if it names one."""

    database: str
    device: str
    user: str | None


def looks_like_jwt(token: str) -> bool:
    """Whether a bearer token is a JWT rather than a device token."""
    return token.count(".") == 2 and len(token) <= _MOST


def read(token: str) -> Claims:
    """Check a token and return its claims; raises `V1Error` authenticationFailed, or serviceUnavailable when its issuer cannot be asked."""
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
        logger.warning("jwks_unreachable", error=str(error))
        raise V1Error(V1Code.SERVICE_UNAVAILABLE, "The issuer of the token cannot be asked for its keys.", retry_after=5) from None
    except (jwt.PyJWTError, ValueError):
        raise refused() from None
    return _claims(claims)


def refused() -> V1Error:
    """Return the error of a token that is no good; it does not say why."""
    return V1Error(V1Code.AUTHENTICATION_FAILED, "The token is not valid.")


def _key(token: str, algorithm: object, config: dict[str, str]) -> Any:
    """Return the key for an algorithm that is configured; a public key is never taken for a secret."""
    if algorithm == "HS256" and config["secret"]:
        return config["secret"]
    if algorithm == "RS256" and config["jwks_url"]:
        return _issuer_keys(config["jwks_url"]).get_signing_key_from_jwt(token).key
    raise jwt.InvalidAlgorithmError


@lru_cache(maxsize=4)
def _issuer_keys(url: str) -> jwt.PyJWKClient:
    if urlsplit(url).scheme not in ("https", "http"):
        raise jwt.PyJWKClientError("The address of the keys is no web address.")
    return jwt.PyJWKClient(url, cache_keys=True, lifespan=_KEYS_FOR, timeout=5)


def _claims(claims: dict[str, Any]) -> Claims:
    database, device, user = (claims.get(key) for key in ("dbId", "deviceId", "sub"))
    if not isinstance(database, str) or not isinstance(device, str) or not (user is None or isinstance(user, str)):
        raise refused()
    return Claims(database, device, user)
