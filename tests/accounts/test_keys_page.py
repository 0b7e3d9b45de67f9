"""The page of API keys: a new key is shown once, keys are listed with their scopes and can be revoked."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey

NEW = {"name": "Production server", "scopes": ["read", "spend"]}


def create(browser, **form):
    return browser.post(reverse("api_keys"), NEW | form)


def secret_on(page):
    return re.search(r"rk_account_\w+", page.content.decode())[0]


@pytest.fixture
def in_team(team, signed_in):
    """A client of a signed-in user who has selected the team's account."""

    def browser(user):
        client = signed_in(user)
        client.post(reverse("switch_account", args=[team.public_id]))
        return client

    return browser


def test_the_form_of_a_new_key_suggests_to_read_and_to_spend_and_never_to_manage(alice, signed_in):
    form = signed_in(alice).get(reverse("api_keys")).context["form"]
    assert [form[name].value() for name in ("scopes", "days")] == [["read", "spend"], None]


def test_a_new_key_is_shown_and_works(alice, account_of, signed_in):
    page = create(signed_in(alice))
    principal = api_keys.verify(secret_on(page), timezone.now())
    assert principal.account_id == account_of(alice).pk
    assert principal.scopes == {"read", "spend"}


@pytest.mark.fault("W9")
def test_a_key_is_shown_once_and_never_cached(alice, signed_in):
    browser = signed_in(alice)
    page = create(browser)
    secret = secret_on(page)
    assert "no-store" in page.headers["Cache-Control"]
    listed = browser.get(reverse("api_keys")).content.decode()
    assert secret not in listed
    assert secret[:16] in listed
    assert secret not in str(dict(browser.session))


def test_the_list_shows_the_scopes_and_the_creator_of_a_key(alice, signed_in):
    browser = signed_in(alice)
    create(browser)
    listed = browser.get(reverse("api_keys")).content.decode()
    assert "Production server" in listed
    assert "Read, Spend" in listed
    assert "Never" in listed
    assert alice.shown_name in listed


def test_a_key_without_a_name_or_without_scopes_is_refused_with_a_message(alice, signed_in):
    page = create(signed_in(alice), name="", scopes=[])
    assert page.status_code == 422
    assert "Choose at least one" in page.content.decode()
    assert not ApiKey.objects.exists()


def test_reloading_the_page_with_the_secret_creates_no_second_key(alice, signed_in):
    browser = signed_in(alice)
    create(browser, once="0f" * 16)
    assert create(browser, once="0f" * 16).url == reverse("api_keys")
    assert ApiKey.objects.count() == 1
    assert create(browser, once="1e" * 16).status_code == 200


def test_a_key_above_the_limit_is_refused_with_a_solution(alice, signed_in, monkeypatch):
    monkeypatch.setattr(api_keys, "MOST_KEYS", 1)
    browser = signed_in(alice)
    create(browser)
    page = create(browser)
    assert page.status_code == 422
    assert "Revoke a key first" in page.content.decode()


@pytest.mark.fault("Z5")
def test_a_key_revoked_on_the_page_is_refused_immediately(alice, signed_in):
    browser = signed_in(alice)
    secret = secret_on(create(browser))
    url = reverse("revoke_key", args=[ApiKey.objects.get().public_id])
    assert "Revoke" in browser.get(url).content.decode()
    assert api_keys.verify(secret, timezone.now())
    assert browser.post(url).url == reverse("api_keys")
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(secret, timezone.now())
    assert "Revoked" in browser.get(reverse("api_keys")).content.decode()


@pytest.mark.fault("Z4")
def test_a_plain_member_cannot_create_or_revoke_keys(alice, bob, in_team):
    create(in_team(alice))
    member = in_team(bob)
    assert member.get(reverse("api_keys")).status_code == 200
    assert create(member).status_code == 403
    url = reverse("revoke_key", args=[ApiKey.objects.get().public_id])
    assert member.get(url).status_code == 403
    assert member.post(url).status_code == 403
    assert ApiKey.objects.get().revoked_at is None


@pytest.mark.fault("Z1")
def test_keys_of_other_accounts_are_neither_shown_nor_revoked(alice, charlie, signed_in):
    create(signed_in(alice), name="Of alice")
    other_user = signed_in(charlie)
    assert "Of alice" not in other_user.get(reverse("api_keys")).content.decode()
    url = reverse("revoke_key", args=[ApiKey.objects.get().public_id])
    assert other_user.post(url).status_code == 404
    assert ApiKey.objects.get().revoked_at is None


@pytest.mark.fault("W7")
def test_script_in_the_name_of_a_key_is_escaped(alice, signed_in):
    browser = signed_in(alice)
    page = create(browser, name="<script>alert(1)</script>").content.decode()
    assert "<script>alert" not in page
    assert "<script>alert" not in browser.get(reverse("api_keys")).content.decode()


@pytest.mark.fault("I2")
@pytest.mark.parametrize("name", ["a\x00b", "x" * 101])
def test_a_name_that_cannot_be_stored_is_refused(alice, signed_in, name):
    assert create(signed_in(alice), name=name).status_code == 422


@pytest.mark.fault("W9")
def test_no_log_line_contains_a_key(alice, signed_in, caplog, capfd):
    caplog.set_level("DEBUG")
    browser = signed_in(alice)
    secret = secret_on(create(browser))
    for header in (f"Bearer {secret}", f"Bearer {secret}x", f"Basic {secret}"):
        browser.get("/api/v1/balance", headers={"authorization": header})
    browser.post(reverse("revoke_key", args=[ApiKey.objects.get().public_id]))
    out, err = capfd.readouterr()
    assert secret[17:] not in caplog.text + out + err
