"""What a move of money changed: read from the database and from Stripe before and after it.

The notation of a cell, six parts between bars:
credits gained | debt afterwards | credits left by kind | every fact that changed | money at Stripe | e-mails
A seventh part names the reason where the move was refused.
"""

import json
from collections import Counter, defaultdict
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from billing import ledger
from core.amounts import plain
from sandbox import store
from tests.moves.money.world import World

OF_ACCOUNT = "account_id = %(account)s"
# The tables whose rows are compared, in which order they are named, and which of their rows.
TABLES = {
    "purchase": (
        "created_at, amount",
        OF_ACCOUNT,
    ),  # those of one instant by amounts: keys contain Stripe's ids
    "refund": ("created_at, amount desc", OF_ACCOUNT),
    "dispute": ("created_at, id", OF_ACCOUNT),
    "subscription": ("id", OF_ACCOUNT),
    "surplussubscription": ("id", OF_ACCOUNT),
    "referral": ("id", "invited_id = %(account)s"),
    "promotion": ("code", "not from_catalogue"),
    "autotopup": ("account_id", OF_ACCOUNT),
    "mail": ("id", OF_ACCOUNT),
}
KINDS = ["subscription", "customer", "charge", "refund", "dispute"]
_AT_STRIPE = """(select json_agg(body order by position desc) from sandbox_resource
    where kind = any(%(kinds)s) and environment = %(environment)s)::text"""
_STATEMENT = "select " + ", ".join(
    [
        f"(select json_agg(x order by {order}) from billing_{table} x where {condition})::text"
        for table, (order, condition) in TABLES.items()
    ]
    + [_AT_STRIPE]
)


class Snapshot(NamedTuple):
    """All that a move may change."""

    credits: Decimal
    debt: Decimal
    grants: dict[str, Decimal]
    facts: dict[str, str]
    money: Counter[str]
    mails: Counter[str]


class _Rows(NamedTuple):
    """Rows by table, and Stripe's objects by kind, newest first."""

    of: dict[str, list[Any]]
    at_stripe: dict[str, list[dict[str, Any]]]


def read(world: World) -> Snapshot:
    balance, rows = world.balance(), _read(world)
    grants: defaultdict[str, Decimal] = defaultdict(Decimal)
    for grant in balance.grants:
        grants[grant.kind] += grant.remaining + grant.held
    return Snapshot(
        credits=balance.total,
        debt=balance.debt,
        grants={kind: amount for kind, amount in grants.items() if amount >= Decimal("0.01")},
        facts=_facts(rows, balance.as_of),
        money=_money(rows.at_stripe),
        mails=Counter(mail.template for mail in rows.of["mail"]),
    )


def _read(world: World) -> _Rows:
    """Read everything with one query: an outcome is read for each of more than six hundred cells."""
    values: dict[str, Any] = {"account": world.account.pk, "kinds": KINDS, "environment": store.environment()}
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, values)
        *tables, objects = cursor.fetchone()
    at_stripe: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for body in json.loads(objects or "[]"):
        at_stripe[body["object"]].append(body)
    found = [
        json.loads(rows or "[]", parse_float=Decimal, object_hook=lambda row: SimpleNamespace(**row))
        for rows in tables
    ]
    return _Rows(dict(zip(TABLES, found, strict=True)), at_stripe)


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


def _facts(rows: _Rows, now: datetime) -> dict[str, str]:
    facts = _Facts()
    _add_payments(facts, rows.of)
    [subscription] = rows.of["subscription"]
    facts.add("plan in force", _subscription(subscription))
    if statuses := sorted(body["status"] for body in rows.at_stripe["subscription"]):
        facts.add("at Stripe", ", ".join(statuses))
    for customer in rows.at_stripe["customer"]:
        if customer["balance"]:
            facts.add("balance at Stripe", str(-customer["balance"]))
    for row in rows.of["surplussubscription"]:
        facts.add("surplus", f"{row.reason} {'cancelled' if row.cancelled_at else 'not cancelled'}")
    for referral in rows.of["referral"]:
        inviter = ledger.balance(UUID(referral.inviter_id), now).total
        facts.add("referral", f"{referral.state}, inviter has {_number(inviter)}")
    for promotion in rows.of["promotion"]:
        facts.add(promotion.code, f"used {promotion.redeemed}")
    for settings in rows.of["autotopup"]:
        facts.add("automatic", _automatic(settings))
    return facts


def _add_payments(facts: _Facts, rows: dict[str, list[Any]]) -> None:
    names = {"auto_top_up": "top-up", "renewal": "invoice"}
    for purchase in sorted(rows["purchase"], key=lambda one: (one.created_at, _own_key(one))):
        returned = f" less {purchase.refunded}" if purchase.refunded else ""
        facts.add(names.get(purchase.origin, purchase.kind), f"{purchase.status} {purchase.amount}{returned}")
    for refund in rows["refund"]:
        facts.add("refund", f"{refund.status} {refund.amount} for {_number(refund.credits)}")
    for dispute in rows["dispute"]:
        facts.add("dispute", f"{dispute.status} for {_number(dispute.credits)}")


def _own_key(purchase: Any) -> str:
    return "" if purchase.origin == "renewal" else str(purchase.idempotency_key)


def _subscription(subscription: Any) -> str:
    parts = [f"{subscription.plan} {subscription.state}"]
    if subscription.interval == "year":
        parts.append("by the year")
    if subscription.paid_until:
        parts.append(f"paid to {datetime.fromisoformat(subscription.paid_until):%-d %b}")
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


def _automatic(settings: Any) -> str:
    parts = [settings.last_outcome or "not tried"]
    if settings.failures:
        parts.append(f"{settings.failures} failed")
    if settings.suspended_card:
        parts.append("suspended")
    if settings.payment_to_confirm:
        parts.append("to confirm")
    return ", ".join(parts)


def _money(at_stripe: dict[str, list[dict[str, Any]]]) -> Counter[str]:
    """Minor units that the seller has of all charges, by currency."""
    money: Counter[str] = Counter()
    for charge in at_stripe["charge"]:
        if charge["status"] == "succeeded":
            money[charge["currency"]] += charge["amount"]
    for refund in at_stripe["refund"]:
        if refund["status"] in {"succeeded", "pending"}:
            money[refund["currency"]] -= refund["amount"]
    for dispute in at_stripe["dispute"]:
        for moved in dispute["balance_transactions"]:
            money[dispute["currency"]] += moved["amount"]
    return money
