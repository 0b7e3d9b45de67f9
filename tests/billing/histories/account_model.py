"""A model of one account's purchases, refunds and disputes, in plain Python without database or locks.

Credits move in `tests.billing.ledger.model`, which has its own comparison with the ledger.
"""

import datetime as dt
from decimal import ROUND_FLOOR, Decimal
from types import SimpleNamespace as Record
from typing import Any

from tests.billing.ledger.model import Book
from tests.billing.ledger.periods import a_grant

MICROCREDIT = Decimal("0.000001")
ALL = Decimal(10**12)


class AccountModel:
    """Purchases by public id, claims (refunds and disputes) by their id at Stripe or in the portal."""

    def __init__(self, now: dt.datetime) -> None:
        self.now, self.book = now, Book()
        self.purchases: dict[str, Record] = {}
        self.claims: dict[str, Record] = {}
        self.book.settle(now)

    def add_purchase(self, name: str, credits: Decimal, amount: int) -> None:
        self.purchases[name] = Record(
            name=name, credits=credits, amount=amount, state="created", refunded=0, grants=0
        )

    # events

    def apply(self, event: dict[str, Any], stripe: Any) -> None:
        """Apply one event; `stripe` holds the payment of a refund or dispute that arrives first."""
        stripe_object, type = event["data"]["object"], event["type"]
        if type.startswith("checkout."):
            self.apply_session(stripe_object, failed=type.endswith("failed"))
        elif type == "payment_intent.succeeded":
            self.credit(self.purchases[stripe_object["metadata"]["purchase"]])
        elif type == "charge.refunded" or type.startswith("refund."):
            purchase = self.credit_payment(stripe, stripe_object)
            payment = stripe_object["payment_intent"]
            refunds = [refund for refund in stripe.refunds.values() if refund["payment_intent"] == payment]
            for refund in sorted(refunds, key=lambda refund: refund["status"] != "failed"):
                self.apply_refund(refund, purchase)
        elif type.startswith("charge.dispute."):
            purchase = self.credit_payment(stripe, stripe_object)
            self.apply_dispute(stripe.disputes[stripe_object["id"]], purchase)

    def apply_session(self, session: dict[str, Any], failed: bool) -> None:
        purchase = self.purchases[session["metadata"]["purchase"]]
        if failed and purchase.state in {"created", "pending"}:
            purchase.state = "failed"
        elif not failed and session["payment_status"] == "paid":
            self.credit(purchase)
        elif session["status"] == "complete" and purchase.state in {"created", "cancelled"} and not failed:
            purchase.state = "pending"
        elif session["status"] == "expired" and purchase.state == "created":
            purchase.state = "cancelled"

    def credit_payment(self, stripe: Any, claim: dict[str, Any]) -> Record:
        """Credit the payment of a refund or dispute unless that has happened. Returns its purchase."""
        payment = stripe.payments[claim["payment_intent"]]
        purchase = self.purchases[payment["metadata"]["purchase"]]
        self.credit(purchase)
        return purchase

    def apply_refund(self, refund: dict[str, Any], purchase: Record) -> None:
        claim = self.claims.get(refund["metadata"].get("refund") or refund["id"])
        if claim is None and refund["status"] == "failed":
            self.claims[refund["id"]] = Record(purchase=purchase, amount=refund["amount"], active=False)
        elif claim is None:
            self.add_claim(refund["id"], purchase, refund["amount"], refund=True)
        elif claim.active and refund["status"] == "failed":
            purchase.refunded -= claim.amount
            self.end_claim(claim)

    def apply_dispute(self, dispute: dict[str, Any], purchase: Record) -> None:
        """A dispute as Stripe has it now; a won one may be lost later, and a lost one won."""
        claim, won = self.claims.get(dispute["id"]), dispute["status"] == "won"
        if claim is None:
            self.add_claim(dispute["id"], purchase, dispute["amount"], active=not won)
        elif claim.active and won:
            self.end_claim(claim)
        elif not claim.active and not won:
            claim.active = True
            self.take(claim)

    # effects

    def credit(self, purchase: Record) -> None:
        """Credit a purchase once, also after it was cancelled or failed."""
        if purchase.state != "paid":
            purchase.state, purchase.grants = "paid", 1
            grant = a_grant(purchase.name, purchase.credits, "top_up", self.now, purchase=purchase.name)
            self.book.add(grant, self.now)

    def approve(self, name: str, purchase: Record) -> bool:
        """Approve a refund: take the unspent credits, whose price is the amount. False if it is 0."""
        grants = [grant for grant in self.book.grants if grant.purchase == purchase.name]
        unspent = sum((grant.remaining for grant in grants), Decimal(0))
        price = int((purchase.amount * unspent / purchase.credits).to_integral_value(ROUND_FLOOR))
        amount = min(price, purchase.amount - purchase.refunded)
        if amount <= 0:
            return False
        self.book.claw_back(purchase.name, ALL, True, name, self.now)
        claim = Record(name=name, purchase=purchase, amount=amount, took=unspent, keys=[name], active=True)
        self.claims[name] = claim
        purchase.refunded += amount
        return True

    def add_claim(
        self, name: str, purchase: Record, amount: int, *, refund: bool = False, active: bool = True
    ) -> None:
        claim = Record(name=name, purchase=purchase, amount=amount, took=Decimal(0), keys=[], active=active)
        self.claims[name] = claim
        purchase.refunded += amount if refund else 0
        if active:
            self.take(claim)

    def take(self, claim: Record) -> None:
        """Take credits in proportion to the money; when all of it is claimed, no rounding is left over."""
        purchase, amount_due = claim.purchase, self.share(claim)
        others = [other for other in self.active_claims(purchase) if other is not claim]
        if claim.amount + sum(other.amount for other in others) >= purchase.amount:
            amount_due = max(
                amount_due, purchase.credits - sum(max(self.share(other), other.took) for other in others)
            )
        if amount_due > claim.took:
            key = f"{claim.name} {len(claim.keys)}"
            self.book.claw_back(purchase.name, amount_due - claim.took, False, key, self.now)
            claim.took += sum(taken + owed for _grant, taken, owed in self.book.clawed[key])
            claim.keys.append(key)

    @staticmethod
    def share(claim: Record) -> Decimal:
        share: Decimal = claim.purchase.credits * claim.amount / claim.purchase.amount
        return min(share.quantize(MICROCREDIT, ROUND_FLOOR), Decimal(claim.purchase.credits))

    def end_claim(self, claim: Record) -> None:
        """Restore what the claim took; other active claims then take their share."""
        claim.active = False
        for key in claim.keys:
            self.book.restore(key, f"{key} back", self.now)
        claim.took, claim.keys = Decimal(0), []
        for other in self.active_claims(claim.purchase):
            self.take(other)

    def active_claims(self, purchase: Record) -> list[Record]:
        return [claim for claim in self.claims.values() if claim.active and claim.purchase is purchase]
