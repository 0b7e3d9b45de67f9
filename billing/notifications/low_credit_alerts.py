"""Low-credit alerts: settings of an account, and an e-mail each time its balance falls below the threshold.

Invariants: the ledger writes a Notice in the transaction that crosses the threshold; the e-mail is queued in
the transaction that marks the notice as handled, so that each notice is reported exactly once. An e-mail
states the balance of the time at which it is queued: none is sent when the balance has risen again, or before
an account has had credits.
"""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from billing import ledger
from billing.models import AlertSettings, Notice
from billing.notifications import alert_addresses, emails
from core.amounts import plain
from pricing.catalogue import cache as catalogue_cache

_KINDS = (Notice.Kind.LOW, Notice.Kind.DEPLETED)


def create_settings(*, account_id: UUID, now: datetime) -> None:
    """Create a new account's settings with the catalogue's threshold. Idempotent.

    An account that begins without credits has not used them up: its notice counts as handled.
    """
    threshold = catalogue_cache.current().policies.low_credits_below
    _settings, created = AlertSettings.objects.get_or_create(
        account_id=account_id, defaults={"below": threshold, "enabled": threshold > 0}
    )
    if created and threshold > 0:
        ledger.set_warning(account_id=account_id, below=threshold, now=now)
        Notice.objects.filter(account_id=account_id, handled_at=None).update(handled_at=now)


def get_settings(account_id: UUID) -> AlertSettings:
    """The account's settings; unsaved ones with alerts disabled when it has none."""
    settings = AlertSettings.objects.filter(pk=account_id).first()
    return settings or AlertSettings(account_id=account_id, enabled=False)


def save_settings(
    *,
    account_id: UUID,
    enabled: bool,
    below: Decimal,
    by_email: bool,
    extra_addresses: list[str],
    now: datetime,
) -> AlertSettings:
    """Save the settings; the threshold applies to later changes of the balance.

    New additional addresses are asked for their consent. Raises alert_addresses.TooManyAddresses.
    """
    with transaction.atomic():
        settings, _created = AlertSettings.objects.update_or_create(
            account_id=account_id,
            defaults={
                "enabled": enabled,
                "below": below,
                "by_email": by_email,
                "extra_addresses": extra_addresses,
            },
        )
        ledger.set_warning(account_id=account_id, below=below if enabled else None, now=now)
        alert_addresses.ask(settings, now)
    return settings


def queue_emails(now: datetime, *, limit: int = 500) -> int:
    """Handle notices of the ledger, oldest first; return their number."""
    pending = Notice.objects.filter(handled_at=None).order_by("pk").values_list("pk", flat=True)
    return sum(_handle(notice_id, now) for notice_id in pending[:limit])


def _handle(notice_id: int, now: datetime) -> bool:
    account_id = Notice.objects.values_list("account_id", flat=True).get(pk=notice_id)
    balance = ledger.balances([account_id], now).get(account_id)
    if balance is None:
        return False  # the account is due: its notice is handled once it is settled
    with transaction.atomic():
        unhandled = Notice.objects.filter(pk=notice_id, handled_at=None)
        notice = unhandled.select_for_update(skip_locked=True, no_key=True).first()
        if notice is None:
            return False
        settings = get_settings(account_id)
        if notice.kind in _KINDS and balance.low and settings.enabled and settings.by_email:
            _queue_email(notice, balance, settings, now)
        Notice.objects.filter(pk=notice.pk).update(handled_at=now)
    return True


def _queue_email(notice: Notice, balance: ledger.Balance, settings: AlertSettings, now: datetime) -> None:
    with suppress(alert_addresses.TooManyAddresses):
        alert_addresses.ask(settings, now)  # addresses from before they were asked when they were saved
    confirmed, _unconfirmed = alert_addresses.split(settings)
    emails.queue(
        account_id=notice.account_id,
        template="credits_low" if balance.total > 0 else "credits_depleted",
        key=f"notice:{notice.pk}",
        context={"balance": plain(balance.total), "below": plain(settings.below)},
        also_to=confirmed,
        now=now,
    )
