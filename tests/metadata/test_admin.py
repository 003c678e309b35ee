"""Object types in the admin: drafts, the publish action, and who may do what."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from metadata.doctor import examine
from metadata.forms import ChoicesField
from metadata.models import ObjectField, ObjectMetadata, SchemaRevision
from metadata.publish import publish
from tests.builders import make_object_type, make_tenant, make_user

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/metadata/objectmetadata/"


@pytest.fixture
def operator(client):
    client.force_login(User.objects.create_superuser("root-operator"))
    return client


def choose(*types, **more):
    return {"action": "publish_selected", "_selected_action": [str(one.pk) for one in types], **more}


def confirmed(page):
    return re.findall(r'name="confirmed" value="([0-9a-f]+)"', page.content.decode())


def form_data(tenant, **changes):
    """What the browser sends from an empty add form, with one field."""
    data = {
        "tenant": tenant.pk, "object_name": "job", "conflict_policy": "field_merge",
        "fields-TOTAL_FORMS": 1, "fields-INITIAL_FORMS": 0,
        "fields-0-name": "title", "fields-0-kind": "text", "fields-0-position": 0,
    }  # fmt: skip
    return {**data, **changes}


def test_a_draft_is_made_previewed_and_published(operator):
    tenant = make_tenant()
    answer = operator.post(
        f"{LIST}add/", form_data(tenant, subtypes='["a", {"value": "b", "label": "B"}]', statuses="open\ndone: Done!")
    )
    assert answer.status_code == 302, answer.content.decode()
    job = ObjectMetadata.objects.get()
    assert (job.table_name, job.subtypes[0]) == ("jobs", {"value": "a", "label": "a"})
    assert job.statuses == [{"value": "open", "label": "open"}, {"value": "done", "label": "Done!"}]

    page = operator.post(LIST, choose(job))
    text = page.content.decode()
    assert "Create table jobs for job: title (text)" in text
    assert "CREATE TABLE &quot;t" in text
    assert not SchemaRevision.objects.exists()

    assert operator.post(LIST, choose(job, confirmed=confirmed(page))).status_code == 302
    assert "published v1" in operator.get(LIST).content.decode()
    assert SchemaRevision.objects.get().by == User.objects.get(username="root-operator")
    assert examine(tenant) == []
    operator.post(f"{LIST}{job.pk}/change/", {**change_data(operator, job), "label": "Auftrag"})
    assert "unpublished changes" in operator.get(LIST).content.decode()


def change_data(client, one):
    """What the browser sends when a change form is saved without edits."""
    page = client.get(f"{LIST}{one.pk}/change/")
    form, formset = page.context["adminform"].form, page.context["inline_admin_formsets"][0].formset
    data = {}
    for part in [form, formset.management_form, *formset.forms]:
        for bound in part:
            value = bound.value()
            if value is not None and value is not False and not bound.field.disabled:
                data[bound.html_name] = value
    return data


def test_problems_are_listed_by_field_and_nothing_can_be_confirmed(operator):
    tenant = make_tenant()
    job = make_object_type(tenant, "job", {"select": "text", "a": {"kind": "choice"}}, title_field="nowhere")
    text = operator.post(LIST, choose(job)).content.decode()
    assert "job.select" in text
    assert "job.a" in text
    assert "job.title_field" in text
    assert 'value="Publish"' not in text
    operator.post(LIST, choose(job, confirmed="0" * 64))
    assert not SchemaRevision.objects.exists()


def test_a_plan_that_changed_since_it_was_shown_is_shown_again(operator):
    tenant = make_tenant()
    job = make_object_type(tenant, "job", {"a": "text"})
    seen = confirmed(operator.post(LIST, choose(job)))
    ObjectField.objects.create(object_type=job, name="b", kind="text")
    page = operator.post(LIST, choose(job, confirmed=seen))
    assert "changed since you opened this page" in page.content.decode()
    assert not SchemaRevision.objects.exists()


def test_names_and_kinds_are_fixed_once_published(operator):
    tenant = make_tenant()
    job = make_object_type(tenant, "job", {"a": "text", "n": "integer"})
    publish(tenant.pk)
    data = {
        **change_data(operator, job),
        "object_name": "task",
        "fields-0-name": "b",
        "fields-0-kind": "integer",
        "fields-0-DELETE": "on",
    }
    assert operator.post(f"{LIST}{job.pk}/change/", {**data, "fields-1-kind": "decimal"}).status_code == 302
    job.refresh_from_db()
    assert job.object_name == "job"
    assert list(job.fields.values_list("name", "kind")) == [("a", "text"), ("n", "decimal")]
    refused = operator.post(f"{LIST}{job.pk}/change/", {**data, "fields-1-kind": "boolean"})
    assert refused.status_code == 200
    assert "not one of the available choices" in refused.content.decode()


def test_a_published_type_cannot_be_deleted_but_a_draft_can(operator):
    tenant = make_tenant()
    job, draft = make_object_type(tenant, "job", {"a": "text"}), make_object_type(tenant, "note", {})
    publish(tenant.pk, ["job"])
    assert operator.post(f"{LIST}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    both = {"action": "delete_selected", "_selected_action": [job.pk, draft.pk], "post": "yes"}
    assert operator.post(LIST, both).status_code in (200, 403)
    assert ObjectMetadata.objects.count() == 2
    assert operator.post(f"{LIST}{draft.pk}/delete/", {"post": "yes"}).status_code == 302
    assert ObjectMetadata.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"object_name": "Job 1"}, "is not a valid name. Use a–z"),
        ({"table_name": "overlays"}, "reserved"),
        ({"fields-0-name": "id"}, "reserved"),
        ({"fields-0-kind": "choice"}, "Add at least one choice"),
        ({"fields-0-kind": "choice", "fields-0-choices": "a\na"}, "more than once"),
        ({"fields-0-kind": "choice", "fields-0-choices": '[{"label": "x"}]'}, "Entry 1"),
        ({"fields-0-kind": "reference"}, "Choose the object type"),
        ({"fields-0-kind": "integer", "fields-0-default": "abc"}, "Enter a number"),
        ({"fields-0-kind": "date", "fields-0-default": "2026-02-30"}, "is not a valid date"),
        ({"fields-0-kind": "json", "fields-0-indexed": "on"}, "can’t be unique or indexed"),
        ({"fields-0-kind": "decimal", "fields-0-decimal_places": "13"}, "at most 12 decimal places"),
        ({"statuses": "["}, "Enter valid JSON"),
        ({"conflict_policy": "os.system"}, "a resolver listed in MOAT"),
    ],
)
def test_a_bad_draft_is_refused_at_the_field_that_is_wrong(operator, changes, message):
    page = operator.post(f"{LIST}add/", form_data(make_tenant(), **changes))
    assert page.status_code == 200
    assert message in page.content.decode()
    assert not ObjectMetadata.objects.exists()


@pytest.mark.parametrize(
    ("kind", "typed", "stored"),
    [
        ("text", "it's", "it's"),
        ("integer", "5", 5),
        ("decimal", "1.5", "1.50"),
        ("boolean", "yes", True),
        ("json", '{"a": 1}', {"a": 1}),
    ],
)
def test_a_default_is_typed_plainly_and_shown_again(operator, kind, typed, stored):
    tenant = make_tenant()
    assert (
        operator.post(
            f"{LIST}add/", form_data(tenant, **{"fields-0-kind": kind, "fields-0-default": typed})
        ).status_code
        == 302
    )
    assert ObjectField.objects.get().default == stored
    job = ObjectMetadata.objects.get()
    assert operator.post(f"{LIST}{job.pk}/change/", change_data(operator, job)).status_code == 302
    assert ObjectField.objects.get().default == stored


def test_a_tenant_admin_publishes_their_own_types_and_sees_no_others(client):
    mine, other = make_tenant(), make_tenant()
    client.force_login(make_user(mine, role="admin", is_staff=True))
    job, foreign = make_object_type(mine, "job", {"a": "text"}), make_object_type(other, "secret", {"a": "text"})
    assert "secret" not in client.get(LIST).content.decode()
    page = client.post(LIST, choose(job, foreign))
    assert "secret" not in page.content.decode()
    client.post(LIST, choose(job, foreign, confirmed=confirmed(page)))
    assert SchemaRevision.objects.get().tenant == mine
    assert client.get(f"{LIST}{foreign.pk}/change/").status_code in (302, 403, 404)
    own = SchemaRevision.objects.get()
    assert "CREATE TABLE" in client.get(reverse("admin:metadata_schemarevision_change", args=[own.pk])).content.decode()
    publish(other.pk)
    hidden = SchemaRevision.objects.get(tenant=other)
    assert client.get(reverse("admin:metadata_schemarevision_change", args=[hidden.pk])).status_code in (302, 403, 404)


def test_a_reference_to_another_tenants_type_cannot_be_chosen(client):
    mine, other = make_tenant(), make_tenant()
    client.force_login(make_user(mine, role="admin", is_staff=True))
    foreign = make_object_type(other, "secret", {})
    page = client.post(
        f"{LIST}add/", form_data(mine, **{"fields-0-kind": "reference", "fields-0-reference": foreign.pk})
    )
    assert page.status_code == 200
    assert not ObjectMetadata.objects.filter(tenant=mine).exists()


def test_staff_without_the_role_neither_see_nor_publish(client):
    tenant = make_tenant()
    job = make_object_type(tenant, "job", {"a": "text"})
    user = make_user(tenant, is_staff=True)
    client.force_login(user)
    assert client.get(LIST).status_code == 403
    assert client.post(LIST, choose(job, confirmed="x")).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="publish_objectmetadata"))
    client.post(LIST, choose(job, confirmed="x"))
    assert not SchemaRevision.objects.exists()


def test_revisions_can_only_be_read(operator):
    tenant = make_tenant()
    make_object_type(tenant, "job", {"a": "text"})
    publish(tenant.pk)
    url = reverse("admin:metadata_schemarevision_change", args=[SchemaRevision.objects.get().pk])
    assert operator.get(url).status_code == 200
    assert operator.post(url, {"schema_version": 9}).status_code == 403
    assert operator.get(reverse("admin:metadata_schemarevision_add")).status_code == 403


@pytest.mark.parametrize(
    "stored", [[{"value": "a", "label": "A"}], [{"value": "a", "label": "a", "colour": "red"}], [], ["a"]]
)
def test_choices_survive_being_shown_and_sent_back(stored):
    field = ChoicesField()
    once = field.clean(field.prepare_value(stored))
    assert field.clean(field.prepare_value(once)) == once
