"""What a withdrawn plan payment has left in the customer's credit balance at Stripe.

A change to a cheaper price returns the unused time of the payment as a negative invoice, which Stripe adds to
the customer's credit balance (https://docs.stripe.com/billing/customer/balance). While the payment's money is
away, that credit is taken: it would pay later plans with it.

Invariant: the balance transactions at Stripe are the only record. Each names its payment and its subscription
in its metadata, and each step compares what they have taken with what is to be taken, so that a repeated step
changes nothing, whatever died between.
"""

from billing import stripe_gateway
from billing.models import Purchase
from billing.stripe_gateway import StripeObject
from billing.subscriptions import stripe_objects


def bring_in_line(purchase: Purchase, subscription_id: str, *, withdrawn: bool) -> None:
    """Take from the balance what the payment left there, or return it when the money is back.

    What later invoices have used of it is taken too: the balance becomes a debit, which Stripe adds to the
    next invoice. Raises stripe_gateway's errors.
    """
    try:
        subscription = stripe_gateway.retrieve_subscription(subscription_id)
        customer = stripe_objects.id_of(subscription["customer"])
        transactions = list(stripe_gateway.list_balance_transactions(customer))
    except stripe_gateway.ResourceMissing:
        return  # the balance was deleted with its customer
    own = [item for item in transactions if _names(item, "purchase") == purchase.public_id]
    taken = sum(int(item["amount"]) for item in own)
    wanted = 0
    if withdrawn:
        same = [item for item in transactions if _names(item, "subscription") == subscription_id]
        others = sum(int(item["amount"]) for item in same) - taken
        wanted = _left_by(purchase, subscription_id, others)
    if wanted != taken:
        stripe_gateway.change_balance(
            key=f"withdrawn:{purchase.pk.hex}:{len(own)}",
            customer=customer,
            amount=wanted - taken,
            currency=purchase.currency,
            description=f"Payment {purchase.public_id} {'withdrawn' if withdrawn else 'returned'}",
            metadata={"purchase": purchase.public_id, "subscription": subscription_id},
        )


def _left_by(purchase: Purchase, subscription_id: str, others: int) -> int:
    """How much of the payment went into the balance, in minor units.

    The invoice that credits the payment's unused time is negative itself, or charges a higher price, whose
    own unused time a later invoice returned. `others`: what was taken already for other payments of the
    subscription.
    """
    since = purchase.period_start or purchase.paid_at
    if since is None or not purchase.stripe_invoice_id:
        return 0
    invoices = [
        invoice
        for invoice in stripe_gateway.list_invoices_since(subscription_id, since)
        if invoice.get("status") == "paid"
    ]
    given = 0
    for invoice in invoices:  # newest first
        total = int(invoice["total"])
        given += max(0, -total)
        unused = sum(-int(line["amount"]) for line in _lines(invoice) if _credits(line, purchase))
        if unused > 0:
            own = -total if total < 0 else unused
            return max(0, min(own, given - others))
    return 0


def _lines(invoice: StripeObject) -> list[StripeObject]:
    return list((invoice.get("lines") or {}).get("data") or [])


def _credits(line: StripeObject, purchase: Purchase) -> bool:
    """Whether a line credits the payment: it names the credited invoice, or at least the period.

    https://docs.stripe.com/billing/subscriptions/prorations#credit-proration-debit-links
    """
    if int(line["amount"]) >= 0:
        return False
    details = (line.get("parent") or {}).get("subscription_item_details") or {}
    credited = (details.get("proration_details") or {}).get("credited_items") or {}
    if credited.get("invoice"):
        return stripe_objects.id_of(credited["invoice"]) == purchase.stripe_invoice_id
    return purchase.period_end == stripe_objects.as_datetime(line["period"]["end"])


def _names(transaction: StripeObject, field: str) -> str:
    return str((transaction.get("metadata") or {}).get(field, ""))
