"""Low-credit alerts: the account's own threshold, one notice for each crossing, one e-mail for each notice.

Invariant: the crossing is seen by the ledger in the movement that causes it (it writes a Notice); here a
notice becomes a mail in the same transaction that marks it handled, so that none is lost and none doubled.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from billing import ledger
from billing.models import AlertSettings, Notice, Wallet
from billing.notifications import emails
from core.amounts import plain
from pricing.catalogue import cache as catalogue_cache

_TEMPLATES = {Notice.Kind.LOW: "credits_low", Notice.Kind.DEPLETED: "credits_depleted"}


def create_settings(*, account_id: UUID, now: datetime) -> None:
    """A new account's alert, at the catalogue's threshold. Safe to repeat."""
    below = catalogue_cache.current().policies.low_credits_below
    _settings, created = AlertSettings.objects.get_or_create(
        account_id=account_id, defaults={"below": below, "enabled": below > 0}
    )
    if created and below > 0:
        ledger.set_warning(account_id=account_id, below=below, now=now)


def get_settings(account_id: UUID) -> AlertSettings:
    """The account's settings; unsaved defaults when it never had any."""
    found = AlertSettings.objects.filter(pk=account_id).first()
    return found or AlertSettings(account_id=account_id, enabled=False)


def save_settings(
    *,
    account_id: UUID,
    enabled: bool,
    below: Decimal,
    by_email: bool,
    extra_addresses: list[str],
    now: datetime,
) -> AlertSettings:
    """Save the settings; the threshold counts from this moment on."""
    with transaction.atomic():
        saved, _created = AlertSettings.objects.update_or_create(
            account_id=account_id,
            defaults={
                "enabled": enabled,
                "below": below,
                "by_email": by_email,
                "extra_addresses": extra_addresses,
            },
        )
        ledger.set_warning(account_id=account_id, below=below if enabled else None, now=now)
    return saved


def queue_emails(now: datetime, *, limit: int = 500) -> int:
    """Turn what the ledger saw into mails; the number of notices handled."""
    waiting = Notice.objects.filter(handled_at=None).order_by("pk").values_list("pk", flat=True)
    return sum(_handle(notice_id, now) for notice_id in waiting[:limit])


def _handle(notice_id: int, now: datetime) -> bool:
    with transaction.atomic():
        rows = Notice.objects.select_for_update(skip_locked=True).filter(pk=notice_id, handled_at=None)
        notice = rows.first()
        if notice is None:
            return False
        template = _TEMPLATES.get(Notice.Kind(notice.kind))
        wanted = get_settings(notice.account_id)
        if template and wanted.enabled and wanted.by_email:
            _tell(notice, template, wanted, now)
        Notice.objects.filter(pk=notice.pk).update(handled_at=now)
    return True


def _tell(notice: Notice, template: str, wanted: AlertSettings, now: datetime) -> None:
    balance = Wallet.objects.values_list("balance", flat=True).get(pk=notice.account_id)
    emails.queue(
        account_id=notice.account_id,
        template=template,
        key=f"notice:{notice.pk}",
        context={"balance": plain(balance), "below": plain(wanted.below)},
        also_to=wanted.extra_addresses,
        now=now,
    )
