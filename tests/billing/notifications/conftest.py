"""Fixtures of the tests of notifications: charges and an enabled alert."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Mail
from billing.notifications import alert_addresses, low_credit_alerts


@pytest.fixture
def use(account: Account) -> Callable[[str], None]:
    def spend(credits: str) -> None:
        key = f"use-{timezone.now().isoformat()}"
        request = ledger.ChargeRequest(
            account_id=account.pk, credits=Decimal(credits), key=key, service="gpt-4o"
        )
        ledger.charge(request, timezone.now())

    return spend


@pytest.fixture
def alert(account: Account) -> None:
    low_credit_alerts.save_settings(
        account_id=account.pk,
        enabled=True,
        below=Decimal(50),
        by_email=True,
        extra_addresses=["ops@example.org"],
        now=timezone.now(),
    )
    alert_addresses.confirm(account.pk, "ops@example.org")
    Mail.objects.all().delete()  # the one that asked for the confirmation
