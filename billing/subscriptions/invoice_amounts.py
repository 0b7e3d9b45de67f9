"""The amounts of a plan change's invoice: price, credit for unused time, charge and balance.

Invariant: what is not charged goes to the customer's balance at Stripe, which counts for the next invoices:
an amount under the smallest charge is added to it, and a credit larger than the price stays in it
(https://docs.stripe.com/billing/customer/balance,
https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).
"""

from dataclasses import dataclass

from billing.stripe_gateway import StripeObject
from core import currencies


@dataclass(frozen=True, kw_only=True)
class InvoiceAmounts:
    """Minor units. Balances have Stripe's sign: a negative one is the customer's credit."""

    price: int
    unused: int  # credited for the unused time of the current period
    balance_before: int
    due: int
    balance_after: int

    @property
    def credit_used(self) -> int:
        """How much of the customer's credit pays this invoice."""
        return max(0, _credit(self.balance_before) - _credit(self.balance_after))

    @property
    def credit_added(self) -> int:
        """How much of the credit for unused time stays for the next invoices."""
        return max(0, _credit(self.balance_after) - _credit(self.balance_before))

    @property
    def added_to_next_invoice(self) -> int:
        return max(0, self.balance_after)


def _credit(balance: int) -> int:
    return max(0, -balance)


def read(invoice: StripeObject) -> InvoiceAmounts:
    """The amounts of a previewed invoice; `amount_due` is not final before Stripe finalizes the invoice."""
    lines = [int(line["amount"]) for line in (invoice.get("lines") or {}).get("data") or []]
    total, before = int(invoice["total"]), int(invoice.get("starting_balance") or 0)
    due, after = max(0, total + before), min(0, total + before)
    if total <= 0:
        due, after = 0, total + before
    elif 0 < due < currencies.minimum(str(invoice["currency"])):
        due, after = 0, due
    return InvoiceAmounts(
        price=sum(amount for amount in lines if amount > 0),
        unused=-sum(amount for amount in lines if amount < 0),
        balance_before=before,
        due=due,
        balance_after=after,
    )
