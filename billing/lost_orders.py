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


def restore(session: Facts, now: datetime) -> Purchase | None:
    """Write an order again from the payment page that Stripe has for it; None when it was none of ours."""
    marks = session.get("metadata") or {}
    order_id = Purchase.uuid_of(str(marks.get("purchase", "")))
    account = Account.with_public_id(str(marks.get("account", "")))
    credits = amounts.parse(str(marks.get("credits", "")))
    if order_id is None or account is None or credits is None or marks.get("kind") not in Purchase.Kind:
        return None
    purchase, _created = Purchase.objects.get_or_create(
        pk=order_id, defaults=_order(session, marks, account, credits)
    )
    return purchase


def _order(session: Facts, marks: dict[str, Any], account: Account, credits: Decimal) -> dict[str, Any]:
    amount = int(session["amount_total"])
    return {
        "account": account,
        "kind": marks["kind"],
        "origin": Purchase.Origin.PAGE,
        "offer": str(marks.get("offer", "")),
        "label": str(marks.get("label", "")),
        "quantity": int(marks.get("quantity") or 1),
        "credits": credits,
        "lasts": str(marks.get("lasts") or "forever"),
        "amount": amount,
        "list_amount": amount,
        "currency": str(session["currency"]),
        "idempotency_key": f"restored:{session['id']}",
        "stripe_session_id": session["id"],
        "created_at": datetime.fromtimestamp(int(session["created"]), tz=UTC),
    }
