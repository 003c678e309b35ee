"""An administrator publishes while the app is open: it updates without a reload, and keeps what a user is typing."""

import pytest

from layouts import publish as layouts
from layouts.models import LayoutDefinition
from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from tests.browser.fixtures import in_every_engine
from tests.builders import make_object_type

pytestmark = [pytest.mark.slow]


@in_every_engine
def test_a_type_a_field_and_a_layout_appear_without_a_reload_and_typed_text_stays(at, tenant) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1")
    tom.stays()
    tom.type("title", "Half a sent")

    make_object_type(tenant, "van", {"plate": "text"}, label_plural="Vans", title_field="plate")
    publish(tenant.pk)

    job = ObjectMetadata.objects.get(tenant=tenant, object_name="job")
    ObjectField.objects.create(object_type=job, position=99, name="floor", label="Floor", kind="integer")
    publish(tenant.pk)
    layout = LayoutDefinition.objects.get(tenant=tenant, object_name="job")
    layout.layout_json = {
        "type": "VerticalLayout",
        "elements": [{"type": "Control", "scope": f"#/properties/{name}"} for name in ("floor", "title", "notes")],
    }
    layouts.save(layout, "olga")

    tom.find('[data-field="floor"] input')
    assert tom.js("return document.activeElement.name") == "title"
    tom.type("title", "ence", clear=False).sees("title", "Half a sentence")
    tom.type("floor", "7").save().sent().sees("floor", "7").sees("title", "Half a sentence")
    tom.until("!document.querySelector('[data-field=price]')")

    tom.visit("#/").click("Vans", within="nav")
    tom.click("New Van")
    tom.type("plate", "MOAT 1").save()
    tom.visit("#/o/vans").sees_row("MOAT 1")
    assert tom.stayed
