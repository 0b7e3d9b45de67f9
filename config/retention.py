"""Deletion of records that nothing needs any more, by the periods stated in docs/runbook.md.

Invariant: no record of money, credits or people is deleted here, and none that is still to be handled.
"""

from datetime import datetime, timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Model, QuerySet

from billing.models import Mail, StripeEvent
from core.models import KeptAnswer, Lease, RateWindow
from usage.models import RefusedCalls
from usage.refusals import reading

PORTION = 1000
WINDOWS = timedelta(days=62)  # longer than any window of a rate limit


def purge(now: datetime) -> dict[str, int]:
    """Delete what is due; returns how many rows of each kind."""
    handled = [StripeEvent.State.DONE, StripeEvent.State.IGNORED]
    due: dict[str, QuerySet[Any]] = {
        "sessions": Session.objects.filter(expire_date__lt=now),
        "e-mails": Mail.objects.filter(sent_at__lt=now - timedelta(days=settings.KEEP_MAIL_DAYS)),
        "events": StripeEvent.objects.filter(
            state__in=handled, received_at__lt=now - timedelta(days=settings.KEEP_EVENTS_DAYS)
        ),
        "rate windows": RateWindow.objects.filter(window_start__lt=(now - WINDOWS).timestamp()),
        "refused calls": RefusedCalls.objects.filter(hour__lt=now - reading.KEPT),
        "leases": Lease.objects.filter(expires_at__lt=now - timedelta(days=1)),
    }
    if settings.KEEP_ANSWERS_DAYS:
        end = now - timedelta(days=settings.KEEP_ANSWERS_DAYS)
        due["answers"] = KeptAnswer.objects.filter(created_at__lt=end)
    gone = {kind: _delete(rows) for kind, rows in due.items()}
    gone["browsers"] = _delete(
        UserSession.objects.exclude(session_key__in=Session.objects.values("session_key"))
    )
    return gone


def _delete(rows: QuerySet[Any]) -> int:
    """Delete in portions, each in a statement of its own, so that no lock is held for long."""
    model: type[Model] = rows.model
    gone = 0
    while portion := list(rows.order_by("pk").values_list("pk", flat=True)[:PORTION]):
        gone += model._default_manager.filter(pk__in=portion).delete()[0]
    return gone
