"""Invoice numbers and the buyer's details on an invoice.

Invariants: the numbers of a year have no gaps (the year's row is locked until the transaction that takes a
number ends, and is the last lock it takes); the buyer's details are fixed when the number is assigned.
"""

from datetime import datetime
from uuid import UUID

from django.db import connection

from accounts import selectors as accounts
from billing.models import BillingProfile, InvoiceYear, Purchase


def assign_number(purchase: Purchase, now: datetime) -> None:
    """Set invoice number and buyer's details on a purchase without a number. The caller saves it."""
    if purchase.invoice_number:
        return
    purchase.billed_to = _buyer_details(purchase)
    with connection.cursor() as cursor:
        cursor.execute(
            f"insert into {InvoiceYear._meta.db_table} as y (year, last) values (%s, 1) "
            "on conflict (year) do update set last = y.last + 1 returning last",
            [now.year],
        )
        last = cursor.fetchone()[0]
    purchase.invoice_number = f"{now.year}-{last:06d}"


def set_details(account_id: UUID, **details: str) -> None:
    """Set `invoice_name`, `invoice_address` or `tax_id` for the invoices from now on."""
    BillingProfile.objects.update_or_create(account_id=account_id, defaults=details)


def _buyer_details(purchase: Purchase) -> dict[str, str]:
    profile = BillingProfile.objects.filter(pk=purchase.account_id).first()
    addresses = accounts.owner_addresses(purchase.account_id)
    return {
        "name": (profile.invoice_name if profile else "") or purchase.account.name,
        "address": profile.invoice_address if profile else "",
        "tax_id": profile.tax_id if profile else "",
        "email": purchase.buyer.email if purchase.buyer else (addresses[0] if addresses else ""),
    }
