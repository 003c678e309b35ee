"""Profiles in the admin: rule validation, access previews, and tenant isolation."""

import json

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from metadata.access import Rules
from metadata.access_store import access_of
from metadata.filters import parse_filter
from metadata.models import AccessRule, ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.admin.access_forms import published
from sync.admin.filter_help import help_of, parameters_of
from sync.admin.profiles import preview_of
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Membership, SecurityProfile
from tests.builders import make_tenant, make_user
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def service():
    tenant = make_service()
    profile = make_profile(tenant, "technician", technician_rules())
    tom = make_member(profile, "tom")
    push(
        Actor(tenant.pk, "olga"),
        [
            Op(n, None, "jobs", f"j{n}", "insert", None, {"title": "x", "technician": "tom" if n < 4 else "tess"})
            for n in range(1, 8)
        ],
    )
    admin = make_user(tenant, "boss", role="admin", is_staff=True)
    return tenant, profile, tom, admin


def form(profile, **rule):
    rule = {
        "object_name": "job",
        "can_read": "on",
        "row_filter": "{}",
        "readable_fields": "",
        "writable_fields": "",
        **rule,
    }
    management = {
        "rules-TOTAL_FORMS": "1",
        "rules-INITIAL_FORMS": "0",
        "rules-MIN_NUM_FORMS": "0",
        "rules-MAX_NUM_FORMS": "1000",
    }
    return {
        "name": profile.name,
        "tenant": profile.tenant_id,
        **management,
        **{f"rules-0-{k}": v for k, v in rule.items()},
    }


def test_the_preview_says_in_plain_words_what_a_member_sees(service, client):
    _, profile, tom, admin = service
    member = Membership.objects.get(user=tom)
    assert str(preview_of(member)).startswith("as tom: ")
    assert "3 " in str(preview_of(member))
    client.force_login(admin)
    page = client.get(reverse("admin:tenants_securityprofile_preview", args=[profile.pk])).content.decode()
    assert "Viewing as tom" in page and "<td>3</td>" in page
    assert client.get(reverse("admin:tenants_securityprofile_changelist")).status_code == 200
    assert client.get(reverse("admin:tenants_securityprofile_change", args=[profile.pk])).status_code == 200


def test_a_rule_is_saved_and_raises_the_revision(service, client):
    tenant, _, _, admin = service
    profile = SecurityProfile.objects.create(tenant=tenant, name="readers", full_access=False)
    client.force_login(admin)
    url = reverse("admin:tenants_securityprofile_change", args=[profile.pk])
    answer = client.post(
        url,
        form(profile, readable_fields="title, price", row_filter='{"technician": "$user.username"}', statuses="open"),
    )
    assert answer.status_code == 302, answer.context["adminform"].errors
    rule = AccessRule.objects.get(profile=profile)
    assert rule.readable_fields == ["title", "price"] and rule.writable_fields is None and rule.statuses == ["open"]
    profile.refresh_from_db()
    assert profile.revision == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"object_name": "nothing"},
        {"readable_fields": "salary"},
        {"writable_fields": "salary"},
        {"row_filter": '{"salary": 1}'},
        {"row_filter": '{"technician": "$user.password"}'},
        {"row_filter": "not json"},
        {"statuses": "odd"},
    ],
)
def test_a_rule_that_does_not_fit_is_refused_with_a_reason(service, client, bad):
    tenant, _, _, admin = service
    profile = SecurityProfile.objects.create(tenant=tenant, name="readers", full_access=False)
    client.force_login(admin)
    answer = client.post(reverse("admin:tenants_securityprofile_change", args=[profile.pk]), form(profile, **bad))
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not AccessRule.objects.filter(profile=profile).exists()


def test_the_admin_of_another_tenant_sees_neither_profile_nor_preview(service, client):
    _, profile, _, _ = service
    stranger = make_user(make_tenant(), "stranger", role="admin", is_staff=True)
    client.force_login(stranger)
    assert client.get(reverse("admin:tenants_securityprofile_preview", args=[profile.pk])).status_code == 404
    assert client.get(reverse("admin:tenants_securityprofile_change", args=[profile.pk])).status_code in (302, 403, 404)


def test_every_change_of_rights_raises_the_access_version(service):
    tenant, profile, tom, _ = service

    def version():
        tenant.refresh_from_db()
        return tenant.access_version

    member = Membership.objects.get(user=tom)
    steps = [
        lambda: member.save(),
        lambda: AccessRule.objects.filter(profile=profile).first().save(),
        lambda: AccessRule.objects.filter(profile=profile).first().delete(),
        lambda: tom.save(),
        lambda: member.delete(),
    ]
    for step in steps:
        before = version()
        step()
        assert version() > before


def test_a_publish_that_changes_what_a_filter_means_raises_the_revision(service):
    tenant, profile, _, _ = service

    def revision():
        profile.refresh_from_db()
        return profile.revision

    before = revision()
    job = ObjectMetadata.objects.get(tenant=tenant, object_name="job")
    ObjectField.objects.create(object_type=job, position=9, name="extra", label="Extra", kind="text")
    publish(tenant.pk)
    assert revision() == before
    field = ObjectField.objects.get(object_type=job, name="technician")
    field.retired = True
    field.save()
    publish(tenant.pk)
    assert revision() > before


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("row_filter", "{'technician': 'tom'}", "JSON requires double quotes. Example: "),
        ("row_filter", '{"technician": }', "Line 1, column 16"),
        ("row_filter", '{"technician": “tom”}', "use a straight quote"),
        ("row_filter", '{"technician": "tom", "technician": "tess"}', "Duplicate key technician."),
        ("row_filter", "[" * 100_000, "Nested too deeply"),
        ("row_filter", '["technician"]', "A filter is a JSON object"),
        ("row_filter", '{"technicain": "tom"}', "job has no field technicain. Did you mean technician?"),
        ("row_filter", '{"zzz": "tom"}', "job has no field zzz. Available: title, technician, customer, price"),
        ("row_filter", '{"custmer.name": "x"}', "custmer is not a reference field of job. Did you mean customer?"),
        ("row_filter", '{"customer.nam": "x"}', "customer has no field nam. Did you mean name?"),
        (
            "row_filter",
            '{"<line_itm.job.text": "x"}',
            "line_itm is not a published object type. Did you mean line_item?",
        ),
        ("row_filter", '{"<line_item.jb.text": "x"}', "jb of line_item does not refer to job. Did you mean job?"),
        ("row_filter", '{"price": "dear"}', "&quot;dear&quot; is not a valid decimal value."),
        ("row_filter", '{"technician": "$user.nmae"}', "unknown parameter $user.nmae"),
        ("readable_fields", "titel", "job has no field titel. Did you mean title?"),
        ("statuses", "opne", "opne is not a declared value. Did you mean open?"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_with_the_way_out(service, client, field, text, said):
    tenant, _, _, admin = service
    profile = SecurityProfile.objects.create(tenant=tenant, name="readers", full_access=False)
    client.force_login(admin)
    answer = client.post(
        reverse("admin:tenants_securityprofile_change", args=[profile.pk]), form(profile, **{field: text})
    )
    assert said in answer.content.decode()
    assert not AccessRule.objects.filter(profile=profile).exists()


def test_the_page_offers_the_tenants_own_fields_parameters_and_examples_that_hold(service, client):
    tenant, profile, tom, admin = service
    Membership.objects.filter(user=tom).update(attributes={"technician": "tom"})
    client.force_login(admin)
    page = client.get(reverse("admin:tenants_securityprofile_change", args=[profile.pk])).content.decode()
    for offered in (
        "$membership.technician",
        "tom: &quot;tom&quot;",
        "customer.name",
        "&lt;job.customer.technician",
        '<option value="job">',
    ):
        assert offered in page, offered
    schema = published(tenant.pk)
    helps = help_of(schema, parameters_of(tenant.pk))
    assert [one.object_name for one in helps] == ["customer", "job", "line_item"]
    for one in helps:
        assert one.examples
        spec = schema.by_object[one.object_name]
        for example in one.examples:
            parse_filter(json.loads(example), spec, schema)
        for key in (*one.own, *one.up, *one.down):
            parse_filter({key: None}, spec, schema)
    assert '{"technician": "$membership.technician"}' in next(one for one in helps if one.object_name == "job").examples
    assert (
        '{"job.technician": "$membership.technician"}'
        in next(one for one in helps if one.object_name == "line_item").examples
    )
    assert (
        '{"<job.customer.technician": "$membership.technician"}'
        in next(o for o in helps if o.object_name == "customer").examples
    )


def test_a_parameter_that_no_member_has_is_saved_with_a_warning(service, client):
    tenant, _, _, admin = service
    profile = SecurityProfile.objects.create(tenant=tenant, name="readers", full_access=False)
    client.force_login(admin)
    url = reverse("admin:tenants_securityprofile_change", args=[profile.pk])
    page = client.post(
        url, form(profile, row_filter='{"technician": ["$membership.regoin", "x"]}'), follow=True
    ).content.decode()
    assert "No member has $membership.regoin yet" in page
    assert AccessRule.objects.get(profile=profile).row_filter == {"technician": ["$membership.regoin", "x"]}


def test_a_rule_for_a_type_that_is_published_no_more_keeps_its_name(service, client):
    _, profile, _, admin = service
    AccessRule.objects.create(profile=profile, object_name="gone")
    client.force_login(admin)
    page = client.get(reverse("admin:tenants_securityprofile_change", args=[profile.pk])).content.decode()
    assert '<option value="gone" selected>gone (not published)</option>' in page


def test_the_help_shows_nothing_of_another_tenant(service, client):
    tenant, profile, _, admin = service
    other = make_tenant("zzforeign")
    Membership.objects.filter(user=make_user(other, "zzforeign-user")).update(attributes={"zzforeign": "x"})
    client.force_login(admin)
    page = client.get(reverse("admin:tenants_securityprofile_change", args=[profile.pk])).content.decode()
    assert "zzforeign" not in page and tenant.slug


def test_a_new_profile_grants_nothing(service, client):
    tenant, _, tom, admin = service
    profile = SecurityProfile.objects.create(tenant=tenant, name="new")
    assert not profile.full_access
    client.force_login(admin)
    url = reverse("admin:tenants_securityprofile_add")
    assert "checked" not in client.get(url).content.decode().split('name="full_access"')[1].split(">")[0]
    answer = client.post(url, {"name": "form", "tenant": tenant.pk}, follow=True)
    assert "its members can’t see any records" in answer.content.decode()
    made = SecurityProfile.objects.get(name="form")
    assert not made.full_access
    Membership.objects.filter(user=tom).delete()
    Membership.objects.create(tenant=tenant, user=tom, profile=made)
    assert access_of(tenant.pk, tom.pk).rules == Rules()


def test_rules_and_full_access_together_are_an_error(service, client):
    tenant, profile, _, admin = service
    client.force_login(admin)
    full = SecurityProfile.objects.create(tenant=tenant, name="all", full_access=True)
    answer = client.post(
        reverse("admin:tenants_securityprofile_change", args=[full.pk]), {**form(full), "full_access": "on"}
    )
    assert "A profile with full access can&#x27;t have rules" in answer.content.decode()
    assert not full.rules.exists()
    with pytest.raises(ValidationError):
        AccessRule.objects.create(profile=full, object_name="job")

    url = reverse("admin:tenants_securityprofile_change", args=[profile.pk])
    kept = stored_form(client, url)
    answer = client.post(url, {**kept, "full_access": "on"})
    assert "A profile with full access can&#x27;t have rules" in answer.content.decode()
    profile.refresh_from_db()
    assert not profile.full_access
    assert client.post(url, kept).status_code == 302
    removed = {f"rules-{n}-DELETE": "on" for n in range(profile.rules.count())}
    assert client.post(url, {**kept, **removed, "full_access": "on"}).status_code == 302
    profile.refresh_from_db()
    assert profile.full_access and not profile.rules.exists()


def test_deleting_the_last_rule_is_not_full_access(service, client):
    tenant, profile, tom, admin = service
    client.force_login(admin)
    url = reverse("admin:tenants_securityprofile_change", args=[profile.pk])
    removed = {f"rules-{n}-DELETE": "on" for n in range(profile.rules.count())}
    assert client.post(url, {**stored_form(client, url), **removed}).status_code == 302
    assert not profile.rules.exists()
    assert access_of(tenant.pk, tom.pk).rules == Rules()


def test_a_profile_of_an_older_version_with_both_keeps_its_access(service, client):
    """Its members' access must not change by itself, but the form asks for a decision."""
    tenant, profile, tom, admin = service
    SecurityProfile.objects.filter(pk=profile.pk).update(full_access=True)
    profile.refresh_from_db()
    profile.name = "renamed"
    profile.save()
    assert access_of(tenant.pk, tom.pk).rules is None
    client.force_login(admin)
    url = reverse("admin:tenants_securityprofile_change", args=[profile.pk])
    data = stored_form(client, url)
    assert data["full_access"]
    assert client.post(url, data).status_code == 200
    del data["full_access"]
    assert client.post(url, data).status_code == 302
    assert access_of(tenant.pk, tom.pk).rules is not None


def stored_form(client, url):
    """The profile's form as a browser would send it."""
    context = client.get(url).context
    forms = [context["adminform"].form, *(f for s in context["inline_admin_formsets"] for f in s.formset.forms)]
    forms += [s.formset.management_form for s in context["inline_admin_formsets"]]
    values = {bound.html_name: bound.value() for one in forms for bound in one}
    data = {name: "" if value is None else value for name, value in values.items() if value is not False}
    return {"tenant": context["original"].tenant_id, **data}
