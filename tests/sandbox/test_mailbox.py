"""The mailbox: e-mails are stored, and their code and links are extracted."""

from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.test import Client

from sandbox import email_backend
from sandbox.models import Mail
from sandbox.pages import mailbox


@pytest.fixture
def send(db: None, settings: Any) -> Any:
    settings.EMAIL_BACKEND = "sandbox.email_backend.EmailBackend"

    def deliver(text: str, html: str = "", subject: str = "Hello") -> Mail:
        message = EmailMultiAlternatives(subject, text, "portal@example.org", ["ann@example.org"])
        if html:
            message.attach_alternative(html, "text/html")
        message.send()
        return Mail.objects.latest("pk")

    return deliver


def test_both_parts_of_an_e_mail_are_stored(send: Any) -> None:
    stored = send("Plain words", "<p>Fine words</p>")
    assert (stored.recipients, stored.text, stored.html) == (
        ["ann@example.org"],
        "Plain words",
        "<p>Fine words</p>",
    )


def test_names_and_sizes_of_attachments_are_stored(send: Any, db: None) -> None:
    message = EmailMessage("Receipt", "Attached.", "portal@example.org", ["ann@example.org"])
    message.attach("receipt.pdf", b"%PDF-1.7", "application/pdf")
    mail.get_connection("sandbox.email_backend.EmailBackend").send_messages([message])
    assert Mail.objects.latest("pk").attachments == [{"name": "receipt.pdf", "bytes": 8}]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Your code is 123456. It works for ten minutes.", "123456"),
        ("Enter this code:\n\nABC-DEF\n\nBye", "ABC-DEF"),
        ("Enter K7M2P9 now", "K7M2P9"),
        ("See https://example.org/confirm/123456/ please", ""),
        ("REFILL sends you 5,000 credits", ""),
    ],
)
def test_the_code_in_an_e_mail_is_extracted(send: Any, text: str, code: str) -> None:
    assert mailbox.code_in(send(text)) == code


def test_the_pages_show_list_code_links_and_html(send: Any, client: Client) -> None:
    stored = send(
        "Code 123456, or https://example.org/go?a=1.",
        "<p style='color:red'>Hi<script>x()</script></p>",
        "Your code",
    )
    listing = client.get("/sandbox/mail/").content.decode()
    assert "Your code" in listing and "123456" in listing
    page = client.get(f"/sandbox/mail/{stored.pk}")
    assert 'href="https://example.org/go?a=1"' in page.content.decode()
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    html = client.get(f"/sandbox/mail/{stored.pk}/html")
    policy = html.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy and "script-src" not in policy
    assert html.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_only_the_newest_e_mails_are_kept(send: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_backend, "KEPT", 3)
    for number in range(5):
        send(f"Mail {number}")
    assert list(Mail.objects.order_by("pk").values_list("text", flat=True)) == ["Mail 2", "Mail 3", "Mail 4"]
