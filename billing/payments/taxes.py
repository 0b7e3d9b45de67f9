"""Tax of payments, as Stripe Tax reports it, and its part of refunds.

Invariants: only Stripe computes tax; a paid purchase's `amount` is the money received, its `tax` that of its
total, what the credit balance paid included; the parts of several refunds add up to the tax received.
https://docs.stripe.com/tax/checkout
"""

from dataclasses import dataclass

from billing.models import Purchase
from billing.stripe_gateway import StripeObject
from pricing.catalogue import cache as catalogue_cache

EXCLUSIVE = "exclusive"
# An exclusive tax that Stripe has not stated yet is the difference to the price; no country's tax is higher.
_LARGEST_PERCENT = 50


@dataclass(frozen=True, kw_only=True)
class Tax:
    """`amount` minor units of tax, of which `added` came on top of the price; where and for whom."""

    amount: int
    added: int
    country: str = ""
    tax_id: str = ""


def behavior() -> str:
    """inclusive or exclusive, as the catalogue configures Stripe Tax; empty when it does not."""
    tax = catalogue_cache.current().policies.tax
    return tax.behavior if tax is not None else ""


def product_data() -> StripeObject:
    """What a product at Stripe needs for Stripe Tax: the catalogue's tax code."""
    tax = catalogue_cache.current().policies.tax
    return {"tax_code": tax.code} if tax is not None and tax.code else {}


def session_params() -> StripeObject:
    """The parameters with which a Checkout session computes tax and saves the buyer's address and tax id."""
    tax = catalogue_cache.current().policies.tax
    params: StripeObject = {
        "automatic_tax": {"enabled": True},
        "billing_address_collection": "required",
        "customer_update": {"address": "auto", "name": "auto"},
    }
    if tax is not None and tax.collect_tax_ids:
        params["tax_id_collection"] = {"enabled": True}
    return params


def of_session(session: StripeObject) -> Tax | None:
    """The tax of a Checkout session; None without Stripe Tax."""
    if not (session.get("automatic_tax") or {}).get("enabled"):
        return None
    details = session.get("total_details") or {}
    subtotal = int(session.get("amount_subtotal") or 0) - int(details.get("amount_discount") or 0)
    customer = session.get("customer_details") or {}
    return Tax(
        amount=int(details.get("amount_tax") or 0),
        added=int(session.get("amount_total") or 0) - subtotal,
        country=_country(customer.get("address")),
        tax_id=_first_tax_id(customer.get("tax_ids")),
    )


def of_invoice(invoice: StripeObject) -> Tax | None:
    """The tax of an invoice, of the pinned API version or of one before 2025-03-31; None when it has none.

    https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-tax-integrations
    """
    new = [(int(tax["amount"]), tax.get("tax_behavior")) for tax in invoice.get("total_taxes") or []]
    old = [
        (int(tax["amount"]), "inclusive" if tax.get("inclusive") else EXCLUSIVE)
        for tax in invoice.get("total_tax_amounts") or []
    ]
    parts = new or old
    if not parts and not (invoice.get("automatic_tax") or {}).get("enabled"):
        return None
    return Tax(
        amount=sum(amount for amount, _ in parts),
        added=sum(amount for amount, behaviour in parts if behaviour == EXCLUSIVE),
        country=_country(invoice.get("customer_address")),
        tax_id=_first_tax_id(invoice.get("customer_tax_ids")),
    )


def unstated(purchase: Purchase, received: int) -> Tax | None:
    """The tax of a payment intent, which does not state it: as the session stated it while it was pending, or
    what was received above an exclusive price."""
    if purchase.country:
        added = purchase.tax if purchase.tax_behavior == EXCLUSIVE else 0
        tax_id = str(purchase.billed_to.get("tax_id") or "")
        return Tax(amount=purchase.tax, added=added, country=purchase.country, tax_id=tax_id)
    added = received - purchase.amount
    if purchase.tax_behavior != EXCLUSIVE or not 0 <= added * 100 <= purchase.amount * _LARGEST_PERCENT:
        return None
    return Tax(amount=added, added=added)


def share(purchase: Purchase, amount: int) -> int:
    """The tax within the first `amount` minor units of a purchase that are given back."""
    return purchase.tax_paid * amount // purchase.amount if purchase.amount else 0


def _country(address: StripeObject | None) -> str:
    return str((address or {}).get("country") or "")[:2]


def _first_tax_id(tax_ids: list[StripeObject] | None) -> str:
    return str((tax_ids or [{}])[0].get("value") or "")[:60]
