"""E-mails to owners about announced prices that change what their use costs.

Invariants: each published card that is not in force yet is handled once for each account that has moved
credits in the last days; an account gets an e-mail if its own calls would cost more or less; a run that ends
early goes on where it was.
"""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction

from accounts.models import Account
from billing.models import Wallet
from billing.notifications import emails
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.cache import CardHead
from usage.forecast import pace
from usage.models import PriceNotice

TEMPLATE = "prices_change"


def queue_due(now: datetime, *, limit: int = 200) -> int:
    """Handle up to `limit` accounts of each announced card; return the number of accounts."""
    announced = [card for card in catalogue_cache.current().cards if card.effective_at > now]
    if not announced:
        return 0
    versions = [card.version for card in announced]
    done = set(PriceNotice.objects.filter(version__in=versions, done=True).values_list("version", flat=True))
    return sum(_handle(card, now, limit) for card in announced if card.version not in done)


def _handle(card: CardHead, now: datetime, limit: int) -> int:
    with transaction.atomic():
        PriceNotice.objects.get_or_create(version=card.version)
        locked = PriceNotice.objects.select_for_update(skip_locked=True, no_key=True)
        notice = locked.filter(pk=card.version, done=False).first()
        if notice is None:
            return 0
        active = Wallet.objects.filter(moved_at__gte=now - timedelta(days=pace.DAYS))
        if notice.after:
            active = active.filter(pk__gt=notice.after)
        accounts: list[UUID] = list(active.order_by("pk").values_list("pk", flat=True)[:limit])
        for account in Account.objects.filter(pk__in=accounts, erased_at=None):
            _queue(account, card, now)
        notice.after = accounts[-1] if accounts else notice.after
        notice.done = len(accounts) < limit
        notice.save()
    return len(accounts)


def _queue(account: Account, card: CardHead, now: datetime) -> None:
    changes = pace.announced(account, now=now, until=card.effective_at)
    change = next((change for change in changes if change.version == card.version), None)
    if change is None:
        return
    emails.queue(
        account_id=account.pk,
        template=TEMPLATE,
        key=f"prices:{card.version}:{account.pk.hex}",
        context={
            "day": change.at.astimezone(ZoneInfo(account.zone)).date().isoformat(),
            "percent": str(abs(change.percent)),
            "is_rise": change.percent > 0,
        },
        now=now,
    )
