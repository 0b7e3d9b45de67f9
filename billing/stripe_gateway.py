"""Stripe, as the rest of billing sees it: small typed functions that take and return plain values.

Invariants: this is the only module that imports stripe; every call that changes something carries an
idempotency key of ours, so that a repeated call is the same call; no call is made inside a database
transaction; what Stripe raises leaves here as one of the errors below. Amounts are minor units.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import stripe
from django.conf import settings
from django.db import transaction

Facts = dict[str, Any]  # an object of Stripe's as plain dicts and lists

CONNECT_SECONDS, READ_SECONDS = 3.05, 20
RETRIES = 2
# The key is being answered elsewhere at this moment, or was with other details, or our credentials are wrong:
# none of these says what became of the request, so that it must not count as refused.
_NO_ANSWER = (stripe.IdempotencyError, stripe.AuthenticationError, stripe.PermissionError)
SIGNATURE_TOLERANCE_SECONDS = 300


class StripeProblem(Exception):
    """Something went wrong between Stripe and us."""


class Unreachable(StripeProblem):
    """Stripe did not answer, or could not: the same call may be repeated later with the same key."""


class Declined(StripeProblem):
    """The bank said no. `code` is Stripe's decline code; the message is meant for the buyer."""

    def __init__(self, code: str, message: str, payment: Facts | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.payment = code, message, payment or {}


class AuthenticationNeeded(Declined):
    """The bank wants the card's holder to confirm: it cannot be done without the person."""


class NotAtStripe(StripeProblem):
    """Stripe does not know the object."""


class Rejected(StripeProblem):
    """Stripe refuses the request itself: our mistake, or a state that does not allow it."""


class SignatureInvalid(StripeProblem):
    """No secret of ours signed this payload, or it was signed too long ago."""


@lru_cache(maxsize=4)
def _client(secret_key: str, base: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        secret_key,
        base_addresses={"api": base},
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS)),
    )


def _call(ask: Callable[[Any], Any]) -> Facts:
    """Ask Stripe; its answer as plain dicts. Raises the errors above."""
    return plain(_ask(ask))


def _ask(ask: Callable[[Any], Any]) -> Any:
    with transaction.atomic(durable=True):
        """A RuntimeError here says: Stripe was about to be called inside a database transaction."""
    try:
        return ask(_client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE).v1)
    except stripe.CardError as error:
        raise _declined(error) from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise Unreachable(str(error)) from error
    except stripe.InvalidRequestError as error:
        if error.code == "resource_missing":
            raise NotAtStripe(str(error)) from error
        raise Rejected(str(error)) from error
    except (stripe.APIError, *_NO_ANSWER) as error:
        raise Unreachable(str(error)) from error
    except stripe.StripeError as error:
        raise Rejected(str(error)) from error


def _declined(error: Any) -> Declined:
    told = error.error
    code = (told.decline_code if told is not None else None) or error.code or "card_declined"
    payment = plain(told.payment_intent) if told is not None and told.payment_intent else {}
    kind = AuthenticationNeeded if "authentication_required" in {code, error.code} else Declined
    return kind(str(code), str(error.user_message or error), payment)


def plain(thing: Any) -> Facts:
    """A Stripe object as plain JSON: the SDK's Decimals become the strings that they were."""
    told: Facts = json.loads(json.dumps(thing.to_dict() if hasattr(thing, "to_dict") else thing, default=str))
    return told


def verified_event(payload: bytes, header: str | None) -> Facts:
    """The event in a webhook's body, if one of our secrets signed it in the last 300 s.

    Several secrets are valid while one is rotated. Raises SignatureInvalid.
    """
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(payload, header, secret, SIGNATURE_TOLERANCE_SECONDS)
            event = json.loads(payload)
        except (stripe.SignatureVerificationError, ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            return event
    raise SignatureInvalid


# Customers and cards


def create_customer(*, key: str, email: str, name: str, account: str) -> str:
    """A customer at Stripe for an account; its id."""
    params = {"email": email, "name": name, "metadata": {"account": account}}
    return str(_call(lambda v1: v1.customers.create(params, {"idempotency_key": key}))["id"])


def payment_method(payment_method_id: str) -> Facts:
    return _call(lambda v1: v1.payment_methods.retrieve(payment_method_id))


def setup_intent(setup_intent_id: str) -> Facts:
    return _call(lambda v1: v1.setup_intents.retrieve(setup_intent_id))


def prefer_card(*, key: str, customer: str, card: str) -> None:
    """Make a saved card the one that subscriptions and automatic top-ups use."""
    params = {"invoice_settings": {"default_payment_method": card}}
    _call(lambda v1: v1.customers.update(customer, params, {"idempotency_key": key}))


def default_card(customer: str) -> Facts | None:
    """The customer's default payment method, or None."""
    expand = {"expand": ["invoice_settings.default_payment_method"]}
    found = _call(lambda v1: v1.customers.retrieve(customer, expand))
    return (found.get("invoice_settings") or {}).get("default_payment_method")


def portal_url(*, customer: str, return_url: str) -> str:
    """A one-time address of Stripe's own page for card, address and invoices."""
    params = {"customer": customer, "return_url": return_url}
    return str(_call(lambda v1: v1.billing_portal.sessions.create(params))["url"])


# Checkout


def create_checkout(*, key: str, params: Facts) -> Facts:
    """A hosted payment page (billing.purchases.checkout says what stands on it)."""
    return _call(lambda v1: v1.checkout.sessions.create(params, {"idempotency_key": key}))


def checkout(session_id: str) -> Facts:
    """A checkout as it is now, with its payment and that payment's charge."""
    expand = {"expand": ["payment_intent.latest_charge"]}
    return _call(lambda v1: v1.checkout.sessions.retrieve(session_id, expand))


def expire_checkout(session_id: str) -> Facts:
    """Close a payment page that nobody shall use any more. Raises Rejected when it is paid or closed."""
    return _call(lambda v1: v1.checkout.sessions.expire(session_id))


# Payments and refunds


def charge_saved_card(*, key: str, params: Facts) -> Facts:
    """Take money from a saved card without the person. Raises Declined, AuthenticationNeeded."""
    told = {**params, "confirm": True, "off_session": True, "expand": ["latest_charge"]}
    return _call(lambda v1: v1.payment_intents.create(told, {"idempotency_key": key}))


def payment(payment_id: str) -> Facts:
    expand = {"expand": ["latest_charge"]}
    return _call(lambda v1: v1.payment_intents.retrieve(payment_id, expand))


def create_refund(*, key: str, payment_id: str, amount: int, refund: str) -> Facts:
    """Send money back. Raises Rejected when Stripe cannot."""
    params = {"payment_intent": payment_id, "amount": amount, "metadata": {"refund": refund}}
    return _call(lambda v1: v1.refunds.create(params, {"idempotency_key": key}))


def refund(refund_id: str) -> Facts:
    return _call(lambda v1: v1.refunds.retrieve(refund_id))


def refunds_of(charge_id: str) -> list[Facts]:
    """The refunds of a charge, the newest 100."""
    found: list[Facts] = _call(lambda v1: v1.refunds.list({"charge": charge_id, "limit": 100}))["data"]
    return found


def dispute(dispute_id: str) -> Facts:
    return _call(lambda v1: v1.disputes.retrieve(dispute_id))


# Subscriptions


def create_price(*, key: str, name: str, currency: str, amount: int, interval: str, plan: str) -> str:
    """A price object for a plan's figure; its id."""
    params = {
        "currency": currency,
        "unit_amount": amount,
        "recurring": {"interval": interval},
        "product_data": {"name": name, "metadata": {"plan": plan}},
        "metadata": {"plan": plan},
    }
    return str(_call(lambda v1: v1.prices.create(params, {"idempotency_key": key}))["id"])


def subscription(subscription_id: str) -> Facts:
    expand = {"expand": ["latest_invoice"]}
    return _call(lambda v1: v1.subscriptions.retrieve(subscription_id, expand))


def update_subscription(*, key: str, subscription_id: str, params: Facts) -> Facts:
    """Change a subscription. Raises Declined when the change costs money that the card does not give."""
    told = {**params, "expand": ["latest_invoice"]}
    return _call(lambda v1: v1.subscriptions.update(subscription_id, told, {"idempotency_key": key}))


def cancel_subscription_now(*, key: str, subscription_id: str) -> Facts:
    return _call(lambda v1: v1.subscriptions.cancel(subscription_id, {}, {"idempotency_key": key}))


def preview_change(*, customer: str, subscription_id: str, item: str, price: str, at: int) -> Facts:
    """The invoice that a new period at that price, credited from that Unix second, would make."""
    details = {
        "items": [{"id": item, "price": price}],
        "billing_cycle_anchor": {"type": "now"},
        "proration_behavior": "always_invoice",
        "proration_date": at,
    }
    params = {"customer": customer, "subscription": subscription_id, "subscription_details": details}
    return _call(lambda v1: v1.invoices.create_preview(params))


def invoice(invoice_id: str) -> Facts:
    expand = {"expand": ["payments"]}
    return _call(lambda v1: v1.invoices.retrieve(invoice_id, expand))


# What happened since (reconciliation)


def _walk(ask: Callable[[Any, Facts], Any], since: datetime) -> Iterator[Facts]:
    params: Facts = {"limit": 100, "created": {"gte": int(since.timestamp())}}
    page = _ask(lambda v1: ask(v1, params))
    while True:
        found = plain(page)
        yield from found["data"]
        if not found.get("has_more"):
            return
        params = {**params, "starting_after": found["data"][-1]["id"]}
        page = _ask(partial(_turn, ask, params))


def _turn(ask: Callable[[Any, Facts], Any], params: Facts, v1: Any) -> Any:
    return ask(v1, params)


def events_since(since: datetime) -> Iterator[Facts]:
    """Stripe's events, newest first (Stripe keeps 30 days of them)."""
    return _walk(lambda v1, params: v1.events.list(params), since)


def recent_events(limit: int) -> list[Facts]:
    """The newest events (Stripe gives at most 100 at once)."""
    return list(_call(lambda v1: v1.events.list({"limit": limit}))["data"])


def payments_since(since: datetime) -> Iterator[Facts]:
    return _walk(lambda v1, params: v1.payment_intents.list(params), since)


def checkouts_since(since: datetime) -> Iterator[Facts]:
    return _walk(lambda v1, params: v1.checkout.sessions.list(params), since)


def refunds_since(since: datetime) -> Iterator[Facts]:
    return _walk(lambda v1, params: v1.refunds.list(params), since)


def disputes_since(since: datetime) -> Iterator[Facts]:
    return _walk(lambda v1, params: v1.disputes.list(params), since)
