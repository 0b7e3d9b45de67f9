"""From an order to Stripe's payment page and back.

Invariants: the order is committed before Stripe hears of it, and the same order always has the same payment
page (its key); coming back, Stripe is asked what happened, so that credits do not wait for the webhook.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from billing import stripe_gateway
from billing.models import Purchase
from billing.payments import cards, fulfilment, recovery
from billing.stripe_gateway import Facts
from billing.subscriptions import stripe_prices, stripe_sync
from core import locks
from pricing.catalogue import cache as catalogue_cache

# Countries of Stripe's bank transfers, by currency; where there is none, the method is not offered.
_BANK_TRANSFERS: dict[str, Facts] = {
    "usd": {"type": "us_bank_transfer"},
    "eur": {"type": "eu_bank_transfer", "eu_bank_transfer": {"country": "DE"}},
    "gbp": {"type": "gb_bank_transfer"},
    "jpy": {"type": "jp_bank_transfer"},
    "mxn": {"type": "mx_bank_transfer"},
}
MOST_URL = 2000


def open_page(purchase: Purchase, now: datetime) -> str:
    """Where the buyer pays (or, if nothing is left to pay, sees the outcome). Raises stripe_gateway's errors.

    Calling it again gives the same page: a second click is not a second order.
    """
    if purchase.settled or purchase.status == Purchase.Status.PENDING:
        return return_url(purchase)
    if purchase.checkout_url:
        return str(purchase.checkout_url)
    if purchase.amount == 0:
        free = fulfilment.Payment(amount=0, currency=purchase.currency)
        fulfilment.paid(purchase.pk, free, now)
        return return_url(purchase)
    with locks.lock(f"checkout {purchase.account_id}"):  # two clicks at once: the second finds the page made
        purchase.refresh_from_db(fields=["checkout_url", "stripe_session_id"])
        if not purchase.checkout_url:
            _make_page(purchase)
    return str(purchase.checkout_url)


def _make_page(purchase: Purchase) -> None:
    customer = cards.customer_of(purchase.account, email=_email(purchase))
    session = stripe_gateway.create_checkout(
        key=f"checkout:{purchase.pk.hex}", params=_params(purchase, customer)
    )
    purchase.stripe_session_id, purchase.checkout_url = session["id"], session["url"] or ""
    purchase.save(update_fields=["stripe_session_id", "checkout_url"])


def refresh(purchase: Purchase, now: datetime) -> Purchase:
    """Ask Stripe what became of an open order and record it. Raises stripe_gateway's errors."""
    if purchase.settled or not purchase.stripe_session_id:
        return purchase
    session = stripe_gateway.checkout(purchase.stripe_session_id)
    if session.get("mode") == "subscription" and session.get("subscription"):
        stripe_sync.sync(str(session["subscription"]), now)
    record(purchase, session, now)
    purchase.refresh_from_db()
    return purchase


def record(purchase: Purchase, session: Facts, now: datetime) -> None:
    """Bring a purchase to what a checkout session says (from Stripe's answer or from an event)."""
    if session.get("mode") == "subscription":
        # The invoice records its money (subscriptions.stripe_sync); only the end of the page matters here.
        if session.get("status") == "expired":
            fulfilment.cancelled(purchase.pk, now)
        return
    if session.get("payment_status") in {"paid", "no_payment_required"}:
        fulfilment.paid(purchase.pk, _payment(session), now)
    elif session.get("status") == "complete":
        url = _instructions_url(session)
        fulfilment.pending(purchase.pk, method=_method(session), now=now, instructions_url=url)
    elif session.get("status") == "expired":
        fulfilment.cancelled(purchase.pk, now)


def cancel(purchase: Purchase, now: datetime) -> Purchase:
    """The buyer gives the order up: its payment page is closed first, so that it cannot be paid any more.

    If it was paid in the meantime, that is what counts. Raises stripe_gateway.Unreachable.
    """
    if purchase.stripe_session_id and purchase.status == Purchase.Status.CREATED:
        try:
            session = stripe_gateway.expire_checkout(purchase.stripe_session_id)
        except stripe_gateway.Rejected:
            session = stripe_gateway.checkout(purchase.stripe_session_id)
        record(purchase, session, now)
    else:
        fulfilment.cancelled(purchase.pk, now)
    purchase.refresh_from_db()
    return purchase


def return_url(purchase: Purchase) -> str:
    return f"{settings.SITE_URL}{reverse('purchase_return', args=[purchase.public_id])}"


def _payment(session: Facts) -> fulfilment.Payment:
    intent = session.get("payment_intent")
    told: Facts = intent if isinstance(intent, dict) else {}
    charge = told.get("latest_charge")
    charged: Facts = charge if isinstance(charge, dict) else {}
    return fulfilment.Payment(
        amount=int(session.get("amount_total") or 0),
        currency=str(session.get("currency") or ""),
        payment_id=told.get("id") or (intent if isinstance(intent, str) else None),
        method=_method(session),
        receipt_url=str(charged.get("receipt_url") or "")[:MOST_URL],
        account=str((session.get("metadata") or {}).get("account", "")),
    )


def _method(session: Facts) -> str:
    """The kind of payment method that was used, as far as Stripe's answer tells."""
    intent = session.get("payment_intent")
    charge = intent.get("latest_charge") if isinstance(intent, dict) else None
    details = charge.get("payment_method_details") if isinstance(charge, dict) else None
    if details:
        return str(details.get("type") or "")
    known = session.get("payment_method_types") or []
    return str(known[0]) if len(known) == 1 else ""


def _instructions_url(session: Facts) -> str:
    """Where a bank transfer's account number stands, if the buyer chose one."""
    intent = session.get("payment_intent")
    action = intent.get("next_action") if isinstance(intent, dict) else None
    told = (action or {}).get("display_bank_transfer_instructions") or {}
    return str(told.get("hosted_instructions_url") or "")[:MOST_URL]


def _params(purchase: Purchase, customer: str) -> Facts:
    marks = {"purchase": purchase.public_id, "account": purchase.account.public_id}
    cancel_url = f"{settings.SITE_URL}{reverse('purchase_left', args=[purchase.public_id])}"
    params: dict[str, Any] = {
        "customer": customer,
        "client_reference_id": purchase.public_id,
        "metadata": {**marks, **recovery.marks_of(purchase)},
        "success_url": return_url(purchase),
        "cancel_url": cancel_url,
    }
    if purchase.kind == Purchase.Kind.PLAN:
        price = stripe_prices.price_of(
            plan_key=purchase.offer,
            interval=purchase.interval,
            currency=purchase.currency,
            amount=purchase.amount,
        )
        return params | {
            "mode": "subscription",
            "line_items": [{"price": price, "quantity": 1}],
            "subscription_data": {"metadata": {**marks, "plan": purchase.offer}},
        }
    return params | {
        "mode": "payment",
        "line_items": [_line(purchase)],
        "payment_intent_data": {"metadata": marks, "description": purchase.label},
        **methods(purchase.currency),
    }


def _line(purchase: Purchase) -> Facts:
    """One line for the whole order: a discount need not divide by the quantity."""
    brand = catalogue_cache.current().brand
    name = f"{brand.name}: {purchase.label}" if brand else purchase.label
    data = {
        "currency": purchase.currency,
        "unit_amount": purchase.amount,
        "product_data": {"name": name, "metadata": {"pack": purchase.offer}},
    }
    return {"price_data": data, "quantity": 1}


def methods(currency: str) -> Facts:
    """The catalogue's ways of paying, as far as Stripe has them in this currency."""
    wanted = list(catalogue_cache.current().policies.payment_methods)
    options: dict[str, Facts] = {}
    if "customer_balance" in wanted:
        if currency in _BANK_TRANSFERS:
            options["customer_balance"] = {
                "funding_type": "bank_transfer",
                "bank_transfer": _BANK_TRANSFERS[currency],
            }
        else:
            wanted.remove("customer_balance")
    if "wechat_pay" in wanted:
        options["wechat_pay"] = {"client": "web"}
    return {"allowed_payment_method_types": wanted} | ({"payment_method_options": options} if options else {})


def _email(purchase: Purchase) -> str:
    return purchase.buyer.email if purchase.buyer else ""
