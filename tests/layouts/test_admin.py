"""Layouts in the admin."""

import json
from dataclasses import replace

import pytest
from django.urls import reverse

from layouts.defaults import default_layout
from layouts.models import LayoutDefinition
from layouts.signals import layout_changed
from tests.builders import make_tenant, make_user
from tests.layouts.published import JOB, publish_spec

pytestmark = pytest.mark.django_db
LIST = "admin:layouts_layoutdefinition_changelist"
ADD = "admin:layouts_layoutdefinition_add"


@pytest.fixture
def tenant():
    tenant = make_tenant("acme")
    publish_spec(tenant)
    return tenant


@pytest.fixture
def browser(client, tenant):
    client.force_login(make_user(tenant, "ada", role="admin", is_staff=True))
    return client


@pytest.fixture
def signals():
    said: list[tuple] = []

    def receive(sender, old, new, by, **_):
        said.append((old is not None, new is not None, by))

    layout_changed.connect(receive)
    yield said
    layout_changed.disconnect(receive)


def form(tenant, **fields):
    text = fields.pop("layout_json", json.dumps(default_layout(JOB)))
    return {
        "tenant": tenant.pk,
        "object_name": "job",
        "object_type": "*",
        "status": "*",
        "label": "",
        "layout_json": text,
        **fields,
    }


def test_a_layout_is_added_changed_and_deleted_through_the_use_case(browser, tenant, signals):
    page = browser.get(reverse(ADD)).content.decode()
    assert "Residential" in page
    assert browser.post(reverse(ADD), form(tenant, object_type="residential")).status_code == 302
    layout = LayoutDefinition.objects.get()
    change = reverse("admin:layouts_layoutdefinition_change", args=[layout.pk])
    assert '"scope": "#/properties/title"' in browser.get(change).context["adminform"].form["layout_json"].value()
    assert browser.post(change, form(tenant, object_type="residential", label="Homes")).status_code == 302
    assert (
        browser.post(reverse("admin:layouts_layoutdefinition_delete", args=[layout.pk]), {"post": "yes"}).status_code
        == 302
    )
    assert signals == [(False, True, "ada"), (True, True, "ada"), (True, False, "ada")]


def test_deleting_many_tells_of_each(browser, tenant, signals):
    for status in ("open", "done"):
        browser.post(reverse(ADD), form(tenant, status=status))
    chosen = [str(pk) for pk in LayoutDefinition.objects.values_list("pk", flat=True)]
    browser.post(reverse(LIST), {"action": "delete_selected", "_selected_action": chosen, "post": "yes"})
    assert signals[2:] == [(True, False, "ada")] * 2
    assert not LayoutDefinition.objects.exists()


def test_an_empty_layout_starts_from_the_default(browser, tenant):
    assert browser.post(reverse(ADD), form(tenant, layout_json="")).status_code == 302
    assert LayoutDefinition.objects.get().layout_json == default_layout(JOB)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"layout_json": "{"}, "layout_json", "Enter valid JSON"),
        (
            {"layout_json": '{"type": "VerticalLayout", "elements": [], "elements": []}'},
            "layout_json",
            "Enter valid JSON",
        ),
        ({"layout_json": '{"type": "Label", "text": NaN}'}, "layout_json", "Enter valid JSON"),
        ({"layout_json": "[" * 100_000}, "layout_json", "Enter valid JSON"),
        ({"layout_json": "[" * 50_000 + "]" * 50_000}, "layout_json", "Enter valid JSON"),
        ({"layout_json": '{"x": "' + "y" * 3_000_000 + '"}'}, None, None),
        (
            {
                "layout_json": '{"type": "VerticalLayout", "elements": '
                '[{"type": "Control", "scope": "#/properties/gone"}]}'
            },
            "layout_json",
            "/elements/0/scope: job has no field gone.",
        ),
        (
            {"layout_json": r'{"type": "VerticalLayout", "elements": [{"type": "Label", "text": "\u0000"}]}'},
            "layout_json",
            "NUL",
        ),
        ({"object_name": "gone"}, "object_name", "gone"),
        ({"status": "lost"}, "status", "lost"),
        ({"object_type": ""}, "object_type", "required"),
    ],
)
def test_each_problem_is_shown_at_its_field_and_nothing_is_saved(browser, tenant, signals, fields, field, message):
    answer = browser.post(reverse(ADD), form(tenant, **fields))
    if field is None:
        assert answer.status_code == 400
    else:
        assert answer.status_code == 200
        assert message in str(answer.context["adminform"].form.errors[field])
    assert not LayoutDefinition.objects.exists()
    assert signals == []


def test_a_second_layout_of_a_binding_is_refused_also_when_an_old_one_is_rebound(browser, tenant):
    browser.post(reverse(ADD), form(tenant))
    assert "already" in str(browser.post(reverse(ADD), form(tenant)).context["adminform"].form.errors["object_name"])
    browser.post(reverse(ADD), form(tenant, status="open"))
    other = LayoutDefinition.objects.get(status="open")
    answer = browser.post(reverse("admin:layouts_layoutdefinition_change", args=[other.pk]), form(tenant, status="*"))
    assert "already" in str(answer.context["adminform"].form.errors["object_name"])


def test_a_layout_with_a_retired_field_warns_in_the_list_and_keeps_its_binding_in_the_form(browser, tenant):
    browser.post(reverse(ADD), form(tenant, status="done"))
    publish_spec(tenant, replace(JOB, fields=JOB.fields[:1], statuses=JOB.statuses[:1]))
    assert "job has no field price" in browser.get(reverse(LIST)).content.decode()
    page = browser.get(
        reverse("admin:layouts_layoutdefinition_change", args=[LayoutDefinition.objects.get().pk])
    ).content.decode()
    assert '<option value="done" selected>done (not published)</option>' in page


def test_default_layouts_are_created_for_types_that_have_none(browser, tenant, signals):
    url = reverse("admin:layouts_layoutdefinition_create_defaults")
    assert f"{tenant.pk}:job" in browser.get(url).content.decode()
    other = make_tenant("other")
    publish_spec(other)
    browser.post(url, {"types": [f"{tenant.pk}:job", f"{tenant.pk}:nope", f"{other.pk}:job", "x"]})
    layout = LayoutDefinition.objects.get()
    assert (layout.tenant, layout.object_name, layout.object_type, layout.status) == (tenant, "job", "*", "*")
    assert signals == [(False, True, "ada")]
    assert "Every published object type" in browser.get(url).content.decode()


def test_a_publish_between_checking_and_saving_is_told_not_a_crash(browser, tenant, monkeypatch):
    def clean(form):
        return form.cleaned_data

    monkeypatch.setattr("layouts.forms.LayoutForm.clean", clean)
    answer = browser.post(
        reverse(ADD),
        form(tenant, object_name="job", status="open", layout_json='{"type": "VerticalLayout"}'),
        follow=True,
    )
    assert answer.status_code == 200
    assert "elements" in answer.content.decode()
    assert not LayoutDefinition.objects.exists()
