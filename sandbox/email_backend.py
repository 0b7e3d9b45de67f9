"""The e-mail backend of development: e-mails are stored in a table and shown under /sandbox/mail/.

Invariant: no e-mail is sent. A stored e-mail is rolled back with the transaction that sent it.
"""

from collections.abc import Sequence
from email.message import Message
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from sandbox.models import Mail

KEPT = 500


class EmailBackend(BaseEmailBackend):
    """EMAIL_BACKEND = "sandbox.email_backend.EmailBackend"."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            _store(message)
        _delete_oldest()
        return len(email_messages)


def _store(message: EmailMessage) -> None:
    html = next(
        (str(content) for content, kind in getattr(message, "alternatives", []) if kind == "text/html"), ""
    )
    text = str(message.body)
    if message.content_subtype == "html":
        text, html = "", text
    Mail.objects.create(
        sender=message.from_email or "",
        recipients=message.recipients(),
        subject=str(message.subject),
        text=text,
        html=html,
        headers={name: str(value) for name, value in message.extra_headers.items()},
        attachments=[_attachment(attachment) for attachment in message.attachments],
        created_at=timezone.now(),
    )


def _attachment(attachment: Any) -> dict[str, Any]:
    if isinstance(attachment, Message):
        return {"name": attachment.get_filename() or "", "bytes": len(attachment.as_bytes())}
    name, content, _kind = attachment
    return {"name": name or "", "bytes": len(content or "")}


def _delete_oldest() -> None:
    """Keep the newest KEPT e-mails."""
    oldest_kept = Mail.objects.order_by("-pk").values_list("pk", flat=True)[KEPT - 1 : KEPT].first()
    if oldest_kept:
        Mail.objects.filter(pk__lt=oldest_kept).delete()
