"""E-mails are queued, retried and sent once."""

import smtplib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.utils import timezone

from accounts.models import Account
from billing import tasks
from billing.models import Mail, Notice
from billing.notifications import emails

pytestmark = pytest.mark.django_db


@pytest.mark.fault("C8")
def test_e_mails_are_sent_once_after_the_mail_server_was_down(
    alert: None, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use("60")

    def down(self: EmailMessage, **_: Any) -> int:
        raise smtplib.SMTPServerDisconnected("gone")

    with monkeypatch.context() as patch:
        patch.setattr(EmailMessage, "send", down)
        tasks.deliver_notices()
    assert Mail.objects.get().error.startswith("SMTPServerDisconnected")
    assert not Notice.objects.filter(handled_at=None).exists()

    assert emails.send_due(timezone.now()) == 0  # the next attempt is a minute later
    assert emails.send_due(timezone.now() + timedelta(minutes=2)) == 1
    assert emails.send_due(timezone.now() + timedelta(hours=2)) == 0
    assert len(mail.outbox) == 1


def test_every_template_renders(account: Account) -> None:
    context = {
        "label": "500 credits", "credits": "500", "amount": 500, "currency": "usd", "number": "2026-000001",
        "error": "", "purchase": "pur_x", "url": "", "plan": "Starter", "decision": "No.", "balance": "5",
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
