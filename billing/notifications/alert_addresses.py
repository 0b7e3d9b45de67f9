"""Additional addresses of low-credit alerts: who reads one agrees before it gets any.

Invariants: an address that is neither a member's nor confirmed gets no alert; it is asked by at most one
e-mail a month for each account, which contains no text of the account; an account asks few addresses a day.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import selectors as accounts
from billing.models import AlertSettings, Mail
from billing.notifications import emails
from core.errors import Refusal

TEMPLATE = "alert_address"
MOST_ASKED = 20  # addresses of one account in a day
_SALT = "billing.alert_address"


class TooManyAddresses(Refusal):
    """The account has asked MOST_ASKED addresses in a day (429)."""

    code, status, field = "too_many_addresses", 429, "extra_addresses"

    def __init__(self) -> None:
        super().__init__(_("You have added many addresses today. Add others tomorrow."))


def split(settings: AlertSettings) -> tuple[list[str], list[str]]:
    """The additional addresses that get alerts, and those that have not been confirmed."""
    agreed = {*settings.confirmed_addresses, *accounts.member_addresses(settings.account_id)}
    unconfirmed = [address for address in settings.extra_addresses if address not in agreed]
    return [address for address in settings.extra_addresses if address in agreed], unconfirmed


def ask(settings: AlertSettings, now: datetime) -> None:
    """Queue an e-mail with a link to each address that has not been confirmed. Raises TooManyAddresses."""
    _confirmed, unconfirmed = split(settings)
    asked = Mail.objects.filter(account_id=settings.account_id, template=TEMPLATE)
    recent = set(asked.filter(created_at__gt=now - timedelta(days=1)).values_list("recipients__0", flat=True))
    if len(recent | set(unconfirmed)) > MOST_ASKED:
        raise TooManyAddresses
    for address in unconfirmed:
        emails.queue(
            account_id=settings.account_id,
            template=TEMPLATE,
            key=f"{TEMPLATE}:{settings.account_id}:{now:%Y-%m}:{address}",
            context={"path": reverse("confirm_alerts", args=[_token(settings.account_id, address)])},
            only_to=address,
            now=now,
        )


def named_by(token: str) -> tuple[UUID, str] | None:
    """The account and the address of a link; None for a forged one."""
    try:
        account, address = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        return None
    return UUID(hex=account), address


def confirm(account_id: UUID, address: str) -> bool:
    """Let the address get the account's alerts; False if it is no longer among its addresses. Idempotent."""
    with transaction.atomic():
        settings = AlertSettings.objects.select_for_update(no_key=True).filter(pk=account_id).first()
        if settings is None or address not in settings.extra_addresses:
            return False
        if address not in settings.confirmed_addresses:
            settings.confirmed_addresses.append(address)
            settings.save(update_fields=["confirmed_addresses"])
    return True


def _token(account_id: UUID, address: str) -> str:
    return signing.dumps([account_id.hex, address], salt=_SALT)
