"""The admin and the API's pages in a browser: the Content Security Policy forbids nothing that they need.

The fixture `windows` fails the test if a console reports something that the policy blocked.
"""

import pytest
from django.contrib.auth.models import User
from selenium.webdriver.common.by import By

from layouts.models import LayoutDefinition

pytestmark = [pytest.mark.slow]


def test_the_admin_and_the_documentation_work_under_the_policy(at, tenant) -> None:
    User.objects.create_superuser("root", password="secret")
    window = at()
    window.driver.get(f"{window.url}/admin/login/")
    window.driver.find_element(By.NAME, "username").send_keys("root")
    window.driver.find_element(By.NAME, "password").send_keys("secret")
    window.driver.find_element(By.CSS_SELECTOR, "[type=submit]").click()
    window.until("document.querySelector('#user-tools')")
    layout = LayoutDefinition.objects.get(tenant=tenant)
    for address, shown in {
        "/": "document.querySelector('header svg')",
        "/admin/records/acme/jobs/": "document.querySelector('#result_list tbody tr')",
        "/admin/records/acme/jobs/j1/change/": "document.querySelector('[name=title], #id_title')",
        "/admin/records/acme/jobs/j1/history/": "document.querySelector('#change-history li')",
        "/admin/metadata/objectmetadata/": "document.querySelector('#result_list')",
        f"/admin/layouts/layoutdefinition/{layout.pk}/change/": (
            "[...document.querySelectorAll('*')].some(e => e.shadowRoot && e.shadowRoot.querySelector('input'))"
        ),
        "/admin/tenants/securityprofile/add/": "document.querySelector('[name=name]')",
        "/api/": "document.querySelector('.response-info')",
        "/api/docs": "document.querySelector('.opblock')",
    }.items():
        window.driver.get(f"{window.url}{address}")
        window.until(shown)
    assert window.js("return getComputedStyle(document.body).margin") == "0px"
