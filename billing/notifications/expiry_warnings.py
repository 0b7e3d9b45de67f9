"""E-mails and events that warn of credits about to expire. Allowances renew, so their grants are left out.

Invariant: there is one e-mail and one event for each grant (their keys contain the grant's id).
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F

from accounts.models import Account
from billing.models import Grant, Mail
from billing.notifications import emails, webhook_events
from core.amounts import plain

_WARNED_KINDS = (
    Grant.Kind.TOP_UP,
    Grant.Kind.PROMOTION,
    Grant.Kind.REFERRAL,
    Grant.Kind.ADJUSTMENT,
    Grant.Kind.BONUS,
)


def queue_due(now: datetime, *, ahead: timedelta) -> int:
    """Queue a warning for each open grant that expires within `ahead`; return the number of new ones.

    Grants whose whole lifetime is shorter than `ahead` are left out.
    """
    expiring = Grant.objects.filter(
        open=True, kind__in=_WARNED_KINDS, allowance="", expires_at__gt=now, expires_at__lte=now + ahead
    )
    queued = 0
    for grant in expiring.filter(created_at__lt=F("expires_at") - ahead).order_by("expires_at").iterator():
        key = f"expiring:{grant.pk.hex}"
        if grant.expires_at is None or Mail.objects.filter(key=key).exists():
            continue
        queued += 1
        zone = ZoneInfo(Account.objects.values_list("zone", flat=True).get(pk=grant.account_id))
        with transaction.atomic():
            emails.queue(
                account_id=grant.account_id,
                template="credits_expiring",
                key=key,
                context={
                    "credits": plain(grant.remaining),
                    "label": grant.label,
                    "day": grant.expires_at.astimezone(zone).date().isoformat(),
                },
                now=now,
            )
            webhook_events.credits_expiring(grant, now)
    return queued
