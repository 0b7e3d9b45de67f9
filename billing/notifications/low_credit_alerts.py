"""Low-credit alerts: settings of an account, and an e-mail each time its balance falls below a threshold.

Invariants of the threshold `below`: the ledger writes a Notice in the transaction that crosses it; the e-mail
is queued in the transaction that marks the notice as handled, so that each notice is reported exactly once.
An e-mail states the balance of the time at which it is queued: none is sent when the balance has risen again,
or before an account has had credits. Further thresholds are compared with the balance every few seconds: one
that rises again meanwhile is not reported. A balance that falls below several thresholds at once is one
e-mail, which names the lowest: that of the notice, if there is one.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction

from billing import ledger
from billing.models import AlertSettings, Notice, Wallet
from billing.notifications import alert_addresses, emails
from core.amounts import plain
from pricing.catalogue import cache as catalogue_cache

MOST_FURTHER = 4
_KINDS = (Notice.Kind.LOW, Notice.Kind.DEPLETED)
_UNHANDLED = """select id, account_id::text from billing_notice where handled_at is null
  order by id limit %(limit)s"""
# accounts that are due have another balance once they are settled
_PASSED = """
    select s.account_id from billing_alertsettings s join billing_wallet w on w.account_id = s.account_id
     where s.enabled and s.also_below <> '{}' and coalesce(w.next_due_at > %(now)s, true)
       and (select count(*) from unnest(s.also_below) t where w.balance < t) <> s.passed
     order by 1 limit %(limit)s
"""


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
    also_below: Collection[Decimal] = (),
) -> AlertSettings:
    """Save the settings; the threshold applies to later changes of the balance.

    `also_below`: further thresholds, MOST_FURTHER at most. Those that the balance is below already are not
    reported. New additional addresses are asked for their consent. Raises alert_addresses.TooManyAddresses.
    """
    with transaction.atomic():
        settings, _created = AlertSettings.objects.update_or_create(
            account_id=account_id,
            defaults={
                "enabled": enabled,
                "below": below,
                "by_email": by_email,
                "extra_addresses": extra_addresses,
                "also_below": sorted({*also_below} - {below}, reverse=True),
            },
        )
        balance = Wallet.objects.values_list("balance", flat=True).get(pk=account_id)
        settings.passed = len([threshold for threshold in settings.also_below if balance < threshold])
        settings.save(update_fields=["passed"])
        ledger.set_warning(account_id=account_id, below=below if enabled else None, now=now)
        alert_addresses.ask(settings, now)
    return settings


def queue_emails(now: datetime, *, limit: int = 500) -> int:
    """Handle notices of the ledger, oldest first; return their number."""
    pending = ledger.read_reachable(_UNHANDLED, {"limit": limit})
    oldest = sorted(pending, key=lambda notice: int(notice["id"]))[:limit]
    return sum(_handle(int(notice["id"]), UUID(notice["account_id"]), now) for notice in oldest)


def _handle(notice_id: int, account_id: UUID, now: datetime) -> bool:
    balance = ledger.balances([account_id], now).get(account_id)
    if balance is None:
        return False  # the account is due: its notice is handled once it is settled
    with transaction.atomic():
        unhandled = Notice.objects.filter(account_id=account_id, pk=notice_id, handled_at=None)
        notice = unhandled.select_for_update(skip_locked=True, no_key=True).first()
        if notice is None:
            return False
        settings = AlertSettings.objects.select_for_update(no_key=True).filter(pk=account_id).first()
        if settings is not None and notice.kind in _KINDS and balance.low:
            passed = _record_passed(settings, balance)
            if settings.enabled and settings.by_email:
                below = min([settings.below, *passed])
                _queue_email(settings, balance, below=below, key=f"notice:{notice.pk}", now=now)
        Notice.objects.filter(account_id=account_id, pk=notice.pk).update(handled_at=now)
    return True


def queue_further(now: datetime, *, limit: int = 500) -> int:
    """Handle the accounts that passed a further threshold, either way; return the number of e-mails."""
    with connection.cursor() as cursor:
        cursor.execute(_PASSED, {"now": now, "limit": limit})
        accounts = [account_id for (account_id,) in cursor.fetchall()]
    return sum(_pass(account_id, now) for account_id in accounts)


def _pass(account_id: UUID, now: datetime) -> bool:
    balance = ledger.balances([account_id], now).get(account_id)
    if balance is None:
        return False
    with transaction.atomic():
        locked = AlertSettings.objects.select_for_update(skip_locked=True, no_key=True)
        settings = locked.filter(pk=account_id).first()
        if settings is None or _has_notice(account_id):
            return False
        before, passed = settings.passed, _record_passed(settings, balance)
        if len(passed) <= before or not (settings.enabled and settings.by_email):
            return False
        seq = Wallet.objects.values_list("seq", flat=True).get(pk=account_id)
        _queue_email(settings, balance, below=min(passed), key=f"alert:{account_id.hex}:{seq}", now=now)
    return True


def _has_notice(account_id: UUID) -> bool:
    """Whether a notice waits, which is handled together with the further thresholds."""
    return Notice.objects.filter(account_id=account_id, kind__in=_KINDS, handled_at=None).exists()


def _record_passed(settings: AlertSettings, balance: ledger.Balance) -> list[Decimal]:
    """Store how many of the further thresholds the balance is below, and return those."""
    passed = [threshold for threshold in settings.also_below if balance.total < threshold]
    settings.passed = len(passed)
    settings.save(update_fields=["passed"])
    return passed


def _queue_email(
    settings: AlertSettings, balance: ledger.Balance, *, below: Decimal, key: str, now: datetime
) -> None:
    with suppress(alert_addresses.TooManyAddresses):
        alert_addresses.ask(settings, now)  # addresses from before they were asked when they were saved
    confirmed, _unconfirmed = alert_addresses.split(settings)
    emails.queue(
        account_id=settings.account_id,
        template="credits_low" if balance.total > 0 else "credits_depleted",
        key=key,
        context={"balance": plain(balance.total), "below": plain(below)},
        also_to=confirmed,
        now=now,
    )
