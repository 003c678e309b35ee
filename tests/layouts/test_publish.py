"""Saving and deleting layouts."""

from dataclasses import replace

import pytest

from layouts import publish
from layouts.defaults import default_layout
from layouts.models import LayoutDefinition
from layouts.signals import layout_changed
from tenants.errors import ValidationFailed
from tenants.locks import LockedTenant
from tests.builders import make_tenant
from tests.layouts.published import JOB, publish_spec

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    tenant = make_tenant("acme")
    publish_spec(tenant)
    return tenant


@pytest.fixture
def signals():
    """The changes that `layout_changed` sent."""
    signals: list[dict] = []

    def hear(sender, signal, **said):
        signals.append(said)

    layout_changed.connect(hear)
    yield signals
    layout_changed.disconnect(hear)


def new(tenant, **fields):
    return LayoutDefinition(tenant=tenant, **{"object_name": "job", "layout_json": default_layout(JOB), **fields})


def test_a_new_layout_a_changed_one_and_a_deleted_one_are_each_told_once(tenant, signals):
    layout = publish.save(new(tenant, label="All"), "olga")
    before = publish.record(layout)
    layout.label = "Every"
    publish.save(layout, "tom")
    publish.save(layout, "tom")
    layout_id = str(layout.pk)
    publish.delete(layout, "tess")
    after = {**before, "label": "Every"}
    assert [(h["layout_id"], h["old"], h["new"], h["by"]) for h in signals] == [
        (layout_id, None, before, "olga"),
        (layout_id, before, after, "tom"),
        (layout_id, after, None, "tess"),
    ]
    assert all(isinstance(h["locked"], LockedTenant) and h["locked"].id == tenant.pk for h in signals)
    assert not LayoutDefinition.objects.exists()


def test_deleting_what_is_gone_tells_nobody(tenant, signals):
    publish.delete(new(tenant), "olga")
    assert signals == []


@pytest.mark.parametrize(
    ("fields", "where", "code"),
    [
        ({"object_name": "nope"}, "object_name", "unknown_object"),
        ({"object_type": "industrial"}, "object_type", "bad_value"),
        ({"status": "lost"}, "status", "bad_value"),
        ({"status": ""}, "status", "bad_value"),
        ({"layout_json": {}}, "layout_json", "bad_layout"),
        (
            {"layout_json": {"type": "VerticalLayout", "elements": [{"type": "Control", "scope": "#/properties/old"}]}},
            "layout_json/elements/0/scope",
            "unknown_field",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_nothing_is_told(tenant, signals, fields, where, code):
    with pytest.raises(ValidationFailed) as refused:
        publish.save(new(tenant, **fields), "olga")
    assert [(p.where, p.code) for p in refused.value.problems] == [(where, code)]
    assert signals == []
    assert not LayoutDefinition.objects.exists()


def test_a_type_of_another_tenant_does_not_count(tenant):
    with pytest.raises(ValidationFailed):
        publish.save(new(make_tenant("other")), "olga")


def test_one_binding_has_one_layout(tenant, signals):
    publish.save(new(tenant), "olga")
    with pytest.raises(ValidationFailed) as refused:
        publish.save(new(tenant), "olga")
    assert refused.value.problems[0].code == "duplicate"
    assert len(signals) == 1


def test_when_a_listener_fails_the_layout_is_not_saved(tenant):
    def fail(**_):
        raise RuntimeError("the log is closed")

    layout_changed.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            publish.save(new(tenant), "olga")
    finally:
        layout_changed.disconnect(fail)
    assert not LayoutDefinition.objects.exists()


def test_a_layout_whose_field_was_retired_stays_and_says_so(tenant):
    layout = publish.save(new(tenant), "olga")
    publish_spec(tenant, replace(JOB, fields=JOB.fields[:1]))
    layout.refresh_from_db()
    assert layout.layout_json == default_layout(JOB)
    with pytest.raises(ValidationFailed) as refused:
        publish.save(layout, "olga")
    assert refused.value.problems[0].code == "unknown_field"
