"""What operators and tenant admins can do in the admin: members, devices, tenants, accounts."""

import re

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse

from tenants.models import Device, Membership, Tenant
from tenants.tokens import identify, issue_device
from tests.builders import make_tenant, make_user

pytestmark = pytest.mark.django_db
MEMBER_ADD = "admin:tenants_membership_add"
PASSWORD = "correct-horse-battery"


@pytest.fixture
def tenant():
    return make_tenant("acme")


@pytest.fixture
def browser(client, tenant):
    client.force_login(make_user(tenant, "ada", role="admin", is_staff=True))
    return client


def errors(answer):
    assert answer.status_code == 200
    return answer.context["adminform"].form.errors


def member(tenant, **fields):
    return {"tenant": tenant.pk, "role": "member", "profile": tenant.profiles.get().pk, **fields}


def test_a_tenant_admin_adds_a_new_person(browser, tenant):
    answer = browser.post(reverse(MEMBER_ADD), member(tenant, new_username="tom", new_password=PASSWORD))
    assert answer.status_code == 302
    tom = User.objects.get(username="tom")
    assert tom.check_password(PASSWORD)
    assert (tom.is_staff, tom.is_superuser, tom.memberships.get().tenant) == (False, False, tenant)


def test_a_new_tenant_admin_may_enter_the_site_and_sees_their_tenant(browser, client, tenant):
    browser.post(reverse(MEMBER_ADD), member(tenant, new_username="bob", new_password=PASSWORD, role="admin"))
    client.logout()
    assert client.login(username="bob", password=PASSWORD)
    page = client.get(reverse("admin:tenants_tenant_changelist"))
    assert page.status_code == 200
    assert "acme" in page.content.decode()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "user"),
        ({"new_username": "tom"}, "new_password"),
        ({"new_username": "tom", "new_password": "123"}, "new_password"),
        ({"new_username": "tom", "new_password": "tom"}, "new_password"),
        ({"new_username": "stranger", "new_password": PASSWORD}, "new_username"),
        ({"new_username": "STRANGER", "new_password": PASSWORD}, "new_username"),
        ({"new_username": "a b\x00", "new_password": PASSWORD}, "new_username"),
        ({"new_username": "x" * 151, "new_password": PASSWORD}, "new_username"),
        ({"new_username": "tom", "new_password": PASSWORD, "role": "owner"}, "role"),
    ],
)
def test_a_bad_new_person_is_refused_and_nobody_is_made(browser, tenant, fields, field):
    make_user(make_tenant("other"), "stranger")
    before = User.objects.count()
    assert field in errors(browser.post(reverse(MEMBER_ADD), member(tenant, **fields)))
    assert User.objects.count() == before
    assert Membership.objects.filter(tenant=tenant).count() == 1


def test_a_person_cannot_be_both_old_and_new(browser, tenant):
    ada = User.objects.get(username="ada")
    assert "user" in errors(
        browser.post(reverse(MEMBER_ADD), member(tenant, user=ada.pk, new_username="tom", new_password=PASSWORD))
    )


def test_nobody_is_a_member_twice(browser, tenant):
    ada = User.objects.get(username="ada")
    assert browser.post(reverse(MEMBER_ADD), member(tenant, user=ada.pk)).status_code == 200
    assert Membership.objects.filter(tenant=tenant).count() == 1


def test_a_profile_of_another_tenant_is_refused_even_to_an_operator(admin_client, tenant):
    other = make_tenant("other")
    user = User.objects.create_user("tom")
    data = {**member(tenant), "user": user.pk, "profile": other.profiles.get().pk}
    assert "profile" in errors(admin_client.post(reverse(MEMBER_ADD), data))


def test_a_device_is_created_and_its_token_shown_once(browser, tenant):
    tom = make_user(tenant, "tom")
    answer = browser.post(reverse("admin:tenants_device_add"), {"tenant": tenant.pk, "user": tom.pk, "name": "tablet"})
    assert answer.status_code == 200
    token = re.search(r"moat_[\w-]+", answer.content.decode())[0]
    assert "no-store" in answer["Cache-Control"]
    assert identify(token).username == "tom"
    device = Device.objects.get()
    for url in (
        reverse("admin:tenants_device_changelist"),
        reverse("admin:tenants_device_change", args=[device.pk]),
        reverse("admin:tenants_device_history", args=[device.pk]),
        reverse("admin:index"),
    ):
        page = browser.get(url).content.decode()
        assert token not in page
        assert device.token_hash not in page


def test_only_a_member_gets_a_device(admin_client, tenant):
    stranger = make_user(make_tenant("other"))
    assert "user" in errors(
        admin_client.post(reverse("admin:tenants_device_add"), {"tenant": tenant.pk, "user": stranger.pk, "name": "x"})
    )
    assert not Device.objects.exists()


def test_renaming_a_device_leaves_alone_what_moved_meanwhile(browser, tenant, monkeypatch):
    device = issue_device(tenant, make_user(tenant), "old").device
    original = Device.save

    def save(self, *args, **kwargs):
        Device.objects.filter(pk=self.pk).update(last_cursor=77)
        original(self, *args, **kwargs)

    monkeypatch.setattr(Device, "save", save)
    assert browser.post(reverse("admin:tenants_device_change", args=[device.pk]), {"name": "new"}).status_code == 302
    device.refresh_from_db()
    assert (device.name, device.last_cursor) == ("new", 77)


def test_devices_are_revoked_by_an_action(browser, tenant):
    issued = [issue_device(tenant, make_user(tenant), "x") for _ in range(2)]
    data = {"action": "revoke", "_selected_action": [i.device.pk for i in issued]}
    page = browser.post(reverse("admin:tenants_device_changelist"), data, follow=True).content.decode()
    assert "2 devices revoked" in page
    assert [identify(i.token) for i in issued] == [None, None]
    assert (
        browser.post(reverse("admin:tenants_device_delete", args=[issued[0].device.pk]), {"post": "yes"}).status_code
        == 403
    )


def test_a_tenant_admin_renames_the_tenant_and_nothing_else(browser, tenant):
    Tenant.objects.filter(pk=tenant.pk).update(cursor=5)
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    assert browser.post(url, {"name": "Acme Ltd", "slug": "evil", "cursor": "0"}).status_code == 302
    tenant.refresh_from_db()
    assert (tenant.name, tenant.slug, tenant.cursor) == ("Acme Ltd", "acme", 5)
    assert browser.get(reverse("admin:tenants_tenant_add")).status_code == 403
    assert browser.get(reverse("admin:tenants_tenant_delete", args=[tenant.pk])).status_code == 403


def test_an_operator_makes_a_tenant_with_a_profile_and_a_chain(admin_client):
    assert (
        admin_client.post(reverse("admin:tenants_tenant_add"), {"slug": "newco", "name": "New Co"}).status_code == 302
    )
    tenant = Tenant.objects.get(slug="newco")
    assert tenant.profiles.get().full_access
    assert len(bytes(tenant.state_hash)) == 32
    assert "slug" in errors(admin_client.post(reverse("admin:tenants_tenant_add"), {"slug": "New Co", "name": "x"}))


def test_a_tenant_admin_edits_accounts_of_the_tenant_but_takes_no_rights(browser, tenant):
    tom = make_user(tenant, "tom")
    url = reverse("admin:auth_user_change", args=[tom.pk])
    answer = browser.post(
        url,
        {
            "username": "tom",
            "first_name": "Tom",
            "is_active": "on",
            "is_superuser": "on",
            "is_staff": "on",
            "groups": "",
        },
    )
    assert answer.status_code == 302
    tom.refresh_from_db()
    assert (tom.first_name, tom.is_superuser, tom.is_staff) == ("Tom", False, False)
    answer = browser.post(
        reverse("admin:auth_user_password_change", args=[tom.pk]),
        {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"},
    )
    tom.refresh_from_db()
    assert tom.check_password(PASSWORD)


@pytest.mark.parametrize("why", ["superuser", "other tenant", "group"])
def test_an_account_with_other_rights_cannot_be_taken_over(browser, tenant, why):
    user = make_user(tenant, "both", is_superuser=why == "superuser")
    if why == "other tenant":
        other = make_tenant("other")
        Membership.objects.create(tenant=other, user=user, profile=other.profiles.get())
    if why == "group":
        user.groups.add(Group.objects.create(name="support"))
    assert "both" in browser.get(reverse("admin:auth_user_changelist")).content.decode()
    assert (
        browser.post(
            reverse("admin:auth_user_change", args=[user.pk]), {"username": "mine", "is_active": "on"}
        ).status_code
        == 403
    )
    for method in (browser.get, browser.post):
        assert (
            method(
                reverse("admin:auth_user_password_change", args=[user.pk]),
                {"password1": PASSWORD, "password2": PASSWORD},
            ).status_code
            == 403
        )
    user.refresh_from_db()
    assert (user.username, user.check_password("secret")) == ("both", True)


def test_who_lost_the_admin_role_is_out_at_once(browser, tenant):
    Membership.objects.filter(user__username="ada").update(role="member")
    assert browser.get(reverse("admin:tenants_membership_changelist")).status_code == 403
    assert Device.objects.count() == 0


def test_an_admin_of_two_tenants_keeps_them_apart(browser, tenant):
    other = make_tenant("other")
    Membership.objects.create(
        tenant=other, user=User.objects.get(username="ada"), role="admin", profile=other.profiles.get()
    )
    page = browser.get(reverse("admin:tenants_membership_changelist")).content.decode()
    assert "acme" in page.lower()
    assert "other" in page.lower()
    tom = make_user(tenant, "tom")
    assert "user" in errors(
        browser.post(reverse("admin:tenants_device_add"), {"tenant": other.pk, "user": tom.pk, "name": "x"})
    )
