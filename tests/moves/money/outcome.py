"""What a move of money changed: read from the database and from Stripe before and after it.

The notation of a cell, six parts between bars:
credits gained | debt afterwards | credits left by kind | every fact that changed | money at Stripe | e-mails
A seventh part names the reason where the move was refused.
"""

from collections import Counter, defaultdict
from decimal import Decimal
from typing import NamedTuple

from billing import ledger
from billing.models import (
    AutoTopUp,
    Dispute,
    Mail,
    Promotion,
    Purchase,
    Referral,
    Refund,
    Subscription,
    SurplusSubscription,
)
from core.amounts import plain
from sandbox import store
from tests.moves.money.world import World


class Snapshot(NamedTuple):
    """All that a move may change."""

    credits: Decimal
    debt: Decimal
    grants: dict[str, Decimal]
    facts: dict[str, str]
    money: Counter[str]
    mails: Counter[str]


def read(world: World) -> Snapshot:
    balance = world.balance()
    grants: defaultdict[str, Decimal] = defaultdict(Decimal)
    for grant in balance.grants:
        grants[grant.kind] += grant.remaining + grant.held
    return Snapshot(
        credits=balance.total,
        debt=balance.debt,
        grants={kind: amount for kind, amount in grants.items() if amount >= Decimal("0.01")},
        facts=_facts(world),
        money=_money(),
        mails=Counter(Mail.objects.filter(account=world.account).values_list("template", flat=True)),
    )


def described(before: Snapshot, after: Snapshot) -> str:
    """The outcome in the notation of the table."""
    facts = [f"{name}: {fact}" for name, fact in after.facts.items() if before.facts.get(name) != fact]
    gone = [f"{name}: gone" for name in before.facts if name not in after.facts]
    money = {currency: after.money[currency] - before.money[currency] for currency in sorted(after.money)}
    mails = after.mails - before.mails
    return " | ".join(
        [
            f"{_number(after.credits - before.credits)}",
            f"owes {_number(after.debt)}",
            ", ".join(f"{kind} {_number(after.grants[kind])}" for kind in sorted(after.grants)) or "nothing",
            "; ".join(facts + gone) or "unchanged",
            ", ".join(f"{amount} {currency}" for currency, amount in money.items() if amount) or "0",
            ", ".join(sorted(mails.elements())) or "no mail",
        ]
    )


def _number(credits: Decimal) -> str:
    """Credits to two decimals, cut off."""
    return plain(credits.quantize(Decimal("0.01"), "ROUND_DOWN")).replace("-0.00", "0")


class _Facts(dict[str, str]):
    """Facts by name; the second one of a name is numbered."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def add(self, name: str, fact: str) -> None:
        self.seen[name] += 1
        self[name if self.seen[name] == 1 else f"{name} {self.seen[name]}"] = fact


def _facts(world: World) -> dict[str, str]:
    facts = _Facts()
    _add_payments(facts, world)
    facts.add("plan in force", _subscription(world.subscription))
    if statuses := sorted(body["status"] for body in store.where("subscription")):
        facts.add("at Stripe", ", ".join(statuses))
    for customer in store.where("customer"):
        if customer["balance"]:
            facts.add("balance at Stripe", str(-customer["balance"]))
    for row in SurplusSubscription.objects.filter(account=world.account):
        facts.add("surplus", f"{row.reason} {'cancelled' if row.cancelled_at else 'not cancelled'}")
    for referral in Referral.objects.filter(invited=world.account):
        inviter = ledger.balance(referral.inviter_id, world.balance().as_of).total
        facts.add("referral", f"{referral.state}, inviter has {_number(inviter)}")
    for promotion in Promotion.objects.filter(from_catalogue=False).order_by("code"):
        facts.add(promotion.code, f"used {promotion.redeemed}")
    for settings in AutoTopUp.objects.filter(account=world.account):
        facts.add("automatic", _automatic(settings))
    return facts


def _add_payments(facts: _Facts, world: World) -> None:
    names = {"auto_top_up": "top-up", "renewal": "invoice"}
    # invoices of one instant by their amounts: their keys contain ids of Stripe
    purchases = Purchase.objects.filter(account=world.account).order_by("created_at", "amount")
    for purchase in sorted(purchases, key=lambda one: (one.created_at, _own_key(one))):
        returned = f" less {purchase.refunded}" if purchase.refunded else ""
        facts.add(names.get(purchase.origin, purchase.kind), f"{purchase.status} {purchase.amount}{returned}")
    for refund in Refund.objects.filter(account=world.account).order_by("created_at", "-amount"):
        facts.add("refund", f"{refund.status} {refund.amount} for {_number(refund.credits)}")
    for dispute in Dispute.objects.filter(account=world.account).order_by("created_at", "pk"):
        facts.add("dispute", f"{dispute.status} for {_number(dispute.credits)}")


def _own_key(purchase: Purchase) -> str:
    return "" if purchase.origin == "renewal" else purchase.idempotency_key


def _subscription(subscription: Subscription) -> str:
    parts = [f"{subscription.plan} {subscription.state}"]
    if subscription.interval == "year":
        parts.append("by the year")
    if subscription.paid_until:
        parts.append(f"paid to {subscription.paid_until:%-d %b}")
    if subscription.amount:
        parts.append(f"at {subscription.amount}")
    if subscription.next_plan:
        parts.append(f"then {subscription.next_plan} at {subscription.next_amount}")
    if subscription.cancel_at_period_end:
        parts.append("then ends")
    if subscription.pending_plan:
        parts.append(f"{subscription.pending_plan} waits")
    if subscription.unpaid_credits:
        parts.append(f"{_number(subscription.unpaid_credits)} unpaid")
    return ", ".join(parts)


def _automatic(settings: AutoTopUp) -> str:
    parts = [settings.last_outcome or "not tried"]
    if settings.failures:
        parts.append(f"{settings.failures} failed")
    if settings.suspended_card:
        parts.append("suspended")
    if settings.payment_to_confirm:
        parts.append("to confirm")
    return ", ".join(parts)


def _money() -> Counter[str]:
    """Minor units that the seller has of all charges, by currency."""
    money: Counter[str] = Counter()
    for charge in store.where("charge"):
        if charge["status"] == "succeeded":
            money[charge["currency"]] += charge["amount"]
    for refund in store.where("refund"):
        if refund["status"] in {"succeeded", "pending"}:
            money[refund["currency"]] -= refund["amount"]
    for dispute in store.where("dispute"):
        for moved in dispute["balance_transactions"]:
            money[dispute["currency"]] += moved["amount"]
    return money
