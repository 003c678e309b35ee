"""Tests of I8: no endpoint, message, or admin page reveals a secret to a restricted member or to another tenant."""

import itertools
import json

import pytest
from django.contrib import admin
from django.urls import NoReverseMatch, get_resolver, reverse

from layouts.models import LayoutDefinition
from layouts.publish import save as save_layout
from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.entities.cbor import decode
from sync.models import Conflict
from sync.settle.push import push
from sync.transports.rest import urls as rest_urls
from sync.wire.ops import Actor, Op
from tenants.models import Device
from tenants.tokens import issue_device
from tests.builders import make_object_type, make_tenant, make_user
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules
from tests.sync.live import serving
from tests.sync.test_profiles_live import client as connect
from tests.sync.test_profiles_live import op, patch
from tests.v1.http import Http

pytestmark = pytest.mark.django_db(transaction=True)

SECRETS = ("hush", "hidden-brush", "Hidden-title", "vaultname", "Vault", "7777", "secret", "price", "layout-secret")
HIDDEN_IDS = ("job-hidden", "item-hidden", "vault-1")


class Stage:
    """A tenant with Tom's job and data that Tom must not know of."""

    def __init__(self):
        self.tenant = make_service("acme-leaks")
        vault = make_object_type(self.tenant, "vault", {"vaultname": "text"}, label_plural="Vaults")
        ObjectField.objects.create(
            object_type=ObjectMetadata.objects.get(tenant=self.tenant, object_name="job"),
            position=9,
            name="vault",
            kind="reference",
            reference=vault,
        )
        publish(self.tenant.pk)
        self.tenant.refresh_from_db()
        self.profile = make_profile(self.tenant, "technician", technician_rules())
        self.tom = make_member(self.profile, "tom")
        self.device = issue_device(self.tenant, self.tom, "tom")
        for name, scope in (("job", "price"), ("vault", "vaultname")):
            element = {"type": "VerticalLayout", "elements": [{"type": "Control", "scope": f"#/properties/{scope}"}]}
            save_layout(
                LayoutDefinition(tenant=self.tenant, object_name=name, label="x", layout_json=element), by="olga"
            )
        self.write(
            ("vaults", "vault-1", "insert", {"vaultname": "Vault of gold"}),
            ("customers", "c1", "insert", {"name": "Ada", "secret": "hush"}),
            (
                "jobs",
                "job-mine",
                "insert",
                {"title": "Fix", "technician": "tom", "customer": "c1", "price": "7777.00", "vault": "vault-1"},
            ),
            ("jobs", "job-hidden", "insert", {"title": "Hidden-title", "technician": "tess", "price": "7777.00"}),
            ("line_items", "item-mine", "insert", {"job": "job-mine", "text": "pipe"}),
            ("line_items", "item-hidden", "insert", {"job": "job-hidden", "text": "hidden-brush"}),
        )
        for table, record in (("jobs", "job-mine"), ("jobs", "job-hidden"), ("vaults", "vault-1")):
            Conflict.objects.create(
                tenant=self.tenant,
                table_name=table,
                record_id=record,
                op="update",
                fields=["price"],
                base={"price": "7777.00"},
                mine={"title": "x"},
                theirs={"price": "7777.00", "title": "y" if record == "job-mine" else "Hidden-title"},
                base_version=1,
                server_version=2,
                by="tom",
                theirs_by="olga",
            )
        self.other = make_tenant("elsewhere")
        make_object_type(self.other, "job", {"title": "text"})
        publish(self.other.pk)
        self.stranger = issue_device(self.other, make_user(self.other, "stranger"), "s")

    def write(self, *ops):
        results = push(Actor(self.tenant.pk, "olga"), [Op(n, None, *o[:3], None, o[3]) for n, o in enumerate(ops, 1)])
        assert all(r.accepted for r in results), results


@pytest.fixture
def stage(transactional_db):
    return Stage()


def found_in(text, words=SECRETS):
    return [word for word in words if word in text]


TABLES = ("jobs", "line_items", "vaults")
RECORDS = ("job-mine", "job-hidden", "item-hidden", "vault-1")
VALUES = {"table": TABLES, "record_id": RECORDS, "object_name": ("job", "vault", "nothing"), "conflict_id": None}


def addresses(conflicts):
    """Yield every URL of the REST API, filled in with every table, record, and conflict."""
    for pattern in rest_urls.urlpatterns:
        names = list(pattern.pattern.converters)
        for values in itertools.product(*(conflicts if name == "conflict_id" else VALUES[name] for name in names)):
            yield reverse(pattern.name, kwargs=dict(zip(names, values, strict=True)))


def walk(client, token, conflicts):
    headers = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
    for address in addresses(conflicts):
        if address.endswith(("login", "logout")):
            continue
        listing = address.endswith(tuple(f"/records/{table}/" for table in TABLES))
        queries = (
            "",
            "?order=price",
            "?price=7777.00",
            "?price__isnull=true",
            "?q=Hidden",
            "?vaultname=x",
            "?order=-secret",
        )
        for query in queries if listing else ("",):
            yield address + query, client.get(address + query, **headers)
        bodies = [
            {"title": "x", "price": "7777.00"},
            {"vault": "vault-1"},
            {"technician": "tom"},
            {"job": "job-hidden"},
            {"resolution": "mine"},
            {
                "operations": [
                    {"op": "update", "id": "job-hidden", "values": {"title": "x"}},
                    {"op": "delete", "id": "item-hidden"},
                ]
            },
        ]
        for body in bodies if "/records/" in address or "/resolve" in address else bodies[:1]:
            for method in ("post", "patch"):
                yield (
                    f"{method} {address} {body}",
                    getattr(client, method)(address, json.dumps(body), content_type="application/json", **headers),
                )
        copy = [
            {"op": "copy", "from": "/price", "path": "/title"},
            {"op": "test", "path": "/price", "value": "7777.00"},
        ]
        yield (
            f"json-patch {address} {copy}",
            client.patch(address, json.dumps(copy), content_type="application/json-patch+json", **headers),
        )
        yield f"delete {address}", client.delete(address, **headers)


def echoes(about):
    """Return the words that the caller sent: an error may repeat them."""
    return [word for word in SECRETS if word in about]


def test_i8_no_rest_endpoint_tells_a_lower_profile_what_it_hides(stage, client):
    conflicts = [str(c.pk) for c in Conflict.objects.all()] + ["00000000-0000-0000-0000-000000000000"]
    walked = 0
    for about, answer in walk(client, stage.device.token, conflicts):
        text = b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()
        assert answer.status_code < 500, (about, text)
        leaked = set(found_in(text)) - set(echoes(about))
        assert not leaked, (about, leaked, text[:500])
        # A member's own old conflicts name their record.
        if not any(word in about for word in ("job-hidden", "item-hidden", "/conflicts/")):
            assert not found_in(text, ("job-hidden", "item-hidden")), (about, text[:500])
        walked += 1
    assert walked > 200


def test_i8_another_tenant_hears_of_nothing(stage, client):
    conflicts = [str(c.pk) for c in Conflict.objects.all()]
    words = (*SECRETS, "Ada", "pipe", "acme-leaks")
    for about, answer in walk(client, stage.stranger.token, conflicts):
        text = b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()
        leaked = {word for word in words if word in text} - {word for word in words if word in about}
        assert not leaked, (about, leaked)


def test_i8_hidden_and_missing_are_answered_alike(stage, client):
    headers = {"HTTP_AUTHORIZATION": f"Bearer {stage.device.token}"}

    def answers(table, record):
        base = f"/api/records/{table}/{record}/"
        for answer in (
            client.get(base, **headers),
            client.patch(base, '{"title": "x"}', content_type="application/json", **headers),
            client.delete(base, **headers),
            client.get(f"{base}history/", **headers),
            client.post(
                f"/api/records/{table}/bulk/",
                json.dumps({"operations": [{"op": "delete", "id": record}]}),
                content_type="application/json",
                **headers,
            ),
        ):
            yield answer.status_code, answer.content.decode().replace(record, "X").replace(table, "T")

    assert list(answers("jobs", "job-hidden")) == list(answers("jobs", "job-missing"))
    assert list(answers("vaults", "vault-1")) == list(answers("nothing", "vault-1"))


def syncprotocol_calls(http, cursor):
    """Yield every call of SyncProtocol v1, with ops on visible and hidden records."""
    yield "handshake", http.me()
    for asked in (
        {},
        {"limit": 1},
        {"collections": ["vaults", "jobs"]},
        {"collections": ["nothing"]},
        {"sinceCursor": cursor},
    ):
        yield "pull", {"dbId": http.tenant.slug, "sinceCursor": 0, **asked}
    for table, record in itertools.product((*TABLES, "customers"), (*RECORDS, "item-mine", "c1")):
        for body in (
            None,
            {"title": "x", "technician": "tom"},
            {"title": "x", "vault": "vault-1"},
            {"name": "x"},
            {"job": "job-hidden"},
            b"\x01",
        ):
            for version in (1, 99):
                yield "push", {**http.me(), "ops": [http.op(record, version, body, collection=table)]}


def test_i8_no_call_of_syncprotocol_tells_a_lower_profile_what_it_hides(stage):
    http = Http(stage.tenant, "cbor", stage.tom)
    walked = set()
    for path, message in syncprotocol_calls(http, 3):
        status, answer = http.call(path, message)
        assert status < 500, (path, message, answer)
        for change in answer.get("ops", ()):
            change["entityCbor"] = change.get("entityCbor") and decode(change["entityCbor"])
        for conflict in answer.get("conflicts", ()):
            conflict["serverState"]["entityCbor"] = conflict["serverState"]["entityCbor"] and decode(
                conflict["serverState"]["entityCbor"]
            )
        text, asked = str(answer), str(message)
        # An error may repeat words that the caller sent.
        leaked = {word for word in (*SECRETS, *HIDDEN_IDS) if word in text} - {
            word for word in (*SECRETS, *HIDDEN_IDS) if word in asked
        }
        assert not leaked, (path, message, answer)
        walked.add((path, status))
    assert walked >= {("handshake", 200), ("pull", 200), ("push", 200), ("push", 400), ("push", 403)}


def messages():
    """Return every kind of request about hidden data."""
    return [
        {"type": "verify"},
        {"type": "verify", "tables": ["vaults"]},
        {"type": "verify", "tables": ["nothing"]},
        {"type": "verify", "table": "jobs", "ranges": [["job-hidden", "job-hidden"]]},
        {"type": "verify", "table": "vaults", "ranges": [[None, None]]},
        {"type": "verify", "table": "object_metadata", "ranges": [["vault", "vault"]]},
        {"type": "repair", "table": "jobs", "low": None, "high": None},
        {"type": "repair", "table": "vaults", "low": None, "high": None},
        {"type": "repair", "table": "object_metadata", "low": None, "high": None},
        {"type": "repair", "table": "layout_definition", "low": None, "high": None},
        {"type": "schema", "from": 0},
        {"type": "ping"},
        {"type": "part", "snapshot": "00000000-0000-0000-0000-000000000000", "part": 0},
    ]


async def test_i8_no_message_tells_a_lower_profile_what_it_hides(stage):
    def said(words):
        return b"".join(words).decode("utf-8", "replace")

    async with serving() as port, connect(port, stage.device) as tom:
        await tom.follow()
        before = len(tom.words)
        for ref, message in enumerate(
            messages(),
            100,
        ):
            await tom.say(**{"kind": message.pop("type"), **message, "ref": ref})
            while json.loads(tom.words[-1].split(b"\n")[0] if tom.words[-1][:1] == b"{" else b"{}").get("ref") != ref:
                await tom.receive()
        for table, record, base in (
            ("jobs", "job-mine", 1),
            ("jobs", "job-hidden", 0),
            ("vaults", "vault-1", 1),
            ("line_items", "item-hidden", 0),
        ):
            await tom.push(
                op(table, record, "update", patch(title="x"), base=base),
                op(table, record, "update", patch(price="1.00"), base=base),
                op(table, record, "update", [{"op": "copy", "from": "/price", "path": "/title"}], base=base),
                op(table, record, "delete", None, base=base),
                op(table, record, "insert", {"title": "x", "technician": "tom", "vault": "vault-1"}, base=0),
            )
        assert len(tom.words) > before + 15
        text = said(tom.words)
        for word in (*SECRETS, "item-hidden"):
            assert word not in text.replace('"field":"price"', "").replace("has no field 'price'", "").replace(
                "item-hidden' in line_items", ""
            ), word
    async with serving() as port, connect(port, stage.stranger) as stranger:
        await stranger.hello()
        for table in ("customers", "vaults"):
            await stranger.say("repair", table=table, low=None, high=None, ref=1)
            assert (await stranger.receive())["code"] == "unknown_table"
        assert not found_in(said(stranger.words))


def admin_addresses(stage):
    """Yield the URL of every admin page for the tenant's own rows."""
    for model, site in admin.site._registry.items():
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        keys = list(model._default_manager.values_list("pk", flat=True)[:20])
        for name in ("changelist", "add"):
            yield reverse(f"{base}_{name}")
        for page, key in itertools.product(("change", "delete", "history"), keys):
            try:
                yield reverse(f"{base}_{page}", args=[key])
            except NoReverseMatch:
                continue
        assert site is not None
    yield reverse("admin:tenants_securityprofile_preview", args=[stage.profile.pk])
    for table in ("jobs", "vaults"):
        yield reverse("admin:records_list", args=[stage.tenant.slug, table])
        for page in ("change", "delete", "history"):
            yield reverse(f"admin:records_{page}", args=[stage.tenant.slug, table, "job-hidden"])


def test_i8_no_admin_page_shows_a_lower_profile_or_another_tenant_anything(stage, client):
    assert get_resolver() is not None
    tom_as_staff = stage.tom
    tom_as_staff.is_staff = True
    tom_as_staff.save()
    stranger = make_user(stage.other, "their-admin", role="admin", is_staff=True)
    words = (*SECRETS, "Ada", "technician", "acme-leaks")
    for person in (tom_as_staff, stranger):
        client.force_login(person)
        for address in admin_addresses(stage):
            answer = client.get(address)
            text = answer.content.decode()
            assert answer.status_code in (200, 302, 403, 404), address
            leaked = {word for word in words if word in text and word not in ("price", "secret", "technician", "Vault")}
            assert not leaked, (person, address, leaked)
    assert Device.objects.get(pk=stage.device.device.pk).revoked_at is None
