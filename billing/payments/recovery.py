"""Orders that our books have lost and Stripe still has: after yesterday's backup was restored.

Invariant: only what Stripe itself answered is believed here, never an event's body; a payment page carries
everything that its order said, so the order comes back with its own id and is then paid like any other.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounts.models import Account
from billing.models import Purchase
from billing.stripe_gateway import Facts
from core import amounts


def marks_of(purchase: Purchase) -> dict[str, str]:
    """What Stripe keeps beside a payment: enough to write its order again."""
    return {
        "kind": purchase.kind,
        "offer": purchase.offer,
        "quantity": str(purchase.quantity),
        "credits": amounts.plain(purchase.credits),
        "lasts": purchase.lasts,
        "label": purchase.label[:200],
    }


def restore(session: Facts, now: datetime) -> Purchase | None:
    """Write an order again from the payment page that Stripe has for it; None when it was none of ours."""
    facts = {"amount": int(session["amount_total"]), "origin": Purchase.Origin.PAGE}
    return _restore(session, facts | {"stripe_session_id": session["id"]})


def is_lost(intent: Facts) -> bool:
    """Whether an automatic payment names an order that our books do not have."""
    marks = intent.get("metadata") or {}
    return "credits" in marks and Purchase.with_public_id(str(marks.get("purchase", ""))) is None


def restore_top_up(intent: Facts, now: datetime) -> Purchase | None:
    """Write the order of an automatic top-up again from its payment; None when it was none of ours."""
    return _restore(intent, {"amount": int(intent["amount"]), "origin": Purchase.Origin.AUTO_TOP_UP})


def _restore(thing: Facts, facts: dict[str, Any]) -> Purchase | None:
    marks = thing.get("metadata") or {}
    order_id = Purchase.uuid_of(str(marks.get("purchase", "")))
    account = Account.with_public_id(str(marks.get("account", "")))
    credits = amounts.parse(str(marks.get("credits", "")))
    if order_id is None or account is None or credits is None or marks.get("kind") not in Purchase.Kind:
        return None
    purchase, _created = Purchase.objects.get_or_create(
        pk=order_id, defaults=_order(thing, marks, account, credits) | facts
    )
    return purchase


def _order(thing: Facts, marks: dict[str, Any], account: Account, credits: Decimal) -> dict[str, Any]:
    return {
        "account": account,
        "kind": marks["kind"],
        "offer": str(marks.get("offer", "")),
        "label": str(marks.get("label", "")),
        "quantity": int(marks.get("quantity") or 1),
        "credits": credits,
        "lasts": str(marks.get("lasts") or "forever"),
        "list_amount": int(thing.get("amount_total") or thing.get("amount") or 0),
        "currency": str(thing["currency"]),
        "idempotency_key": f"restored:{thing['id']}",
        "created_at": datetime.fromtimestamp(int(thing["created"]), tz=UTC),
    }
