"""Warnings of credits about to expire."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.notifications import emails, expiry_warnings
from tests.usage.spending import forget_newest_entry

pytestmark = pytest.mark.django_db


def test_credits_about_to_expire_are_warned_of_once(account: Account) -> None:
    now = timezone.now()
    forget_newest_entry(account)
    ledger.grant(
        account_id=account.pk,
        credits=Decimal(7),
        kind="promotion",
        label="Summer",
        key="p",
        now=now - timedelta(days=60),
        expires_at=now + timedelta(days=3),
    )
    for _ in range(2):
        expiry_warnings.queue_due(now, ahead=timedelta(days=7))
    emails.send_due(now)

    [sent] = mail.outbox
    assert "7 credits expire on" in sent.subject
