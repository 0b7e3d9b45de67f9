"""Calls to the Stripe API as small typed functions that take and return plain values.

Invariants: this is the only module that imports stripe; every POST carries an idempotency key chosen by the
caller, so that a repeated call has one effect (https://docs.stripe.com/api/idempotent_requests); no request
is made inside a database transaction; errors of the SDK leave this module as one of the classes below.
Amounts are in minor units, times in Unix seconds.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import stripe
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from core.errors import DomainError

StripeObject = dict[str, Any]  # an object of the Stripe API as plain dicts and lists

CONNECT_SECONDS, READ_SECONDS = 3.05, 20
RETRIES = 2
SIGNATURE_TOLERANCE_SECONDS = 300
# An IdempotencyError means that another request with the key is in progress or had other parameters; the
# other two mean wrong credentials. None of them shows whether an earlier request with the key took effect.
_OUTCOME_UNKNOWN = (stripe.IdempotencyError, stripe.AuthenticationError, stripe.PermissionError)


class StripeError(DomainError):
    """Base class of the errors of this module."""

    code, status = "payment_provider_refused", 502

    def detail(self) -> str:
        return _("The payment provider rejected the request. Nothing was charged.")


class StripeUnavailable(StripeError):
    """No usable response: the outcome is unknown. Repeat the call with the same idempotency key."""

    code, status = "payment_provider_unreachable", 503

    def detail(self) -> str:
        return _(
            "The payment provider did not answer, so the outcome is unknown. Send the same request again"
            " with the same Idempotency-Key."
        )

    def headers(self, now: datetime) -> dict[str, str]:
        return {"Retry-After": "5"}


class CardDeclined(StripeError):
    """The payment was declined. `message` may be shown to the customer.

    Stripe's user-facing messages: https://docs.stripe.com/declines/codes
    """

    code, status = "payment_declined", 402

    def __init__(self, decline_code: str, message: str, payment: StripeObject | None = None) -> None:
        super().__init__(message)
        self.decline_code, self.message, self.payment = decline_code, message, payment or {}

    def detail(self) -> str:
        return self.message

    def extra(self) -> dict[str, str]:
        return {"decline_code": self.decline_code}


class AuthenticationRequired(CardDeclined):
    """The bank requires the cardholder to authenticate the payment (3D Secure)."""


class ResourceMissing(StripeError):
    """The object does not exist at Stripe (error code `resource_missing`)."""


class InvalidRequest(StripeError):
    """Stripe refused the request: invalid parameters, or a state that does not allow it."""


class SignatureVerificationError(StripeError):
    """The payload is not signed with one of the configured secrets, or the signature is too old."""


@lru_cache(maxsize=4)
def _client(secret_key: str, base: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        secret_key,
        base_addresses={"api": base},
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS)),
    )


def _call(send: Callable[[Any], Any]) -> StripeObject:
    """Send a request and return the response as plain dicts. Raises the errors above."""
    return to_plain(_request(send))


def _request(send: Callable[[Any], Any]) -> Any:
    """Map the SDK's errors to those above (https://docs.stripe.com/error-handling)."""
    with transaction.atomic(durable=True):
        """Raises RuntimeError when the caller is inside a database transaction."""
    try:
        return send(_client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE).v1)
    except stripe.CardError as error:
        raise _card_declined(error) from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise StripeUnavailable(str(error)) from error
    except stripe.InvalidRequestError as error:
        if error.code == "resource_missing":
            raise ResourceMissing(str(error)) from error
        raise InvalidRequest(str(error)) from error
    except (stripe.APIError, *_OUTCOME_UNKNOWN) as error:
        raise StripeUnavailable(str(error)) from error
    except stripe.StripeError as error:
        raise InvalidRequest(str(error)) from error


def _card_declined(error: Any) -> CardDeclined:
    details = error.error
    code = (details.decline_code if details is not None else None) or error.code or "card_declined"
    payment = to_plain(details.payment_intent) if details is not None and details.payment_intent else {}
    kind = AuthenticationRequired if "authentication_required" in {code, error.code} else CardDeclined
    return kind(str(code), str(error.user_message or error), payment)


def to_plain(response: Any) -> StripeObject:
    """Convert a response to plain JSON values; the SDK's Decimals become the strings that were received."""
    data = response.to_dict() if hasattr(response, "to_dict") else response
    plain: StripeObject = json.loads(json.dumps(data, default=str))
    return plain


def construct_event(payload: bytes, header: str | None) -> StripeObject:
    """The event in a webhook request whose signature is valid and at most 300 seconds old.

    Several secrets are valid while one is being rotated
    (https://docs.stripe.com/webhooks#roll-endpoint-secrets). Raises SignatureVerificationError.
    """
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(payload, header, secret, SIGNATURE_TOLERANCE_SECONDS)
            event = json.loads(payload)
        except (stripe.SignatureVerificationError, ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            return event
    raise SignatureVerificationError


# Customers and payment methods


def create_customer(*, key: str, email: str, name: str, account: str) -> str:
    """Create the customer of an account and return its id. `account` is the account's public id."""
    params = {"email": email, "name": name, "metadata": {"account": account}}
    return str(_call(lambda v1: v1.customers.create(params, {"idempotency_key": key}))["id"])


def retrieve_payment_method(payment_method_id: str) -> StripeObject:
    return _call(lambda v1: v1.payment_methods.retrieve(payment_method_id))


def retrieve_setup_intent(setup_intent_id: str) -> StripeObject:
    return _call(lambda v1: v1.setup_intents.retrieve(setup_intent_id))


def set_default_payment_method(*, key: str, customer: str, card: str) -> None:
    """Use a saved card for invoices. A card saved on a subscription takes precedence for its invoices."""
    params = {"invoice_settings": {"default_payment_method": card}}
    _call(lambda v1: v1.customers.update(customer, params, {"idempotency_key": key}))


def retrieve_default_payment_method(customer: str) -> StripeObject | None:
    """The customer's default payment method, or None."""
    expand = {"expand": ["invoice_settings.default_payment_method"]}
    found = _call(lambda v1: v1.customers.retrieve(customer, expand))
    return (found.get("invoice_settings") or {}).get("default_payment_method")


def create_portal_session(*, customer: str, return_url: str) -> str:
    """The short-lived URL of a customer portal session (https://docs.stripe.com/customer-management)."""
    params = {"customer": customer, "return_url": return_url}
    return str(_call(lambda v1: v1.billing_portal.sessions.create(params))["url"])


# Checkout sessions


def create_checkout_session(*, key: str, params: StripeObject) -> StripeObject:
    """Create a hosted payment page; billing.purchases.checkout builds the parameters."""
    return _call(lambda v1: v1.checkout.sessions.create(params, {"idempotency_key": key}))


def retrieve_checkout_session(session_id: str) -> StripeObject:
    """A Checkout Session, expanded with its payment and that payment's latest charge."""
    expand = {"expand": ["payment_intent.latest_charge"]}
    return _call(lambda v1: v1.checkout.sessions.retrieve(session_id, expand))


def expire_checkout_session(session_id: str) -> StripeObject:
    """Close an open payment page. Raises InvalidRequest when it is already complete or expired."""
    return _call(lambda v1: v1.checkout.sessions.expire(session_id))


# Payments, refunds and disputes


def create_off_session_payment(*, key: str, params: StripeObject) -> StripeObject:
    """Charge a saved card without the customer present. Raises CardDeclined, AuthenticationRequired."""
    details = {**params, "confirm": True, "off_session": True, "expand": ["latest_charge"]}
    return _call(lambda v1: v1.payment_intents.create(details, {"idempotency_key": key}))


def retrieve_payment_intent(payment_id: str) -> StripeObject:
    """A PaymentIntent, expanded with its latest charge."""
    expand = {"expand": ["latest_charge"]}
    return _call(lambda v1: v1.payment_intents.retrieve(payment_id, expand))


def create_refund(*, key: str, payment_id: str, amount: int, refund: str) -> StripeObject:
    """Refund part of a payment; `refund` is our refund's public id. Raises InvalidRequest."""
    params = {"payment_intent": payment_id, "amount": amount, "metadata": {"refund": refund}}
    return _call(lambda v1: v1.refunds.create(params, {"idempotency_key": key}))


def retrieve_refund(refund_id: str) -> StripeObject:
    return _call(lambda v1: v1.refunds.retrieve(refund_id))


def list_refunds_of_charge(charge_id: str) -> list[StripeObject]:
    """The newest 100 refunds of a charge."""
    found: list[StripeObject] = _call(lambda v1: v1.refunds.list({"charge": charge_id, "limit": 100}))["data"]
    return found


def retrieve_dispute(dispute_id: str) -> StripeObject:
    return _call(lambda v1: v1.disputes.retrieve(dispute_id))


# Subscriptions


def create_price(*, key: str, name: str, currency: str, amount: int, interval: str, plan: str) -> str:
    """Create the Price of a plan for an interval and currency and return its id."""
    params = {
        "currency": currency,
        "unit_amount": amount,
        "recurring": {"interval": interval},
        "product_data": {"name": name, "metadata": {"plan": plan}},
        "metadata": {"plan": plan},
    }
    return str(_call(lambda v1: v1.prices.create(params, {"idempotency_key": key}))["id"])


def retrieve_subscription(subscription_id: str) -> StripeObject:
    """A Subscription, expanded with its latest invoice."""
    expand = {"expand": ["latest_invoice"]}
    return _call(lambda v1: v1.subscriptions.retrieve(subscription_id, expand))


def update_subscription(*, key: str, subscription_id: str, params: StripeObject) -> StripeObject:
    """Update a subscription. Raises CardDeclined when an immediate payment for the change fails."""
    details = {**params, "expand": ["latest_invoice"]}
    return _call(lambda v1: v1.subscriptions.update(subscription_id, details, {"idempotency_key": key}))


def create_invoice_preview(
    *, customer: str, subscription_id: str, item: str, price: str, at: int
) -> StripeObject:
    """The invoice of a new period at another price, with the old price credited from the second `at`.

    Stripe prorates to the second: the update has to carry the same `proration_date` to cost the same
    (https://docs.stripe.com/billing/subscriptions/prorations).
    """
    details = {
        "items": [{"id": item, "price": price}],
        "billing_cycle_anchor": {"type": "now"},
        "proration_behavior": "always_invoice",
        "proration_date": at,
    }
    params = {"customer": customer, "subscription": subscription_id, "subscription_details": details}
    return _call(lambda v1: v1.invoices.create_preview(params))


def retrieve_invoice(invoice_id: str) -> StripeObject:
    """An Invoice, expanded with its payments."""
    expand = {"expand": ["payments"]}
    return _call(lambda v1: v1.invoices.retrieve(invoice_id, expand))


# Lists of objects created since a time (reconciliation)


def _paginate(fetch: Callable[[Any, StripeObject], Any], since: datetime) -> Iterator[StripeObject]:
    """All objects created since a time, newest first (https://docs.stripe.com/api/pagination)."""
    params: StripeObject = {"limit": 100, "created": {"gte": int(since.timestamp())}}
    page = to_plain(_request(partial(_fetch_page, fetch, params)))
    while True:
        yield from page["data"]
        if not page.get("has_more"):
            return
        params = {**params, "starting_after": page["data"][-1]["id"]}
        page = to_plain(_request(partial(_fetch_page, fetch, params)))


def _fetch_page(fetch: Callable[[Any, StripeObject], Any], params: StripeObject, v1: Any) -> Any:
    return fetch(v1, params)


def list_events(since: datetime) -> Iterator[StripeObject]:
    """Events created since a time, newest first. Stripe keeps 30 days (https://docs.stripe.com/api/events)."""
    return _paginate(lambda v1, params: v1.events.list(params), since)


def list_recent_events(limit: int) -> list[StripeObject]:
    """The newest events, at most 100."""
    return list(_call(lambda v1: v1.events.list({"limit": limit}))["data"])


def list_payment_intents(since: datetime) -> Iterator[StripeObject]:
    return _paginate(lambda v1, params: v1.payment_intents.list(params), since)


def list_checkout_sessions(since: datetime) -> Iterator[StripeObject]:
    return _paginate(lambda v1, params: v1.checkout.sessions.list(params), since)


def list_refunds(since: datetime) -> Iterator[StripeObject]:
    return _paginate(lambda v1, params: v1.refunds.list(params), since)


def list_disputes(since: datetime) -> Iterator[StripeObject]:
    return _paginate(lambda v1, params: v1.disputes.list(params), since)
