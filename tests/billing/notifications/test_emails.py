"""E-mails are queued, retried and sent once."""

import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage
from django.utils import timezone

from accounts.models import Account
from billing import tasks
from billing.models import Mail, Notice
from billing.notifications import emails
from config import broker

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
        tasks.queue_notices()
        tasks.send_emails()
    assert Mail.objects.get().error.startswith("SMTPServerDisconnected")
    assert not Notice.objects.filter(handled_at=None).exists()

    assert emails.send_due(timezone.now()) == 0  # the next attempt is a minute later
    assert emails.send_due(timezone.now() + timedelta(minutes=2)) == 1
    assert emails.send_due(timezone.now() + timedelta(hours=2)) == 0
    assert len(mail.outbox) == 1


def queued(account: Account, key: str) -> None:
    context = {"balance": "5", "below": "10"}
    emails.queue(account_id=account.pk, template="credits_low", key=key, context=context, now=timezone.now())


def test_an_e_mail_that_fails_is_tried_again_at_growing_intervals(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(account, "k")
    at, tick = timezone.now(), timedelta(microseconds=1)
    with monkeypatch.context() as patch:
        patch.setattr(EmailMessage, "send", lambda *_: 1 / 0)
        for minutes in (1, 2, 5, 15, 60, 60):
            assert emails.send_due(at) == 0
            wait = Mail.objects.get().claimed_until - at
            assert wait == timedelta(minutes=minutes)
            assert emails.send_due(at + wait - tick) == 0
            at += wait
    assert Mail.objects.get().attempts == 6
    assert emails.send_due(at) == 1
    sent = Mail.objects.get()
    assert (sent.error, sent.claimed_until, sent.sent_at, sent.attempts) == ("", None, at, 7)


def test_e_mails_are_sent_oldest_first_and_up_to_a_number(account: Account) -> None:
    for key in "bac":
        queued(account, key)
    now = timezone.now()
    assert emails.send_due(now, limit=2) == 2
    assert list(Mail.objects.filter(sent_at=None).values_list("key", flat=True)) == ["c"]
    assert [emails.send_due(now), emails.send_due(now)] == [1, 0]


def test_every_template_renders(account: Account) -> None:
    context = {
        "label": "500 credits", "credits": "500", "amount": 500, "currency": "usd", "number": "2026-000001",
        "error": "", "purchase": "pur_x", "url": "", "plan": "Starter", "decision": "No.", "balance": "5",
        "below": "10", "pack": "small", "last4": "4242", "paused": True, "day": "1 May 2027", "rows": 5,
        "days": 7,
    }  # fmt: skip
    from pathlib import Path

    names = [path.stem for path in Path("templates/billing/emails").glob("*.txt")]
    assert len(names) >= 12
    for name in names:
        emails.queue(account_id=account.pk, template=name, key=name, context=context, now=timezone.now())
    assert emails.send_due(timezone.now()) == len(names)
    for sent in mail.outbox:
        assert sent.subject.startswith("Refly: ") and "{" not in sent.body and "&#" not in sent.body
    assert any("support@refly.example" in sent.body for sent in mail.outbox)


@pytest.mark.parametrize(
    ("template", "number", "expected"),
    [
        ("credits_low", "1", ["1 credit left\n", "You have 1 credit left."]),
        ("credits_low", "1.5", ["1.5 credits left\n", "You have 1.5 credits left."]),
        ("credits_expiring", "1", ["1 credit expires on", "1 unspent credit (Small) expires on"]),
        ("credits_expiring", "2", ["2 credits expire on", "2 unspent credits (Small) expire on"]),
        ("receipt", "1", ["We added 1 credit to your balance."]),
        ("receipt", "1000", ["We added 1,000 credits to your balance."]),
        ("refunded", "1", ["removed 1 unspent credit from your balance."]),
        ("refunded", "3", ["removed 3 unspent credits from your balance."]),
        ("report_answered", "1", ["We returned 1 credit to your balance."]),
        ("report_answered", "2.5", ["We returned 2.5 credits to your balance."]),
    ],
)
def test_one_credit_is_singular(account: Account, template: str, number: str, expected: list[str]) -> None:
    names = ("credits", "balance", "returned")
    context = dict.fromkeys(names, number) | {"label": "Small", "below": "10", "day": "1 May", "amount": 100}
    emails.queue(
        account_id=account.pk,
        template=template,
        key="one",
        context=context | {"currency": "usd"},
        now=timezone.now(),
    )
    emails.send_due(timezone.now())
    text = mail.outbox[0].subject + "\n" + str(mail.outbox[0].body)
    assert [part for part in expected if part not in text] == [], text


@pytest.fixture
def silent_server(settings: Any) -> Iterator[list[socket.socket]]:
    """A mail server that accepts connections and says nothing; yields what it has accepted."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    accepted.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.getsockname()
        settings.EMAIL_TIMEOUT = 0.2
        yield accepted
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    for one in accepted:
        one.close()


@pytest.mark.fault("O7", "C8")
def test_a_mail_server_that_says_nothing_ends_the_run_with_the_first_e_mail(
    account: Account, silent_server: list[socket.socket]
) -> None:
    """It took 10 seconds for each of 200 e-mails, in the worker of everything else."""
    for key in "abc":
        queued(account, key)
    now = timezone.now()
    assert emails.send_due(now) == 0
    assert len(silent_server) == 1
    assert list(Mail.objects.order_by("pk").values_list("attempts", flat=True)) == [1, 0, 0]
    assert emails.send_due(now) == 0  # the next run tries the next one
    assert list(Mail.objects.order_by("pk").values_list("attempts", flat=True)) == [1, 1, 0]


def test_a_refused_e_mail_does_not_end_the_run(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "ab":
        queued(account, key)

    def refuse(self: EmailMessage, **_: Any) -> int:
        raise smtplib.SMTPRecipientsRefused({})

    monkeypatch.setattr(EmailMessage, "send", refuse)
    emails.send_due(timezone.now())
    assert list(Mail.objects.values_list("attempts", flat=True)) == [1, 1]


def test_a_run_ends_when_its_time_is_used_up(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abc":
        queued(account, key)
    seconds = iter([0.0, emails.BUDGET_SECONDS - 1, emails.BUDGET_SECONDS])
    monkeypatch.setattr(emails.time, "monotonic", lambda: next(seconds))
    assert emails.send_due(timezone.now()) == 2
    assert emails.BUDGET_SECONDS + settings.EMAIL_TIMEOUT < settings.CELERY_TASK_SOFT_TIME_LIMIT


def test_e_mails_have_a_queue_and_a_process_of_their_own() -> None:
    assert settings.CELERY_TASK_ROUTES["billing.tasks.send_emails"] == {"queue": broker.MAIL_QUEUE}
    assert settings.CELERY_BEAT_SCHEDULE["emails"]["task"] == "billing.tasks.send_emails"
    lines = (settings.BASE_DIR / "Procfile").read_text().splitlines()
    [line] = [one for one in lines if one.startswith("mail:")]
    assert f"--queues {broker.MAIL_QUEUE} " in line
