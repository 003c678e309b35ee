"""Tests of I8: every URL of the server as a restricted member, as another tenant's member, and without signing in.

The URLs come from the resolver: one with an unknown argument fails the test until the argument is added here. The admin
has its own tests (tests/tenants/test_admin_isolation.py, test_leaks.py).
"""

import gzip
import itertools
import json

import pytest
from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from metadata.access_store import access_of
from sync.catchup.snapshots import service
from sync.catchup.snapshots.store import home
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.models import Conflict
from sync.wire.protocol import _READERS
from tests.sync.test_leaks import SECRETS, Stage, messages
from tests.tenants.test_admin_isolation import patterns

pytestmark = pytest.mark.django_db(transaction=True)

ENDLESS = {"v1-stream", "v1-events"}  # tested with `moat v1 watch` in tests/contract/test_commands_isolation.py
ENDS_THE_WALK = {"api-logout", "api-logout-everywhere"}
OTHERS = (*SECRETS, "Ada", "pipe", "Fix", "job-mine")


def addresses_of(entries, name_of=lambda entry: entry.name):
    for entry in entries:
        if isinstance(entry, URLResolver):
            if entry.app_name != "admin":
                yield from addresses_of(entry.url_patterns)
        else:
            assert isinstance(entry, URLPattern) and entry.name, f"{entry} needs a name, so that this walk can call it"
            yield entry


@pytest.fixture
def stage(transactional_db):
    return Stage()


@pytest.fixture
def snapshots(stage):
    """One of each downloadable file: the office's, Tom's, and the other tenant's."""
    toms = channel_log.channel_for(access_of(stage.tenant.pk, stage.tom.pk), stage.tenant.slug)
    return {
        "office": service.make(Channel(stage.tenant.pk, stage.tenant.slug)),
        "tom": service.make(toms),
        "elsewhere": service.make(Channel(stage.other.pk, stage.other.slug)),
    }


def walk(client, stage, snapshots, headers):
    values = {
        "table": ("jobs", "vaults"),
        "record_id": ("job-mine", "job-hidden", "vault-1"),
        "object_name": ("job", "vault", "nothing"),
        "conflict_id": [str(c.pk) for c in Conflict.objects.all()],
        "snapshot": [str(s.pk) for s in snapshots.values()],
        "number": (0, 1),
        "path": ("nothing", "pull/acme-leaks"),
    }
    slug, device = stage.tenant.slug, stage.device.device.pk
    op = {
        "opId": 1,
        "dbId": slug,
        "deviceId": device,
        "collection": "jobs",
        "entityId": "job-hidden",
        "opType": "delete",
        "entityVersion": 1,
    }
    bodies = [
        {},
        {"dbId": slug, "deviceId": device},
        {"dbId": slug, "sinceCursor": 0, "limit": 100, "collections": ["jobs", "vaults"]},
        {"dbId": slug, "deviceId": device, "ops": [{**op, "timestampMs": 1}]},
        {"tenant": slug, "user": "tom", "password": "wrong", "device": "x"},
    ]
    for pattern in addresses_of(get_resolver().url_patterns):
        if pattern.name in ENDLESS | ENDS_THE_WALK:
            continue
        names = list(pattern.pattern.converters)
        for chosen in itertools.product(*(values[name] for name in names)):
            address = reverse(pattern.name, kwargs=dict(zip(names, chosen, strict=True)))
            yield pattern.name, address, client.get(address, headers=headers)
            for body in bodies:
                yield (
                    pattern.name,
                    f"{address} {body}",
                    client.post(address, json.dumps(body), content_type="application/json", headers=headers),
                )


def content_of(answer):
    data = b"".join(answer.streaming_content) if answer.streaming else answer.content
    packed = data[:2] == b"\x1f\x8b"
    return gzip.decompress(data) if packed else data


@pytest.mark.parametrize("who", ["tom", "tom's browser", "stranger", "nobody"])
def test_i8_no_address_of_the_server_tells_what_its_caller_may_not_see(stage, snapshots, client, who):
    issued = {"tom": stage.device, "stranger": stage.stranger}.get(who)
    headers = {"Authorization": f"Bearer {issued.token}"} if issued else {}
    if who == "tom's browser":
        client.force_login(stage.tom)
    words = SECRETS if who.startswith("tom") else OTHERS
    answered = {}
    for name, about, answer in walk(client, stage, snapshots, headers):
        content = content_of(answer)
        assert answer.status_code < 500 or name in ("app", "service-worker"), (about, content[:300])
        leaked = [word for word in words if word.encode() in content and word not in about]
        if name in ("app", "service-worker", "api-docs", "index"):  # pages that are identical for every caller
            leaked = [word for word in leaked if word not in ("secret", "price", "Vault", "pipe", "Fix")]
        assert not leaked, (about, leaked, content[:500])
        answered.setdefault(name, []).append(answer.status_code)
    assert {"health", "metrics", "snapshot-part", "v1-pull", "v1-push", "v1-handshake", "index"} <= set(answered)
    assert set(answered["metrics"]) <= {404, 405}
    got = answered["snapshot-part"].count(200)
    assert got == (1 if who in ("tom", "stranger") else 0), "one's own snapshot, and no other"


def test_i8_a_snapshot_file_keeps_nothing_of_what_its_channel_hides_or_its_past(stage, snapshots):
    """Search the file itself with its free pages, not only what SELECT returns."""
    tom = (home(snapshots["tom"]) / "replica.sqlite3").read_bytes()
    assert b"job-mine" in tom
    for word in (*SECRETS, "job-hidden", "item-hidden"):
        assert word.encode() not in tom, word
    office = (home(snapshots["office"]) / "replica.sqlite3").read_bytes()
    assert b"hush" in office and b"Hidden-title" in office


def test_every_message_a_client_can_say_is_walked():
    assert {m["type"] for m in messages()} | {"hello", "subscribe", "push", "pong", "bye"} == set(_READERS) | {"push"}


def test_i8_every_admin_address_keeps_its_secrets_from_a_lower_profile(stage, client):
    """Staff without a role do not see in the admin what their profile hides."""
    stage.tom.is_staff = True
    stage.tom.save()
    client.force_login(stage.tom)
    model_keys = {
        f"{m._meta.app_label}_{m._meta.model_name}": list(m._default_manager.values_list("pk", flat=True))
        for m in admin.site._registry
    }
    walked = 0
    for name, arguments in patterns(admin.site.get_urls()):
        if name == "logout":
            continue
        arguments = ("app_label",) if name == "app_list" else arguments  # a regular expression without a named argument
        keys = next((found for prefix, found in model_keys.items() if name.startswith(prefix)), [])
        chosen = {
            "object_id": keys[:20] or ["1"],
            "id": keys[:20] or ["1"],
            "app_label": ["tenants", "metadata", "sync"],
            "content_type_id": [1],
            "url": ["x"],
            "slug": [stage.tenant.slug],
            "tenant": [stage.tenant.slug],
            "tenant_id": [stage.tenant.pk],
            "table": ["jobs", "vaults"],
            "table_name": ["jobs", "vaults"],
            "object_name": ["job", "vault"],
            "record_id": ["job-mine", "job-hidden", "vault-1"],
            "conflict_id": list(Conflict.objects.values_list("pk", flat=True)),
            "schema_version": [1],
            "version": [1],
        }
        for values in itertools.product(*(chosen[argument] for argument in arguments)):
            address = reverse(f"admin:{name}", args=values)
            for answer in (
                client.get(address),
                client.post(address, {"action": "delete_selected", "_selected_action": keys[:5], "post": "yes"}),
            ):
                walked += 1
                text = answer.content.decode()
                assert answer.status_code < 500, address
                leaked = [
                    w
                    for w in (*SECRETS, "Ada", "acme-leaks")
                    if w in text and w not in address and w not in ("price", "secret", "Vault")
                ]
                assert not leaked, (address, leaked)
    assert walked > 60
