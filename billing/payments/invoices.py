"""Invoice numbers, and what an invoice says of its buyer.

Invariants: numbers of a year run without a gap (the year's row is locked to the end of the transaction that
takes one, and is the last lock it takes); what an invoice says is fixed when it gets its number.
"""

from datetime import datetime

from django.db import connection

from accounts import selectors as accounts
from billing.models import BillingProfile, InvoiceYear, Purchase


def number(purchase: Purchase, now: datetime) -> None:
    """Give a purchase its number and its buyer's details, if it has none yet. Saves nothing."""
    if purchase.invoice_number:
        return
    purchase.billed_to = _buyer(purchase)
    with connection.cursor() as cursor:
        cursor.execute(
            f"insert into {InvoiceYear._meta.db_table} as y (year, last) values (%s, 1) "
            "on conflict (year) do update set last = y.last + 1 returning last",
            [now.year],
        )
        last = cursor.fetchone()[0]
    purchase.invoice_number = f"{now.year}-{last:06d}"


def _buyer(purchase: Purchase) -> dict[str, str]:
    profile = BillingProfile.objects.filter(pk=purchase.account_id).first()
    addresses = accounts.owner_addresses(purchase.account_id)
    return {
        "name": (profile.invoice_name if profile else "") or purchase.account.name,
        "address": profile.invoice_address if profile else "",
        "tax_id": profile.tax_id if profile else "",
        "email": purchase.buyer.email if purchase.buyer else (addresses[0] if addresses else ""),
    }
