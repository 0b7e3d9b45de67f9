"""Restore purchases that exist at Stripe and not in the database, after an older backup was restored.

Invariant: only objects fetched from Stripe are used, never an event's body. Stripe's metadata carries every
field of the purchase, so it is restored with its own id and then paid like any other.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounts.models import Account
from billing.models import Purchase
from billing.payments import taxes
from billing.stripe_gateway import StripeObject
from core import amounts


def stripe_metadata(purchase: Purchase) -> dict[str, str]:
    """The metadata stored with a payment at Stripe: enough to restore its purchase."""
    return {
        "kind": purchase.kind,
        "offer": purchase.offer,
        "quantity": str(purchase.quantity),
        "credits": amounts.plain(purchase.credits),
        "lasts": purchase.lasts,
        "label": purchase.label[:200],
    }


def is_missing(intent: StripeObject) -> bool:
    """Whether an automatic payment names a purchase that is not in the database."""
    metadata = intent.get("metadata") or {}
    return "credits" in metadata and Purchase.with_public_id(str(metadata.get("purchase", ""))) is None


def restore_from_session(session: StripeObject) -> Purchase | None:
    """Restore a purchase from its Checkout session; None when the metadata is not ours."""
    tax = taxes.of_session(session)
    fields = {
        "amount": int(session["amount_total"]) - (tax.added if tax else 0),
        "tax_behavior": (taxes.EXCLUSIVE if tax.added else "inclusive") if tax else "",
        "origin": Purchase.Origin.PAGE,
    }
    return _restore(session, fields | {"stripe_session_id": session["id"]})


def restore_from_intent(intent: StripeObject) -> Purchase | None:
    """Restore an automatic top-up's purchase from its payment intent; None when the metadata is not ours."""
    return _restore(intent, {"amount": int(intent["amount"]), "origin": Purchase.Origin.AUTO_TOP_UP})


def _restore(stripe_object: StripeObject, fields: dict[str, Any]) -> Purchase | None:
    metadata = stripe_object.get("metadata") or {}
    purchase_id = Purchase.uuid_of(str(metadata.get("purchase", "")))
    account = Account.with_public_id(str(metadata.get("account", "")))
    credits = amounts.parse(str(metadata.get("credits", "")))
    known_kind = metadata.get("kind") in Purchase.Kind
    if purchase_id is None or account is None or credits is None or not known_kind:
        return None
    defaults = (
        {"list_amount": fields["amount"]} | _fields_of(stripe_object, metadata, account, credits) | fields
    )
    purchase, _created = Purchase.objects.get_or_create(pk=purchase_id, defaults=defaults)
    return purchase


def _fields_of(
    stripe_object: StripeObject, metadata: dict[str, Any], account: Account, credits: Decimal
) -> dict[str, Any]:
    return {
        "account": account,
        "kind": metadata["kind"],
        "offer": str(metadata.get("offer", "")),
        "label": str(metadata.get("label", "")),
        "quantity": int(metadata.get("quantity") or 1),
        "credits": credits,
        "lasts": str(metadata.get("lasts") or "forever"),
        "currency": str(stripe_object["currency"]),
        "idempotency_key": f"restored:{stripe_object['id']}",
        "created_at": datetime.fromtimestamp(int(stripe_object["created"]), tz=UTC),
    }
