"""E-mails of billing: queued in the transaction of the event they report, sent afterwards.

Invariants: the key of an e-mail identifies the event, so that queueing it twice sends it once; a mail server
that is down delays e-mails and nothing else; no SMTP connection is made inside a database transaction.
"""

import smtplib
import socket
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F, Q
from django.template.loader import render_to_string
from django.utils import translation

from accounts import selectors as accounts
from billing.models import Mail
from pricing import html_mail
from pricing.catalogue import cache as catalogue_cache

log = structlog.get_logger(__name__)
LEASE = timedelta(minutes=5)
BACKOFF_MINUTES = (1, 2, 5, 15, 60)
BUDGET_SECONDS = 60.0  # less than a task may take (settings.CELERY_TASK_SOFT_TIME_LIMIT)
# The server could not be reached, ended the connection or did not answer within EMAIL_TIMEOUT.
SILENCE = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    smtplib.SMTPServerDisconnected,
    SoftTimeLimitExceeded,
)


class ServerSilent(Exception):
    """The mail server does not answer: the other e-mails need not be tried now."""


def queue(
    *,
    account_id: UUID | None,
    template: str,
    key: str,
    context: dict[str, Any],
    now: datetime,
    also_to: list[str] | None = None,
    only_to: str = "",
) -> None:
    """Queue an e-mail to the owners of an account, once for each key. `context` must be plain JSON.

    Recipients of several languages get several e-mails, each in one language.

    `account_id`: None for an e-mail to staff, whose addresses are in `also_to`.
    `also_to`: further recipients; `only_to`: the only recipient, instead of the owners. `context` may have
    the path at which that one unsubscribes, as `unsubscribe`.
    """
    owners = accounts.owner_addresses(account_id) if account_id else []
    recipients = [only_to] if only_to else [*owners, *(also_to or [])]
    languages = accounts.mail_languages({*owners, *recipients})
    # Addresses that no user has are written to in the language of the account's first owner.
    usual = languages.get(owners[0] if owners else "", settings.LANGUAGE_CODE)
    groups: dict[str, list[str]] = {}
    for address in dict.fromkeys(recipients):
        groups.setdefault(languages.get(address, usual), []).append(address)
    for number, (language, addresses) in enumerate(groups.items()):
        _mail, is_new = Mail.objects.get_or_create(
            key=f"{key}:{language}" if number else key,
            defaults={
                "account_id": account_id,
                "template": template,
                "language": language,
                "recipients": addresses,
                "context": context,
                "created_at": now,
            },
        )
        if not is_new:
            return  # the event has been reported, perhaps before a recipient chose another language


def send_due(now: datetime, *, limit: int = 200) -> int:
    """Send the e-mails that are due and return their number. Concurrent runs do not send an e-mail twice.

    A run ends after BUDGET_SECONDS, and with the first e-mail for which the server could not be reached or
    did not answer in time: the others would wait as long.
    """
    due = Mail.objects.filter(_unclaimed(now), sent_at=None).order_by("id")
    until = time.monotonic() + BUDGET_SECONDS
    sent = 0
    for mail_id in due.values_list("pk", flat=True)[:limit]:
        try:
            sent += _deliver(mail_id, now)
        except ServerSilent:
            log.error("mail_server_silent", alert=True)
            break
        if time.monotonic() >= until:
            break
    return sent


def _unclaimed(now: datetime) -> Q:
    return Q(claimed_until=None) | Q(claimed_until__lte=now)


def _deliver(mail_id: int, now: datetime) -> bool:
    """Claim the e-mail (committed), send it, record it. A crash in between is retried after LEASE.

    Raises ServerSilent, after the next attempt was recorded.
    """
    claimed = Mail.objects.filter(_unclaimed(now), pk=mail_id, sent_at=None)
    if not claimed.update(claimed_until=now + LEASE, attempts=F("attempts") + 1):
        return False
    mail = Mail.objects.get(pk=mail_id)
    try:
        _message(mail).send()
    except Exception as error:  # one e-mail that cannot be sent must not stop the others
        wait = BACKOFF_MINUTES[min(mail.attempts, len(BACKOFF_MINUTES)) - 1]
        Mail.objects.filter(pk=mail_id).update(
            error=f"{type(error).__name__}: {error}"[:500], claimed_until=now + timedelta(minutes=wait)
        )
        log.warning("email_delayed", email=mail_id, template=mail.template, error=type(error).__name__)
        if isinstance(error, SILENCE):
            raise ServerSilent from error
        return False
    Mail.objects.filter(pk=mail_id).update(sent_at=now, error="", claimed_until=None)
    return True


def _message(mail: Mail) -> EmailMessage:
    """Render the template in the recipients' language; its first line is the subject."""
    wording = catalogue_cache.current().wording
    facts = {
        **mail.context,
        "brand": catalogue_cache.brand_name(),
        "support_email": wording.support_email if wording else settings.DEFAULT_FROM_EMAIL,
        "site": settings.SITE_URL,
    }
    with translation.override(mail.language):
        text = render_to_string(f"billing/emails/{mail.template}.txt", facts)
        subject, _newline, body = text.partition("\n")
        message = EmailMessage(
            subject=subject.strip(),
            body=body.strip() + "\n",
            to=mail.recipients,
            headers=_unsubscribe_headers(mail),
        )
        return html_mail.with_html(message)


def _unsubscribe_headers(mail: Mail) -> dict[str, str]:
    """The headers of an e-mail that its reader can unsubscribe from with one click in the mail program.

    https://www.rfc-editor.org/rfc/rfc8058#section-3.1
    """
    if "unsubscribe" not in mail.context:
        return {}
    return {
        "List-Unsubscribe": f"<{settings.SITE_URL}{mail.context['unsubscribe']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
