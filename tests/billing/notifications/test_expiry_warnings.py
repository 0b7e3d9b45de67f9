"""Warnings of credits about to expire."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Mail
from billing.notifications import emails, expiry_warnings
from tests.usage.spending import forget_newest_entry, spend

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


def test_a_warning_states_what_is_left_and_the_day_in_the_accounts_zone(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(zone="Asia/Tokyo")
    now = timezone.now().replace(hour=12)
    forget_newest_entry(account)
    ledger.grant(
        account_id=account.pk, credits=Decimal(7), kind="promotion", label="Summer", key="p",
        now=now - timedelta(days=60), expires_at=now.replace(hour=15) + timedelta(days=3),
    )  # fmt: skip
    daily = ledger.balance(account.pk, now).daily_remaining  # which are spent first
    spend(account, str(daily + Decimal("2.5")), now)
    expiry_warnings.queue_due(now, ahead=AHEAD)
    context = Mail.objects.get(template="credits_expiring").context
    assert context["day"] == (now + timedelta(days=4)).date().isoformat()
    assert context["credits"] == "4.5"


AHEAD = timedelta(days=7)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("kind", "ends", "lifetime", "is_warned"),
    [
        *[
            (kind, timedelta(days=3), timedelta(days=30), kind not in {"daily", "plan"})
            for kind in ("daily", "plan", "bonus", "promotion", "referral", "adjustment", "top_up")
        ],
        ("top_up", AHEAD, timedelta(days=30), True),
        ("top_up", AHEAD + SECOND, timedelta(days=30), False),
        ("top_up", SECOND, timedelta(days=30), True),
        ("top_up", timedelta(0), timedelta(days=30), False),
        # credits that last no longer than the time ahead are not warned of
        ("top_up", timedelta(days=3), AHEAD, False),
        ("top_up", timedelta(days=3), AHEAD + SECOND, True),
    ],
)
def test_which_credits_are_warned_of(
    account: Account, kind: str, ends: timedelta, lifetime: timedelta, is_warned: bool
) -> None:
    now = timezone.now()
    forget_newest_entry(account)
    ledger.grant(
        account_id=account.pk, credits=Decimal("7.5"), kind=kind, label="Summer", key="p",
        now=now + ends - lifetime, expires_at=now + ends,
    )  # fmt: skip
    assert expiry_warnings.queue_due(now, ahead=AHEAD) == is_warned
    assert expiry_warnings.queue_due(now, ahead=AHEAD) == 0
    if is_warned:
        queued = Mail.objects.get()
        day = (now + ends).date().isoformat()
        assert (queued.template, queued.account_id) == ("credits_expiring", account.pk)
        assert queued.context == {"credits": "7.5", "label": "Summer", "day": day}


def test_spent_credits_are_not_warned_of_and_partly_spent_ones_with_the_rest(account: Account) -> None:
    now = timezone.now()
    forget_newest_entry(account)
    for number in range(2):
        ledger.grant(
            account_id=account.pk, credits=Decimal(7), kind="top_up", label=f"Pack {number}",
            key=f"p{number}", priority=number, now=now - timedelta(days=60),
            expires_at=now + timedelta(days=3),
        )  # fmt: skip
    request = ledger.ChargeRequest(account_id=account.pk, credits=Decimal(8), key="use", service="gpt-4o")
    ledger.charge(request, now)
    assert expiry_warnings.queue_due(now, ahead=AHEAD) == 1
    assert Mail.objects.get().context["credits"] == "6"
