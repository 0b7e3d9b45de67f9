"""What is left of a person after the erasure: nothing that names the person, nothing that lets anyone in."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.utils import timezone

from accounts import api_keys, provider_keys
from accounts.models import Account, ApiKey, Invitation, Membership, TeamRequest, User
from accounts.webhook_endpoints import endpoints
from billing import erasure
from billing.models import AlertSettings, AutoTopUp, BillingProfile, Mail

pytestmark = pytest.mark.django_db
APPS = ("accounts", "billing", "usage", "account", "mfa", "usersessions")


def rows_that_name(text: str) -> list[str]:
    """The models of which a row contains the text."""
    models = [model for app in APPS for model in apps.get_app_config(app).get_models()]
    texts = {one.__name__: json.dumps(list(one._default_manager.values()), default=repr) for one in models}
    return sorted(name for name, rows in texts.items() if text in rows.lower())


@pytest.mark.fault("O6")
def test_no_row_names_the_person_and_no_key_or_message_remains(
    stripe_api: Any, alice: User, bob: User, account: Account, team: Account
) -> None:
    now, email, name = timezone.now(), alice.email, "Zaphod"
    User.objects.filter(pk=alice.pk).update(first_name=name, last_name=name)
    Account.objects.filter(pk=account.pk).update(name=name, external_id=name, on_wall=True)
    Membership.objects.filter(account=team, user=bob).update(role=Membership.Role.OWNER)
    for of in (account, team):
        issued = {"kind": "account", "account": of, "created_by": alice, "scopes": ["read"], "now": now}
        api_keys.issue(name=name if of == account else "of the team", **issued)
    bobs = api_keys.issue(
        kind="account", account=team, created_by=bob, scopes=["read"], now=now, name="bob's"
    ).key
    account.projects.create(name=name)
    provider_keys.store(account=account, provider="openai", secret=f"sk-{name}", now=now)
    endpoints.create(account=account, url=f"https://{name}.example/", events=[], description=name, now=now)
    Invitation.objects.create(account=team, email=email, created_at=now, expires_at=now + timedelta(days=1))
    TeamRequest.objects.create(user=alice, kind="family", name=name, created_at=now)
    EmailAddress.objects.get_or_create(user=alice, email=email)
    second = {"email": "zaphod@second.example"}
    EmailAddress.objects.create(user=alice, verified=True, **second)
    Invitation.objects.create(account=team, created_at=now, expires_at=now + timedelta(days=1), **second)
    Authenticator.objects.create(user=alice, type="totp", data={"secret": name})
    AlertSettings.objects.filter(account=account).update(
        extra_addresses=["zaphod@example.net"], confirmed_addresses=["zaphod@example.net"]
    )
    details = {"invoice_name": name, "invoice_address": name, "tax_id": name}
    BillingProfile.objects.create(account=account, **details)
    AutoTopUp.objects.create(account=account, enabled=True)
    for key, sent_at in (("sent", now), ("waiting", None)):
        Mail.objects.create(
            account=account, key=key, template="receipt", recipients=[email], context={"name": name},
            created_at=now, sent_at=sent_at,
        )  # fmt: skip

    erasure.erase(alice, now, shown=Decimal(10**9))

    assert rows_that_name("zaphod") == rows_that_name(email) == []
    assert list(ApiKey.objects.filter(revoked_at=None)) == [bobs]
    assert list(Membership.objects.filter(account=team).values_list("user", flat=True)) == [bob.pk]
    assert not Mail.objects.filter(sent_at=None).exists()
    alice.refresh_from_db()
    assert not alice.is_active and not alice.has_usable_password()
    account.refresh_from_db()
    assert (account.on_wall, account.erased_at) == (False, now)
    assert not AlertSettings.objects.get(account=account).enabled
    assert not AutoTopUp.objects.get().enabled
