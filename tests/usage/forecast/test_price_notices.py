"""E-mails about announced prices: to the accounts whose calls would cost more or less, once for each card."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Mail
from billing.notifications import emails
from tests.usage.forecast.test_pace import DAY, announce
from tests.usage.spending import give
from usage import charging
from usage.forecast import price_notices
from usage.models import PriceNotice


def test_accounts_whose_calls_change_their_price_are_told_once(
    clock: Any, alice: User, bob: User, charlie: User, account_of: Callable[[User], Account]
) -> None:
    now = timezone.now()
    for user, service in ((alice, "claude-sonnet-4"), (bob, "kimi-k2"), (charlie, "gpt-4o")):
        account = account_of(user)
        give(account, "500", now)
        use = charging.Use(account_id=account.pk, service=service, usage={"tokens": 5000})
        charging.charge(use, key=f"u-{service}", fingerprint=b"", now=now)
    assert price_notices.queue_due(now) == 0
    announce(now, 10 * DAY, claude_sonnet_4="2", kimi_k2="0.5")
    Mail.objects.all().delete()
    while price_notices.queue_due(now, limit=1):
        pass
    assert PriceNotice.objects.get().done
    assert price_notices.queue_due(now, limit=1) == 0
    emails.send_due(now)
    texts = {message.to[0]: " ".join(str(message.body).split()) for message in mail.outbox}
    assert texts.keys() == {alice.email, bob.email}
    assert (
        "From 30 November 2026 on, calls like yours of the last 30 days will cost 100.0% more"
        in texts[alice.email]
    )
    assert "will cost 50.0% fewer credits" in texts[bob.email]


def test_a_closed_account_is_not_told(clock: Any, alice: User, account_of: Callable[[User], Account]) -> None:
    now, account = timezone.now(), account_of(alice)
    give(account, "500", now)
    use = charging.Use(account_id=account.pk, service="kimi-k2", usage={"tokens": 5000})
    charging.charge(use, key="use", fingerprint=b"", now=now)
    announce(now, 10 * DAY, kimi_k2="2")
    Mail.objects.all().delete()
    Account.objects.filter(pk=account.pk).update(erased_at=now)
    assert price_notices.queue_due(now) == 1
    assert not Mail.objects.exists()


@pytest.mark.django_db
def test_cards_in_force_are_not_announced(catalogue: None) -> None:
    assert price_notices.queue_due(timezone.now()) == 0
    assert not PriceNotice.objects.exists()
