"""JSON Web Tokens on SyncProtocol v1: owner, lifetime, and malformed tokens."""

import base64
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sync.transports.v1 import jwt_tokens
from tenants.models import Tenant
from tests.sync.live import in_thread, serving
from tests.v1.conftest import Door
from tests.v1.http import Http
from tests.v1.test_stream import opened, tenant

__all__ = ["tenant"]

pytestmark = pytest.mark.django_db


def claims(one: Http, **more: Any) -> dict[str, Any]:
    return {"dbId": one.tenant.slug, "deviceId": one.device, "exp": time.time() + 60, **more}


SECRET = "a secret of at least thirty-two bytes"


def test_json_web_tokens_with_a_secret(notes: Tenant, settings: Any) -> None:
    settings.V1_JWT = {"secret": SECRET, "jwks_url": "", "issuer": "", "audience": "moat"}
    one, other = Http(notes), Http(notes)

    def status(given: dict[str, Any], key: Any = SECRET, **more: Any) -> int:
        one.token = jwt.encode(given, key, **{"algorithm": "HS256", **more})
        return one.push(one.op("n1", 1, {"title": "A"}))[0]

    good = claims(one, aud="moat")
    assert status(good) == 200
    assert status({**good, "sub": one.issued.device.user.username}) == 200
    assert status({**good, "sub": other.issued.device.user.username}) == 401
    assert status({**good, "deviceId": other.device}) == 403
    assert status({**good, "deviceId": "unknown"}) == 401
    assert status({**good, "dbId": "other"}) == 401
    assert status({**good, "aud": "else"}) == 401
    assert status({**good, "exp": time.time() - 60}) == 401
    assert status({k: v for k, v in good.items() if k != "exp"}) == 401
    assert status(good, "another secret of thirty-two bytes...") == 401
    assert status(good, None, algorithm="none") == 401
    settings.V1_JWT = {"secret": "", "jwks_url": "", "issuer": "", "audience": ""}
    assert status(claims(one)) == 401


def test_json_web_tokens_with_published_keys(notes: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.V1_JWT = {
        "secret": "",
        "jwks_url": "https://issuer.example/keys",
        "issuer": "https://issuer.example",
        "audience": "",
    }
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", lambda self: {"keys": [{**public, "kid": "k1", "use": "sig"}]})
    one = Http(notes)
    given = claims(one, iss="https://issuer.example")
    one.token = jwt.encode(given, key, algorithm="RS256", headers={"kid": "k1"})
    assert one.pull()[0] == 200
    one.token = jwt.encode({**given, "iss": "https://else.example"}, key, algorithm="RS256", headers={"kid": "k1"})
    assert one.pull()[0] == 401
    # The public key is not secret, so a token "signed" with it must be rejected.
    one.token = jwt.encode(given, public["n"], algorithm="HS256", headers={"kid": "k1"})
    assert one.pull()[0] == 401


Keys = dict[str, list[dict[str, Any]]]


@pytest.fixture
def issuer(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """An issuer's published keys, which a test can change."""
    settings.V1_JWT = {"secret": "", "jwks_url": "https://issuer.example/changing", "issuer": "", "audience": ""}
    keys: Keys = {"keys": []}

    def fetch(self: jwt.PyJWKClient) -> Keys:
        assert self.jwk_set_cache is not None
        self.jwk_set_cache.put(keys)
        return keys

    jwt_tokens._issuer_keys.cache_clear()
    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", fetch)
    return keys


def published(kid: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}  # type: ignore[arg-type]


def forget_keys() -> None:
    """Let the cache time of the key set pass."""
    cache = jwt_tokens._issuer_keys("https://issuer.example/changing").jwk_set_cache
    assert cache is not None
    cache.jwk_set_with_timestamp = None


def test_a_key_that_the_issuer_withdrew_signs_nothing_any_more(notes: Tenant, issuer: Keys) -> None:
    key, other = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    issuer["keys"] = [published("k1", key)]
    one = Http(notes)
    one.token = jwt.encode(claims(one), key, algorithm="RS256", headers={"kid": "k1"})
    assert one.pull()[0] == 200
    issuer["keys"] = [published("k2", other)]
    forget_keys()
    assert one.pull()[0] == 401


def test_a_key_of_another_kind_is_no_key(notes: Tenant, issuer: Keys) -> None:
    issuer["keys"] = [published("k1", ec.generate_private_key(ec.SECP256R1()))]
    one = Http(notes)
    parts = (b'{"alg":"RS256","kid":"k1"}', b'{"exp":1}', b"x")
    one.token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    assert one.pull()[0] == 401


@pytest.mark.parametrize("name", ["dbId", "deviceId", "sub"])
@pytest.mark.parametrize("value", ["\ud800", "a\0b", "", "x" * 201, 7, ["a"], None])
def test_names_that_nobody_can_have_are_refused(notes: Tenant, settings: Any, name: str, value: Any) -> None:
    settings.V1_JWT = {"secret": SECRET, "jwks_url": "", "issuer": "", "audience": ""}
    one = Http(notes)
    one.token = jwt.encode(claims(one, **{name: value}), SECRET, algorithm="HS256")
    assert one.pull()[0] == 401


@pytest.mark.parametrize("until", [float("inf"), 1e400, "soon", [1], {}, 10**30])
def test_ends_that_are_no_moment_are_refused_or_far(notes: Tenant, settings: Any, until: Any) -> None:
    settings.V1_JWT = {"secret": SECRET, "jwks_url": "", "issuer": "", "audience": ""}
    one = Http(notes)
    one.token = jwt.encode(claims(one, exp=until), SECRET, algorithm="HS256")
    assert one.pull()[0] == (200 if until == 10**30 else 401)


def test_an_issuer_that_does_not_answer_is_left_alone_for_a_while(
    notes: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.V1_JWT = {"secret": "", "jwks_url": "https://issuer.example/down", "issuer": "", "audience": ""}
    asked: list[float] = []

    def down(self: jwt.PyJWKClient) -> Any:
        asked.append(time.monotonic())
        raise jwt.PyJWKClientConnectionError("nobody there")

    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", down)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    one = Http(notes)
    one.token = jwt.encode(claims(one), key, algorithm="RS256", headers={"kid": "k1"})
    assert [one.pull()[0] for _ in range(5)] == [503] * 5
    assert one.response.headers["Retry-After"] == "5"
    assert len(asked) == 1
    monkeypatch.setattr(jwt_tokens, "_ASK_AGAIN", 0.0)
    assert one.pull()[0] == 503
    assert len(asked) == 2


async def test_a_stream_ends_with_its_token(tenant: Tenant, settings: Any) -> None:
    settings.V1_JWT = {"secret": SECRET, "jwks_url": "", "issuer": "", "audience": ""}
    door = await in_thread(Door, tenant)
    async with serving() as port:
        ends = int(time.time()) - 25  # thirty seconds are allowed for clock skew
        token = jwt.encode(
            {"exp": ends, "dbId": tenant.slug, "deviceId": door.actor.device_id}, SECRET, algorithm="HS256"
        )
        door.issued = replace(door.issued, token=token)
        async with opened(port, door) as events:
            await events.of("connected")
            assert (await events.of("error"))["code"] == 2
            with pytest.raises(EOFError):
                await events.next()
        assert ends + 30 <= time.time()
