"""Stripe Checkout: open the payment page of a purchase and apply its result.

Invariants: a purchase is committed before Stripe is called and always has the same Checkout session (its id
is the idempotency key); when the buyer returns, the session is fetched, so that credits do not wait for the
webhook.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import translation

from billing import stripe_gateway
from billing.models import Purchase
from billing.payments import customers, fulfilment, page_language, recovery, return_links, taxes
from billing.purchases import create, plan_checkout
from billing.stripe_gateway import StripeObject
from billing.subscriptions import prices
from core import locks
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import payment_methods

# Type of Stripe's bank transfers by currency (pricing.catalogue.payment_methods has no others).
_BANK_TRANSFERS: dict[str, StripeObject] = {
    "usd": {"type": "us_bank_transfer"},
    "eur": {"type": "eu_bank_transfer", "eu_bank_transfer": {"country": "DE"}},
    "gbp": {"type": "gb_bank_transfer"},
    "jpy": {"type": "jp_bank_transfer"},
    "mxn": {"type": "mx_bank_transfer"},
}
MAX_URL_LENGTH = 2000


def open_page(purchase: Purchase, now: datetime) -> str:
    """URL of the payment page, or of the result if nothing is left to pay. Safe to repeat: same page.

    Raises stripe_gateway.StripeError, create.AlreadySubscribed, create.PlanPaymentPending.
    """
    if purchase.settled or purchase.status == Purchase.Status.PENDING:
        return return_url(purchase)
    create.require_payable(purchase)
    if purchase.checkout_url:
        return str(purchase.checkout_url)
    if purchase.amount == 0:
        payment = fulfilment.Payment(amount=0, currency=purchase.currency)
        fulfilment.record_payment(purchase.pk, payment, now)
        return return_url(purchase)
    with locks.lock(f"checkout {purchase.account_id}"):  # of two clicks at once, the second finds the session
        purchase.refresh_from_db(fields=["checkout_url", "stripe_session_id", "status"])
        if purchase.status == Purchase.Status.CREATED and not purchase.checkout_url:
            _create_session(purchase, now)
    return str(purchase.checkout_url) or return_url(purchase)


def _create_session(purchase: Purchase, now: datetime) -> None:
    def find_or_create(customer: str) -> StripeObject:
        return _earlier_session(purchase, customer, now) or stripe_gateway.create_checkout_session(
            key=f"checkout:{purchase.pk.hex}:{customer}", params=_params(purchase, customer)
        )

    try:
        session = customers.with_customer(purchase.account, find_or_create, email=_email(purchase))
    except stripe_gateway.InvalidRequest as error:  # for good: the purchase's discount code is free again
        with translation.override(settings.LANGUAGE_CODE):
            reason = str(error)
        fulfilment.mark_failed(purchase.pk, reason=reason, now=now, notify=False)
        raise
    purchase.stripe_session_id, purchase.checkout_url = session["id"], session["url"] or ""
    purchase.save(update_fields=["stripe_session_id", "checkout_url"])
    if purchase.kind == Purchase.Kind.PACK:
        apply_session(purchase, session, now)
    elif session["status"] != "open":
        plan_checkout.synchronize(purchase, now)


def _earlier_session(purchase: Purchase, customer: str, now: datetime) -> StripeObject | None:
    """The session of a purchase that is older than Stripe keeps idempotency keys, if one was created."""
    if now - purchase.created_at < stripe_gateway.IDEMPOTENCY_KEYS_HOLD:
        return None
    since = purchase.created_at - timedelta(hours=1)
    for session in stripe_gateway.list_checkout_sessions(since, customer=customer):
        if session.get("client_reference_id") == purchase.public_id:
            return session
    return None


def refresh_from_stripe(purchase: Purchase, now: datetime) -> Purchase:
    """Fetch the Checkout session of an open purchase and apply it.

    Raises stripe_gateway.StripeError, and what plan_checkout.synchronize raises.
    """
    if purchase.settled or not purchase.stripe_session_id:
        return purchase
    _synchronize(purchase, now)
    purchase.refresh_from_db()
    return purchase


def _synchronize(purchase: Purchase, now: datetime) -> None:
    if purchase.kind == Purchase.Kind.PLAN:
        plan_checkout.synchronize(purchase, now)
    else:
        session = stripe_gateway.retrieve_checkout_session(str(purchase.stripe_session_id))
        apply_session(purchase, session, now)


def apply_session(purchase: Purchase, session: StripeObject, now: datetime) -> None:
    """Bring a pack's purchase to the status of its Checkout session, from a response or an event."""
    if session.get("payment_status") in {"paid", "no_payment_required"}:
        fulfilment.record_payment(purchase.pk, _payment(session), now)
    elif session.get("status") == "complete" and _has_failed(session):
        fulfilment.mark_failed(purchase.pk, reason=fulfilment.REFUSED_OR_MISSING, now=now)
    elif session.get("status") == "complete":
        url = _instructions_url(session)
        fulfilment.mark_pending(
            purchase.pk,
            method=_method(session),
            now=now,
            instructions_url=url,
            tax=taxes.of_session(session),
        )
    elif session.get("status") == "expired":
        fulfilment.mark_cancelled(purchase.pk, now)


def cancel(purchase: Purchase, now: datetime) -> Purchase:
    """Cancel a purchase: its Checkout session is expired first, so that it cannot be paid afterwards.

    A purchase that was paid in the meantime stays paid. Raises stripe_gateway.StripeUnavailable.
    """
    if purchase.stripe_session_id and purchase.status == Purchase.Status.CREATED:
        try:
            stripe_gateway.expire_checkout_session(purchase.stripe_session_id)
        except stripe_gateway.InvalidRequest:  # completed or expired meanwhile
            _synchronize(purchase, now)
        else:
            fulfilment.mark_cancelled(purchase.pk, now)
    else:
        fulfilment.mark_cancelled(purchase.pk, now)
    purchase.refresh_from_db()
    return purchase


def return_url(purchase: Purchase) -> str:
    return return_links.url("payment_returned", purchase.public_id)


def _has_failed(session: StripeObject) -> bool:
    """Whether the payment of a completed session failed later; only a retrieved session says so."""
    intent = session.get("payment_intent")
    return isinstance(intent, dict) and intent.get("status") in plan_checkout.FAILED_PAYMENT


def _payment(session: StripeObject) -> fulfilment.Payment:
    intent = session.get("payment_intent")
    expanded: StripeObject = intent if isinstance(intent, dict) else {}
    charge = expanded.get("latest_charge")
    charge = charge if isinstance(charge, dict) else {}
    return fulfilment.Payment(
        amount=int(session.get("amount_total") or 0),
        currency=str(session.get("currency") or ""),
        payment_id=expanded.get("id") or (intent if isinstance(intent, str) else None),
        method=_method(session),
        receipt_url=str(charge.get("receipt_url") or "")[:MAX_URL_LENGTH],
        account=str((session.get("metadata") or {}).get("account", "")),
        tax=taxes.of_session(session),
    )


def _method(session: StripeObject) -> str:
    """Type of the payment method that was used; empty when the session does not say."""
    intent = session.get("payment_intent")
    charge = intent.get("latest_charge") if isinstance(intent, dict) else None
    details = charge.get("payment_method_details") if isinstance(charge, dict) else None
    if details:
        return str(details.get("type") or "")
    types = session.get("payment_method_types") or []
    return str(types[0]) if len(types) == 1 else ""


def _instructions_url(session: StripeObject) -> str:
    """URL of Stripe's page with the bank details, if the buyer chose a bank transfer."""
    intent = session.get("payment_intent")
    action = intent.get("next_action") if isinstance(intent, dict) else None
    instructions = (action or {}).get("display_bank_transfer_instructions") or {}
    return str(instructions.get("hosted_instructions_url") or "")[:MAX_URL_LENGTH]


def _params(purchase: Purchase, customer: str) -> StripeObject:
    metadata = {"purchase": purchase.public_id, "account": purchase.account.public_id}
    params: dict[str, Any] = {
        "customer": customer,
        "client_reference_id": purchase.public_id,
        "metadata": {**metadata, **recovery.stripe_metadata(purchase)},
        "success_url": return_url(purchase),
        "cancel_url": return_links.url("payment_left", purchase.public_id),
        **page_language.params(purchase.language),
        **(taxes.session_params() if purchase.tax_behavior else {}),
    }
    if purchase.kind == Purchase.Kind.PLAN:
        price = prices.ensure_price(
            plan_key=purchase.offer,
            interval=purchase.interval,
            currency=purchase.currency,
            amount=purchase.amount,
            tax_behavior=purchase.tax_behavior,
        )
        return params | {
            "mode": "subscription",
            "line_items": [{"price": price, "quantity": 1}],
            **payment_method_params(
                payment_methods.of_plan(purchase.offer, purchase.currency), purchase.currency
            ),
            "subscription_data": {
                "metadata": {**metadata, "plan": purchase.offer},
                "billing_mode": stripe_gateway.BILLING_MODE,
            },
        }
    return params | {
        "mode": "payment",
        "line_items": [_line_item(purchase)],
        "payment_intent_data": {"metadata": metadata, "description": purchase.label},
        **payment_method_params(
            payment_methods.of_pack(purchase.offer, purchase.currency), purchase.currency
        ),
    }


def _line_item(purchase: Purchase) -> StripeObject:
    """One line item for all packs, because a discount need not divide by the quantity."""
    brand = catalogue_cache.current().brand
    name = f"{brand.name}: {purchase.label}" if brand else purchase.label
    data = {
        "currency": purchase.currency,
        "unit_amount": purchase.amount,
        "product_data": {"name": name, "metadata": {"pack": purchase.offer}, **taxes.product_data()},
    }
    if purchase.tax_behavior:
        data["tax_behavior"] = purchase.tax_behavior
    return {"price_data": data, "quantity": 1}


def payment_method_params(methods: list[str], currency: str) -> StripeObject:
    """The payment methods of a session, with the options that Stripe requires for them.

    https://docs.stripe.com/payments/wechat-pay/accept-a-payment,
    https://docs.stripe.com/payments/bank-transfers/accept-a-payment
    """
    options: dict[str, StripeObject] = {}
    if "customer_balance" in methods:
        options["customer_balance"] = {
            "funding_type": "bank_transfer",
            "bank_transfer": _BANK_TRANSFERS[currency],
        }
    if "wechat_pay" in methods:
        options["wechat_pay"] = {"client": "web"}
    return {"allowed_payment_method_types": methods} | (
        {"payment_method_options": options} if options else {}
    )


def _email(purchase: Purchase) -> str:
    return purchase.buyer.email if purchase.buyer else ""
