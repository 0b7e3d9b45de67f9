"""Warnings before credits end: bought, given or promised ones; what renews by itself is not worth a mail.

Invariant: each grant is warned of once (the mail's key is the grant).
"""

from datetime import datetime, timedelta

from django.db.models import F
from django.utils import formats

from billing.models import Grant, Mail
from billing.notifications import emails
from core.amounts import plain

_WORTH = (
    Grant.Kind.TOP_UP,
    Grant.Kind.PROMOTION,
    Grant.Kind.REFERRAL,
    Grant.Kind.ADJUSTMENT,
    Grant.Kind.BONUS,
)


def queue_due(now: datetime, *, ahead: timedelta) -> int:
    """Queue a mail for every open grant that ends within `ahead`, lasted longer than that, and has none."""
    ending = Grant.objects.filter(
        open=True, kind__in=_WORTH, allowance="", expires_at__gt=now, expires_at__lte=now + ahead
    )
    queued = 0
    for grant in ending.filter(created_at__lt=F("expires_at") - ahead).order_by("expires_at").iterator():
        key = f"expiring:{grant.pk.hex}"
        if grant.expires_at is None or Mail.objects.filter(key=key).exists():
            continue
        queued += 1
        emails.queue(
            account_id=grant.account_id,
            template="credits_expiring",
            key=key,
            context={
                "credits": plain(grant.remaining),
                "label": grant.label,
                "day": formats.date_format(grant.expires_at, "j F Y"),
            },
            now=now,
        )
    return queued
