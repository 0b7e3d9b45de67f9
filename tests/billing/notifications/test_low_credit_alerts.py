"""Low-credit alerts: once for each crossing, by e-mail, through a mail server that may be down."""

import smtplib
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, tasks
from billing.models import Mail, Notice, Wallet
from billing.notifications import emails, expiry_warnings, low_credit_alerts

pytestmark = pytest.mark.django_db


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


@pytest.mark.requirement("APIN-07", "FLOW-08")
def test_one_mail_for_each_crossing_and_again_only_after_it_was_above(
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


def test_an_alert_that_is_switched_off_says_nothing(
    alert: None, use: Callable[[str], None], account: Account
) -> None:
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


@pytest.mark.fault("C8")
def test_a_mail_server_that_is_down_delays_each_mail_and_sends_it_once(
    alert: None, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use("60")

    def down(self: EmailMessage, **_: Any) -> int:
        raise smtplib.SMTPServerDisconnected("gone")

    with monkeypatch.context() as patch:
        patch.setattr(EmailMessage, "send", down)
        tasks.deliver_notices()
    assert Mail.objects.get().trouble.startswith("SMTPServerDisconnected")
    assert not Notice.objects.filter(handled_at=None).exists()

    assert emails.send_due(timezone.now()) == 0  # it waits a little
    assert emails.send_due(timezone.now() + timedelta(minutes=2)) == 1
    assert emails.send_due(timezone.now() + timedelta(hours=2)) == 0
    assert len(mail.outbox) == 1


def test_credits_that_end_soon_are_warned_of_once(account: Account) -> None:
    now = timezone.now()
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


def test_the_page_saves_and_names_what_is_wrong(alice: User, signed_in: Callable[[User], Client]) -> None:
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


def test_every_mail_can_be_written(account: Account) -> None:
    context = {
        "label": "500 credits", "credits": "500", "amount": 500, "currency": "usd", "number": "2026-000001",
        "trouble": "", "purchase": "pur_x", "url": "", "plan": "Starter", "decision": "No.", "balance": "5",
        "below": "10", "pack": "small", "last4": "4242", "paused": True, "day": "1 May 2027",
    }  # fmt: skip
    from pathlib import Path

    names = [path.stem for path in Path("templates/billing/emails").glob("*.txt")]
    assert len(names) >= 12
    for name in names:
        emails.queue(account_id=account.pk, template=name, key=name, context=context, now=timezone.now())
    assert emails.send_due(timezone.now()) == len(names)
    for sent in mail.outbox:
        assert sent.subject.startswith("Refly: ") and "{" not in sent.body and "&#" not in sent.body
