"""Failing or probing surroundings: Redis that is down, a load balancer, plain HTTP."""

import json

import pytest
from django.core.cache import cache, caches

from config import caches as config_caches
from sync import metrics
from tenants.throttles import LoginThrottle
from tests.builders import make_tenant, make_user
from tests.contract.servers import free_port
from tests.sync.test_processes import redis_url

pytestmark = pytest.mark.django_db


def use_redis(settings, url):
    settings.CACHES = {
        "default": {"BACKEND": "config.caches.RedisOrLocalCache", "LOCATION": url, "KEY_PREFIX": "moat-test"}
    }
    config_caches._left_alone_until.clear()


@pytest.fixture
def dead(settings):
    use_redis(settings, f"redis://127.0.0.1:{free_port()}/0")


def fallbacks():
    return metrics.cache_fallbacks._value.get()


def login(client, password):
    body = json.dumps({"tenant": "acme", "user": "olga", "password": password})
    return client.post("/api/login", body, content_type="application/json")


def test_with_redis_down_people_log_in_and_guessers_are_still_counted(client, dead, monkeypatch):
    monkeypatch.setattr(LoginThrottle, "THROTTLE_RATES", {"login": "3/min", "login_address": "100/min"})
    olga = make_user(make_tenant("acme"), "olga")
    olga.set_password("right")
    olga.save()
    before = fallbacks()
    assert login(client, "right").status_code == 200
    assert [login(client, "wrong").status_code for _ in range(3)] == [401, 401, 429]
    assert fallbacks() > before


def test_a_cache_whose_redis_is_down_does_all_a_cache_does(dead):
    assert cache.add("a", 1) and not cache.add("a", 2)
    assert cache.incr("a") == 2 and cache.get("a") == 2 and cache.has_key("a")
    assert cache.set_many({"b": 3}) == [] and cache.get_many(["a", "b"]) == {"a": 2, "b": 3}
    assert cache.touch("a", 60) and cache.delete("a") and cache.get("a", "gone") == "gone"
    cache.delete_many(["b"])
    cache.set("c", 4)
    cache.clear()
    assert cache.get("b") is None and cache.get("c") is None
    with pytest.raises(ValueError, match="not found"):
        cache.incr("a")


def test_a_redis_that_failed_is_asked_again_a_little_later(settings, monkeypatch):
    if (url := redis_url()) is None:
        pytest.skip("no Redis answers")
    use_redis(settings, url)
    cache.set("seen", 1)
    config_caches._left_alone_until[url] = config_caches.time.monotonic() + 100
    assert cache.get("seen") is None
    config_caches._left_alone_until[url] = 0
    assert cache.get("seen") == 1
    cache.delete("seen")
    caches["default"]._cache.get_client().close()
    caches["default"]._cache.get_client().connection_pool.disconnect()


def test_over_plain_http_everything_is_redirected_but_health_and_v1(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.DEBUG = False
    assert client.get("/health").status_code == 200
    for address in ("/", "/admin/", "/api/me", "/healthy", "/metrics", "/app/"):
        assert client.get(address).status_code == 301, address
    for path in ("handshake", "pull", "push", "stream", "events", "version", "nothing/at/all"):
        for address in (f"/v1/{path}", f"/v1/{path}/"):
            for answer in (client.post(address, b"{}", content_type="application/json"), client.get(address)):
                assert answer.status_code not in (301, 302, 307, 308), address
            far = client.post(address, b"{}", content_type="application/json", REMOTE_ADDR="203.0.113.9")
            assert far.status_code in (401, 403, 404, 405), (address, far.status_code)


def test_metrics_are_for_superusers_and_the_token_not_for_tenant_admins(client, settings):
    settings.METRICS_TOKEN = "watching"
    admin = make_user(make_tenant("acme"), "olga", role="admin", is_staff=True)
    root = make_user(make_tenant("other"), "root", is_staff=True, is_superuser=True)
    assert client.get("/metrics").status_code == 404
    client.force_login(admin)
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"authorization": "Bearer watching"}).status_code == 200
    assert client.get("/metrics", headers={"authorization": "Bearer guessing"}).status_code == 404
    client.force_login(root)
    assert client.get("/metrics").status_code == 200
