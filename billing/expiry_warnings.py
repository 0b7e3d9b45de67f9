"""Warnings before credits end: bought, given or promised ones; what renews by itself is not worth a mail.

Invariant: each grant is warned of once (the mail's key is the grant).
"""

from datetime import datetime, timedelta

from django.utils import formats

from billing import mails
from billing.models import Grant
from core.amounts import plain

_WORTH = (
    Grant.Kind.TOP_UP,
    Grant.Kind.PROMOTION,
    Grant.Kind.REFERRAL,
    Grant.Kind.ADJUSTMENT,
    Grant.Kind.BONUS,
)


def queue_due(now: datetime, *, ahead: timedelta, limit: int = 1000) -> int:
    """Queue a mail for every open grant that ends within `ahead` and lasted longer than that."""
    ending = Grant.objects.filter(
        open=True, kind__in=_WORTH, allowance="", expires_at__gt=now, expires_at__lte=now + ahead
    )
    grants = list(ending.order_by("expires_at")[:limit])
    for grant in grants:
        if grant.expires_at is None or grant.expires_at - grant.created_at <= ahead:
            continue
        mails.queue(
            account_id=grant.account_id,
            template="credits_expiring",
            key=f"expiring:{grant.pk.hex}",
            context={
                "credits": plain(grant.remaining),
                "label": grant.label,
                "day": formats.date_format(grant.expires_at, "j F Y"),
            },
            now=now,
        )
    return len(grants)
