"""Low-credit alerts: one e-mail each time the balance falls below the threshold."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, tasks
from billing.models import Wallet
from billing.notifications import low_credit_alerts

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("APIN-07", "FLOW-08")
def test_each_fall_below_the_threshold_sends_one_e_mail(
    alert: None, use: Callable[[str], None], account: Account
) -> None:
    for credits in ("40", "15", "5", "5"):  # 100 -> 60 -> 45 -> 40 -> 35
        use(credits)
    tasks.deliver_notices()

    assert len(mail.outbox) == 1
    assert sorted(mail.outbox[0].to) == ["alice@example.org", "ops@example.org"]
    assert "35 credits left" in mail.outbox[0].subject
    ledger.grant(
        account_id=account.pk,
        credits=Decimal(100),
        kind="bonus",
        label="x",
        key="x",
        now=timezone.now(),
    )
    use("100")
    tasks.deliver_notices()
    tasks.deliver_notices()
    assert len(mail.outbox) == 2


def test_a_disabled_alert_sends_nothing(alert: None, use: Callable[[str], None], account: Account) -> None:
    low_credit_alerts.save_settings(
        account_id=account.pk,
        enabled=False,
        below=Decimal(50),
        by_email=True,
        extra_addresses=[],
        now=timezone.now(),
    )
    use("60")
    tasks.deliver_notices()

    assert mail.outbox == []
    assert Wallet.objects.get(pk=account.pk).warn_below is None


def test_the_page_saves_the_settings_and_shows_errors(
    alice: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    form = {
        "enabled": "on",
        "below": "12.5",
        "by_email": "on",
        "extra_addresses": "a@example.org, b@example.org",
    }

    assert browser.post("/billing/alerts/", form).status_code == 302
    assert 'value="12.5"' in browser.get("/billing/alerts/").content.decode()
    wrong = browser.post("/billing/alerts/", form | {"extra_addresses": "nobody"})
    assert (wrong.status_code, "“nobody” is not an e-mail address" in wrong.content.decode()) == (422, True)
    assert browser.post("/billing/alerts/", form | {"below": "-1"}).status_code == 422
