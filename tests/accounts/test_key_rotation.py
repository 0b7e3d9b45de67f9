"""`manage.py rotate_keys`: afterwards an old key can be removed from the settings."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import encryption, provider_keys
from accounts.models import Account, ProviderKey, User, WebhookEndpoint
from accounts.webhook_endpoints import endpoints

pytestmark = pytest.mark.django_db
TOTP_SECRET = "JBSWY3DPEHPK3PXP"


def rotate() -> str:
    output = StringIO()
    call_command("rotate_keys", stdout=output)
    return output.getvalue()


def secrets_of(user: User, account: Account) -> list[Any]:
    """Every kind of stored secret, decrypted."""
    codes = Authenticator.objects.get(user=user, type="recovery_codes")
    factor = Authenticator.objects.get(user=user, type="totp")
    endpoint = WebhookEndpoint.objects.get()
    return [
        provider_keys.secret_of(ProviderKey.objects.get(account=account)),
        endpoints.secrets_of(endpoint, timezone.now()),
        get_adapter().decrypt(factor.data["secret"]),
        RecoveryCodes(codes).get_unused_codes(),
    ]


def test_every_kind_of_secret_is_read_with_the_newest_key_alone(
    staff: User, account_of: Callable[[User], Account], settings: Any
) -> None:
    settings.SECRET_KEY, settings.ENCRYPTION_KEYS = "old", []
    account = account_of(staff)
    now = timezone.now()
    provider_keys.store(account=account, provider="openai", secret="sk-provider", now=now)
    TOTP.activate(staff, TOTP_SECRET)
    RecoveryCodes.activate(staff)
    endpoint = endpoints.create(
        account=account, url="http://127.0.0.1/", events=["balance.low"], description="", now=now
    ).endpoint
    endpoints.rotate_secret(endpoint, now)
    before = secrets_of(staff, account)
    assert before[0] == "sk-provider" and before[2] == TOTP_SECRET and len(before[1]) == 2 and before[3]

    settings.ENCRYPTION_KEYS = ["new"]
    assert secrets_of(staff, account) == before  # nobody is locked out meanwhile
    provider_keys.store(account=account, provider="mistral", secret="sk-new", now=now)
    output = rotate()
    assert "provider keys: 1 encrypted again" in output
    assert "\nwebhook secrets: 1 encrypted again" in output
    assert "former webhook secrets: 1 encrypted again" in output
    assert "second factors: 2 encrypted again" in output
    settings.SECRET_KEY = "another"
    ProviderKey.objects.filter(provider="mistral").delete()
    assert secrets_of(staff, account) == before
    assert "provider keys: 0 encrypted again" in rotate()


def test_codes_of_an_earlier_form_are_encrypted_again(staff: User, settings: Any) -> None:
    settings.SECRET_KEY = "old"
    code = encryption.encrypt("12345678").decode()
    row = Authenticator.objects.create(user=staff, type="recovery_codes", data={"migrated_codes": [code]})
    settings.ENCRYPTION_KEYS = ["new"]
    rotate()
    settings.SECRET_KEY = "another"
    row.refresh_from_db()
    assert RecoveryCodes(row).get_unused_codes() == ["12345678"]


def test_what_no_key_reads_is_named_and_the_rest_is_done(
    staff: User, bob: User, account_of: Callable[[User], Account], settings: Any
) -> None:
    now = timezone.now()
    settings.SECRET_KEY = "lost"
    lost = provider_keys.store(account=account_of(staff), provider="openai", secret="sk-1", now=now)
    settings.SECRET_KEY = "old"
    kept = provider_keys.store(account=account_of(bob), provider="openai", secret="sk-2", now=now)
    settings.ENCRYPTION_KEYS = ["new"]
    with pytest.raises(CommandError, match=f"provider keys: {lost.pk}") as error:
        rotate()
    assert str(kept.pk) not in str(error.value)
    settings.SECRET_KEY = "another"
    kept.refresh_from_db()
    assert provider_keys.secret_of(kept) == "sk-2"
