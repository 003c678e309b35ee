"""A tenant admin visits the whole admin site and never sees anything of another tenant.

Everything of the other tenant contains the word `zzforeign`, so finding it anywhere is a leak.
"""

from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.urls import URLPattern, URLResolver, reverse

from layouts.defaults import default_layout
from layouts.models import LayoutDefinition
from metadata.catalog import forget, schema_of
from metadata.models import ObjectMetadata
from metadata.publish import publish
from sync.models import Conflict
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.admin import TenantScopedAdmin
from tenants.models import Device, Membership, SecurityProfile, Tenant
from tenants.tokens import issue_device
from tests.builders import make_object_type, make_tenant, make_user

pytestmark = pytest.mark.django_db

WORD = "zzforeign"
SITE_WIDE = (Group,)
"""Models that belong to no tenant: operators only."""


def furnish(tenant, word):
    """Give a tenant one of everything, named with a word."""
    user = make_user(tenant, f"{word}-user", first_name=word)
    device = issue_device(tenant, user, f"{word} phone").device
    subtypes = [{"value": word, "label": word}]
    kind = make_object_type(
        tenant, word, {"title": {"kind": "text", "label": word}}, label_plural=f"{word}s", subtypes=subtypes
    )
    forget(tenant.pk)
    publish(tenant.pk)
    kind.refresh_from_db()
    tenant.refresh_from_db()
    results = push(
        Actor(tenant.pk, user.username), [Op(1, None, kind.table_name, f"{word}-1", "insert", 0, {"title": word})]
    )
    assert results[0].accepted, results
    spec = schema_of(tenant.pk, tenant.schema_version).by_object[word]
    layout = LayoutDefinition.objects.create(
        tenant=tenant, object_name=word, label=word, layout_json=default_layout(spec)
    )
    conflict = Conflict.objects.create(
        tenant=tenant, table_name=kind.table_name, record_id=f"{word}-1", op="update", fields=["title"],
        base={}, mine={"title": word},
        theirs={"title": word}, base_version=1, server_version=1, device_id=device.pk, op_id=1, by=word, theirs_by=word,
    )  # fmt: skip
    revision = tenant.revisions.get()
    member = Membership.objects.get(tenant=tenant, user=user)
    things = [tenant, user, device, kind, revision, layout, conflict, tenant.profiles.get(), member]
    return {type(thing): thing for thing in things}


@pytest.fixture
def mine():
    tenant = make_tenant("mine", name="mine")
    return furnish(tenant, "mine")


@pytest.fixture
def theirs():
    tenant = make_tenant(WORD, name=WORD)
    things = furnish(tenant, WORD)
    tenant.profiles.update(name=WORD)
    return things


@pytest.fixture
def browser(client, mine):
    client.force_login(make_user(mine[Tenant], "ada", role="admin", is_staff=True))
    return client


def patterns(urls, prefix=""):
    """Yield (url name, argument names) of everything below the admin site."""
    for entry in urls:
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns, prefix)
        elif isinstance(entry, URLPattern) and entry.name:
            yield entry.name, tuple(entry.pattern.converters)


def names_of(model):
    return f"{model._meta.app_label}_{model._meta.model_name}"


def argument_values(name, things, model):
    """Return the URL argument that refers to things of one tenant."""
    values = {
        "object_id": things[model].pk if model in things else None,
        "id": things[model].pk if model in things else None,
        "app_label": model._meta.app_label if model else "tenants",
        "content_type_id": ContentType.objects.get_for_model(model or User).pk,
        "url": "x",
        "tenant": things[Tenant].slug,
        "tenant_id": things[Tenant].pk,
        "slug": things[Tenant].slug,
        "table": things[ObjectMetadata].table_name,
        "table_name": things[ObjectMetadata].table_name,
        "object_name": things[ObjectMetadata].object_name,
        "record_id": things[ObjectMetadata].object_name + "-1",
        "conflict_id": things[Conflict].pk,
        "schema_version": 1,
        "version": 1,
    }
    assert name in values, f"an admin address has the argument {name}: say here what points at another tenant's things"
    return values[name]


def addresses(things):
    """Return every admin URL that refers to a thing of a tenant, or to none."""
    registered = {names_of(model): model for model in admin.site._registry}
    for name, arguments in patterns(admin.site.get_urls()):
        if name in ("logout", "jsi18n", "login", "password_change", "password_change_done", "app_list"):
            continue
        model = next((m for prefix, m in registered.items() if name.startswith(prefix + "_")), None)
        owners = [model] if model or "content_type_id" not in arguments else list(things)
        for owner in owners:
            if owner in SITE_WIDE:
                continue
            values = [argument_values(argument, things, owner) for argument in arguments]
            if None not in values:
                yield name, reverse(f"admin:{name}", args=values), bool(arguments)


def test_every_admin_is_scoped_and_this_test_has_one_of_everything(mine):
    for model, site_admin in admin.site._registry.items():
        if model in SITE_WIDE:
            continue
        assert isinstance(site_admin, TenantScopedAdmin), f"{model.__name__} needs TenantScopedAdmin"
        assert model in mine or not model._meta.managed, f"furnish() makes no {model.__name__}"


def test_no_address_shows_a_word_of_another_tenant(browser, mine, theirs):
    seen = 0
    for name, url, _ in addresses(mine):
        page = browser.get(url, follow=True)
        assert page.status_code in (200, 403, 404), (name, url, page.status_code)
        assert WORD not in page.content.decode(), (name, url)
        seen += page.status_code == 200
    assert seen > 20


def test_no_address_of_another_tenants_thing_answers(browser, theirs):
    before = {model: dict(model.objects.filter(pk=thing.pk).values().get()) for model, thing in theirs.items()}
    tried = 0
    for name, url, points in addresses(theirs):
        if not points:
            continue
        for answer in (
            browser.get(url),
            browser.post(url, {"post": "yes"}),
            browser.post(url, {"name": "taken", "_save": "Save"}),
        ):
            tried += 1
            assert answer.status_code in (302, 403, 404), (name, url, answer.status_code)
            assert WORD not in answer.content.decode(), (name, url)
    assert tried > 30
    for model, values in before.items():
        assert dict(model.objects.filter(pk=theirs[model].pk).values().get()) == values, model.__name__


def test_actions_do_not_reach_another_tenants_rows(browser, theirs):
    for model, site_admin in admin.site._registry.items():
        if model in SITE_WIDE or model not in theirs:
            continue
        url = reverse(f"admin:{names_of(model)}_changelist")
        for action in ["delete_selected", *(a if isinstance(a, str) else a.__name__ for a in site_admin.actions or ())]:
            data = {
                "action": action,
                "_selected_action": [str(theirs[model].pk)],
                "post": "yes",
                "confirm": "yes",
                "apply": "yes",
            }
            page = browser.post(url, data, follow=True)
            assert WORD not in page.content.decode(), (model.__name__, action)
        assert model.objects.filter(pk=theirs[model].pk).exists(), model.__name__
    assert Device.objects.get(pk=theirs[Device].pk).revoked_at is None


def test_autocomplete_offers_no_row_of_another_tenant(browser, mine, theirs):
    for model in admin.site._registry:
        for field in model._meta.get_fields():
            if isinstance(field, models.ForeignKey):
                query = urlencode(
                    {
                        "app_label": model._meta.app_label,
                        "model_name": model._meta.model_name,
                        "field_name": field.name,
                        "term": "",
                    }
                )
                answer = browser.get(f"{reverse('admin:autocomplete')}?{query}")
                assert answer.status_code in (200, 403, 404)
                assert WORD not in answer.content.decode(), (model.__name__, field.name)


def test_a_form_does_not_take_a_row_of_another_tenant(browser, mine, theirs):
    user, tenant, profile = mine[User], mine[Tenant], mine[SecurityProfile]
    user.memberships.all().delete()
    foreign = [
        {"tenant": theirs[Tenant].pk, "user": user.pk, "profile": profile.pk},
        {"tenant": tenant.pk, "user": theirs[User].pk, "profile": profile.pk},
        {"tenant": tenant.pk, "user": user.pk, "profile": theirs[SecurityProfile].pk},
    ]
    for data in foreign:
        answer = browser.post(reverse("admin:tenants_membership_add"), {**data, "role": "admin"})
        assert answer.status_code == 200
        assert answer.context["adminform"].form.errors
        assert WORD not in answer.content.decode()
    for data in (
        {"tenant": theirs[Tenant].pk, "user": theirs[User].pk},
        {"tenant": tenant.pk, "user": theirs[User].pk},
    ):
        assert browser.post(reverse("admin:tenants_device_add"), {**data, "name": "x"}).status_code == 200
    assert Device.objects.count() == 2
    assert not Membership.objects.filter(role="admin", tenant=theirs[Tenant]).exists()


@pytest.mark.parametrize(
    "query",
    [
        "user__password__startswith=md5",
        f"tenant__slug={WORD}",
        "user__memberships__tenant__slug__startswith=z",
        "tenant__memberships__user__username__startswith=z",
    ],
)
def test_list_addresses_answer_no_question_about_others(browser, mine, theirs, query):
    for model in (Membership, Device, SecurityProfile, LayoutDefinition):
        page = browser.get(f"{reverse(f'admin:{names_of(model)}_changelist')}?{query}", follow=True)
        assert WORD not in page.content.decode().replace(query, "")


def test_the_pages_of_each_app_show_nothing_of_another_tenant(browser, mine, theirs):
    for app in {model._meta.app_label for model in admin.site._registry}:
        page = browser.get(reverse("admin:app_list", args=[app]))
        assert page.status_code in (200, 404)
        assert WORD not in page.content.decode()


def test_who_is_staff_without_a_role_sees_nothing_not_even_of_their_own_tenant(client, mine):
    client.force_login(make_user(mine[Tenant], "plain", is_staff=True))
    for name, url, _ in addresses(mine):
        page = client.get(url)
        assert page.status_code in (200, 302, 403, 404), name
        assert not any(word in page.content.decode() for word in ("mine-user", "mine phone", "mines")), name
    assert "/admin/tenants/" not in client.get(reverse("admin:index")).content.decode()


def test_an_operator_sees_every_tenant(admin_client, mine, theirs):
    for model in theirs:
        if model in admin.site._registry:
            page = admin_client.get(reverse(f"admin:{names_of(model)}_changelist")).content.decode()
            assert WORD in page, model.__name__
            answer = admin_client.get(reverse(f"admin:{names_of(model)}_change", args=[theirs[model].pk]))
            assert answer.status_code == 200, model.__name__
