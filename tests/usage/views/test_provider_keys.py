"""An account's own provider keys: encrypted, and never shown again."""

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.urls import reverse
from django.utils import timezone

from accounts import encryption, provider_keys
from accounts.models import ProviderKey

SECRET = "sk-or-v1-0123456789abcdef"


@pytest.fixture(autouse=True)
def flowly(settings):
    """The catalogue of a product that takes keys of OpenRouter, OpenAI and others."""
    settings.CATALOGUE = "flowly"


def add(browser, **form):
    return browser.post(reverse("provider_keys"), {"provider": "openrouter", "secret": SECRET} | form)


@pytest.mark.requirement("FLOW-02")
def test_a_key_is_stored_encrypted_and_can_be_used(alice, account_of, signed_in):
    assert add(signed_in(alice)).url == reverse("provider_keys")
    key = ProviderKey.objects.get(account=account_of(alice))
    assert SECRET.encode() not in bytes(key.encrypted)
    assert provider_keys.secret_of(key) == SECRET


@pytest.mark.requirement("FLOW-02")
@pytest.mark.fault("W9")
def test_a_key_is_never_shown_again(alice, signed_in):
    browser = signed_in(alice)
    add(browser)
    page = browser.get(reverse("provider_keys")).content.decode()
    assert SECRET not in page
    assert "…cdef" in page
    refused = add(browser, provider="unknown")
    assert refused.status_code == 422
    assert SECRET not in refused.content.decode()


def test_a_new_key_replaces_the_old_one(alice, account_of, signed_in):
    browser = signed_in(alice)
    add(browser)
    ProviderKey.objects.update(created_at=timezone.now() - timedelta(days=30))
    add(browser, secret=" sk-or-v1-another-one ")
    key = ProviderKey.objects.get(account=account_of(alice))
    assert (provider_keys.secret_of(key), key.last_four) == ("sk-or-v1-another-one", "-one")
    assert timezone.now() - key.created_at < timedelta(minutes=1)


def test_keys_are_listed_by_provider(alice, signed_in):
    browser = signed_in(alice)
    for provider in ("openrouter", "openai"):
        add(browser, provider=provider)
    page = browser.get(reverse("provider_keys")).content.decode()
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert table.index("OpenAI") < table.index("OpenRouter")


def test_a_key_is_deleted_after_confirmation(alice, signed_in):
    browser = signed_in(alice)
    add(browser)
    url = reverse("forget_provider_key", args=[ProviderKey.objects.get().public_id])
    assert browser.get(url).status_code == 200
    assert ProviderKey.objects.exists()
    browser.post(url)
    assert not ProviderKey.objects.exists()


@pytest.mark.parametrize(
    "secret", ["short", "with a space in it", "mit-umlaut-äöü-und-mehr", "line\nbreak-in-it-here"]
)
def test_a_malformed_key_is_refused(alice, signed_in, secret):
    assert add(signed_in(alice), secret=secret).status_code == 422
    assert not ProviderKey.objects.exists()


@pytest.mark.fault("Z4")
def test_a_member_without_the_buyer_role_cannot_change_keys(team, alice, bob, signed_in):
    key = provider_keys.store(account=team, provider="openai", secret=SECRET, now=timezone.now())
    member = signed_in(bob)
    member.post(reverse("switch_account", args=[team.public_id]))
    assert add(member).status_code == 403
    assert member.post(reverse("forget_provider_key", args=[key.public_id])).status_code == 403
    assert ProviderKey.objects.get() == key


@pytest.mark.fault("Z1")
def test_keys_of_other_accounts_are_neither_shown_nor_deleted(alice, charlie, account_of, signed_in):
    key = provider_keys.store(account=account_of(alice), provider="openai", secret=SECRET, now=timezone.now())
    stranger = signed_in(charlie)
    assert "cdef" not in stranger.get(reverse("provider_keys")).content.decode()
    assert stranger.post(reverse("forget_provider_key", args=[key.public_id])).status_code == 404
    assert ProviderKey.objects.get() == key


def test_a_product_without_providers_has_no_page(settings, request, signed_in):
    settings.CATALOGUE = "refly"
    alice = request.getfixturevalue("alice")
    assert signed_in(alice).get(reverse("provider_keys")).status_code == 404


def test_keys_stored_before_a_rotation_can_be_decrypted(settings):
    stored = encryption.encrypt(SECRET)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the-new-one"
    assert encryption.decrypt(stored) == SECRET
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(encryption.Unreadable):
        encryption.decrypt(stored)


def test_separate_encryption_keys_can_be_configured(settings):
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    stored = encryption.encrypt(SECRET)
    settings.SECRET_KEY = "another"
    assert encryption.decrypt(stored) == SECRET
