"""The settings page: name and language of the user, name and time zone of the account."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Account


def test_name_and_language_are_saved(alice, signed_in):
    response = signed_in(alice).post(
        reverse("settings"),
        {"first_name": "Alice", "last_name": "Liddell", "language": "en", "theme": "dark"},
    )
    assert response.status_code == 302
    alice.refresh_from_db()
    assert alice.shown_name == "Alice Liddell"


@pytest.mark.parametrize(
    ("theme", "root"),
    [
        ("dark", '<html lang="en" data-theme="dark">'),
        ("light", '<html lang="en" data-theme="light">'),
        ("system", '<html lang="en">'),
    ],
)
def test_pages_have_the_appearance_that_the_user_has_chosen(alice, signed_in, theme, root):
    signed_in(alice).post(reverse("settings"), {"language": "en", "theme": theme})
    assert root in signed_in(alice).get(reverse("settings")).content.decode()
    assert '<html lang="en">' in Client().get("/faq/").content.decode()


def test_the_zones_are_suggested_while_typing(alice, signed_in):
    page = signed_in(alice).get(reverse("settings")).content.decode()
    assert 'list="zones"' in page and '<datalist id="zones">' in page
    assert '<option value="Asia/Kathmandu">' in page


def test_a_language_that_is_not_offered_is_refused(alice, signed_in):
    page = signed_in(alice).post(reverse("settings"), {"first_name": "A", "language": "xx"})
    assert page.status_code == 422
    assert "Choose a language from the list" in page.content.decode()


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Pacific/Kiritimati", "UTC"])
def test_the_owner_can_change_the_accounting_zone(alice, account_of, signed_in, zone):
    signed_in(alice).post(reverse("account_settings"), {"name": "Mine", "zone": zone})
    assert account_of(alice).zone == zone
    assert account_of(alice).name == "Mine"


def test_a_zone_of_an_earlier_release_stays_until_another_is_chosen(alice, account_of, signed_in):
    Account.objects.filter(person=alice).update(zone="US/Pacific")
    browser = signed_in(alice)
    assert 'value="US/Pacific"' in browser.get(reverse("settings")).content.decode()
    form = {"name": "Mine", "zone": "US/Pacific"}
    assert browser.post(reverse("account_settings"), form).status_code == 302
    assert browser.post(reverse("account_settings"), form | {"zone": "UTC"}).status_code == 302
    assert browser.post(reverse("account_settings"), form).status_code == 422


@pytest.mark.parametrize("zone", ["Mars/Phobos", "", "../../etc/passwd", "Etc/GMT+5"])
def test_an_unknown_zone_is_refused(alice, account_of, signed_in, zone):
    page = signed_in(alice).post(reverse("account_settings"), {"name": "Mine", "zone": zone})
    assert page.status_code == 422
    assert account_of(alice).zone == "UTC"


@pytest.mark.fault("Z4")
def test_a_plain_member_cannot_change_the_account(team, bob, signed_in):
    browser = signed_in(bob)
    browser.post(reverse("switch_account", args=[team.public_id]))
    response = browser.post(reverse("account_settings"), {"name": "Mine now", "zone": "UTC"})
    assert response.status_code == 403
    team.refresh_from_db()
    assert team.name == "Wonderland"
    assert browser.get(reverse("settings")).status_code == 200


@pytest.mark.fault("I3")
def test_fields_that_are_not_in_the_form_change_nothing(alice, account_of, signed_in):
    browser = signed_in(alice)
    browser.post(
        reverse("settings"),
        {
            "first_name": "A",
            "language": "en",
            "is_staff": "on",
            "email": "x@example.org",
            "sign_in_epoch": "9",
        },
    )
    browser.post(
        reverse("account_settings"), {"name": "Mine", "zone": "UTC", "kind": "team", "external_id": "theirs"}
    )
    alice.refresh_from_db()
    assert (alice.is_staff, alice.email, alice.sign_in_epoch) == (False, "alice@example.org", 0)
    assert (account_of(alice).kind, account_of(alice).external_id) == ("personal", None)
