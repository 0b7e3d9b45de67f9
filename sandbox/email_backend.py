"""The local mailbox: e-mails that the product sends are kept in a table and shown under /sandbox/mail/.

Invariant: nothing leaves this machine; a mail is kept even if the page that sent it fails afterwards only
when its own transaction commits, exactly as a queued mail would be.
"""

import re
from collections.abc import Sequence
from email.message import Message
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from sandbox.models import Mail

KEPT = 500
CODE = re.compile(
    r"(?<![\w-])([0-9]{6,8}|[A-Z0-9]{3,4}-[A-Z0-9]{3,4}|(?=[A-Z0-9]*[0-9])[A-Z0-9]{6})(?![\w-])"
)
LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]")


class EmailBackend(BaseEmailBackend):
    """EMAIL_BACKEND = "sandbox.email_backend.EmailBackend"."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            keep(message)
        forget_oldest()
        return len(email_messages)


def keep(message: EmailMessage) -> Mail:
    html = next(
        (str(content) for content, kind in getattr(message, "alternatives", []) if kind == "text/html"), ""
    )
    text = str(message.body)
    if message.content_subtype == "html":
        text, html = "", text
    return Mail.objects.create(
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


def forget_oldest() -> None:
    """Keep the newest mails only."""
    oldest_kept = Mail.objects.order_by("-pk").values_list("pk", flat=True)[KEPT - 1 : KEPT].first()
    if oldest_kept:
        Mail.objects.filter(pk__lt=oldest_kept).delete()


def code_in(mail: Mail) -> str:
    """The verification code a mail carries, or ""."""
    text = LINK.sub(" ", mail.text or re.sub(r"<style.*?</style>|<[^>]+>", " ", mail.html, flags=re.DOTALL))
    found = CODE.search(text)
    return found[1] if found else ""


def links_in(mail: Mail) -> list[str]:
    """The addresses in a mail, each once, in order."""
    return list(dict.fromkeys(LINK.findall(mail.text or mail.html)))
