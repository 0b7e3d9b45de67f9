"""What news of money means for one account, in plain Python: no database, no locks, no order of arrival.

The credits themselves move in `tests.billing.ledger.model`, which is held against the ledger on its own.
"""

from decimal import ROUND_FLOOR, Decimal
from types import SimpleNamespace as Record

from tests.billing.ledger.model import Book
from tests.billing.ledger.periods import a_grant

SIXTH = Decimal("0.000001")
ALL = Decimal(10**12)


class Model:
    """Purchases by their name at the bank, claims (refunds and disputes) by their id."""

    def __init__(self, now):
        self.now, self.book, self.purchases, self.claims = now, Book(), {}, {}
        self.book.settle(now)

    def ordered(self, name, credits, amount):
        self.purchases[name] = Record(
            name=name, credits=credits, amount=amount, state="created", refunded=0, grants=0
        )

    # what is heard

    def hear(self, event, bank):
        """One event; `bank` is asked where an event tells of money that went back before it had come."""
        thing, kind = event["data"]["object"], event["type"]
        if kind.startswith("checkout."):
            self.session(thing, failed=kind.endswith("failed"))
        elif kind == "payment_intent.succeeded":
            self.credit(self.purchases[thing["metadata"]["purchase"]])
        elif kind == "charge.refunded" or kind.startswith("refund."):
            purchase = self.paid_before(bank, thing)
            of_it = [one for one in bank.refunds.values() if one["payment_intent"] == thing["payment_intent"]]
            for refund in sorted(of_it, key=lambda one: one["status"] != "failed"):
                self.refund(refund, purchase)
        elif kind.startswith("charge.dispute."):
            self.dispute(thing, self.paid_before(bank, thing))

    def session(self, thing, failed):
        purchase = self.purchases[thing["metadata"]["purchase"]]
        if failed and purchase.state in {"created", "pending"}:
            purchase.state = "failed"
        elif not failed and thing["payment_status"] == "paid":
            self.credit(purchase)
        elif thing["status"] == "complete" and purchase.state in {"created", "cancelled"} and not failed:
            purchase.state = "pending"
        elif thing["status"] == "expired" and purchase.state == "created":
            purchase.state = "cancelled"

    def paid_before(self, bank, thing):
        payment = bank.payments[thing["payment_intent"]]
        purchase = self.purchases[payment["metadata"]["purchase"]]
        self.credit(purchase)
        return purchase

    def refund(self, thing, purchase):
        claim = self.claims.get(thing["metadata"].get("refund") or thing["id"])
        if claim is None and thing["status"] == "failed":
            self.claims[thing["id"]] = Record(purchase=purchase, amount=thing["amount"], stands=False)
        elif claim is None:
            self.claim(thing["id"], purchase, thing["amount"], refund=True)
        elif claim.stands and thing["status"] == "failed":
            purchase.refunded -= claim.amount
            self.fall(claim)

    def dispute(self, thing, purchase):
        claim = self.claims.get(thing["id"])
        if claim is None and thing["status"] == "won":
            self.claims[thing["id"]] = Record(purchase=purchase, amount=thing["amount"], stands=False)
        elif claim is None:
            self.claim(thing["id"], purchase, thing["amount"], closed=thing["status"] == "lost")
        elif claim.stands and thing["status"] == "lost":
            claim.closed = True
        elif claim.stands and not claim.closed and thing["status"] == "won":
            self.fall(claim)

    # what it does

    def credit(self, purchase):
        """Paid, once, also when the order had been given up."""
        if purchase.state != "paid":
            purchase.state, purchase.grants = "paid", 1
            grant = a_grant(purchase.name, purchase.credits, "top_up", self.now, purchase=purchase.name)
            self.book.add(grant, self.now)

    def approve(self, name, purchase):
        """Staff approve a refund: what is unspent goes, and its worth in money is the sum."""
        grants = [grant for grant in self.book.grants if grant.purchase == purchase.name]
        unspent = sum((grant.remaining for grant in grants), Decimal(0))
        worth = int((purchase.amount * unspent / purchase.credits).to_integral_value(ROUND_FLOOR))
        amount = min(worth, purchase.amount - purchase.refunded)
        if amount <= 0:
            return False
        self.book.claw_back(purchase.name, ALL, True, name, self.now)
        claim = Record(name=name, purchase=purchase, amount=amount, took=unspent, keys=[name], stands=True)
        self.claims[name] = claim
        purchase.refunded += amount
        return True

    def claim(self, name, purchase, amount, *, refund=False, closed=False):
        claim = Record(name=name, purchase=purchase, amount=amount, took=Decimal(0), keys=[], stands=True)
        claim.closed = closed
        self.claims[name] = claim
        purchase.refunded += amount if refund else 0
        self.take(claim)

    def take(self, claim):
        """In proportion to the money; where all of it is claimed, no rounding is left over."""
        purchase, due = claim.purchase, self.share(claim)
        others = [o for o in self.claims.values() if o.purchase is purchase and o.stands and o is not claim]
        if claim.amount + sum(one.amount for one in others) >= purchase.amount:
            due = max(due, purchase.credits - sum(max(self.share(o), o.took) for o in others))
        if due > claim.took:
            key = f"{claim.name} {len(claim.keys)}"
            self.book.claw_back(purchase.name, due - claim.took, False, key, self.now)
            claim.took += sum(took + owed for _grant, took, owed in self.book.clawed[key])
            claim.keys.append(key)

    @staticmethod
    def share(claim):
        share = claim.purchase.credits * claim.amount / claim.purchase.amount
        return min(share.quantize(SIXTH, ROUND_FLOOR), claim.purchase.credits)

    def fall(self, claim):
        """What it took comes back; whoever else has a claim and found nothing, takes now."""
        claim.stands = False
        for key in claim.keys:
            self.book.restore(key, f"{key} back", self.now)
        for other in list(self.claims.values()):
            if other.stands and other.purchase is claim.purchase:
                self.take(other)
