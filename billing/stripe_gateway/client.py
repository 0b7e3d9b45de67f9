"""The Stripe client, the errors of its calls and the verification of webhook signatures.

Invariants: the modules of this package are the only ones that import stripe; every POST that creates, changes
or charges carries an idempotency key chosen by the caller, so that a call repeated within 24 hours has one
effect (https://docs.stripe.com/api/idempotent_requests); portal sessions and expirations have the SDK's own
key, which covers its network retries; no request is made inside a database transaction; errors of the SDK
leave this package as one of the classes below. Amounts are in minor units, times in Unix seconds.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypedDict

import stripe
import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.errors import DomainError

log = structlog.get_logger(__name__)
StripeObject = dict[str, Any]  # an object of the Stripe API as plain dicts and lists

API_VERSION = str(stripe.api_version)  # the version that the SDK sends and the handlers understand
CONNECT_SECONDS, READ_SECONDS = 3.05, 20
RETRIES = 2
_REFUSED = "stripe_access_refused"  # cache key
_SHOWN_SECONDS, _ALERT_SECONDS = 24 * 3600, 15 * 60
# Stripe prunes keys that are at least 24 hours old (https://docs.stripe.com/api/idempotent_requests). When an
# older request may be repeated, its effect is looked up first.
IDEMPOTENCY_KEYS_HOLD = timedelta(hours=23)
SIGNATURE_TOLERANCE_SECONDS = 300
# The latter is that of invoices.pay, whose error does not contain the PaymentIntent
# (https://docs.stripe.com/error-codes#invoice-payment-intent-requires-action).
_AUTHENTICATION = {"authentication_required", "invoice_payment_intent_requires_action"}
_PERMISSION = re.compile(r"'(?:rak_)?([a-z_]+_(?:read|write))'")


class StripeError(DomainError):
    """Base class of the errors of this package."""

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


class KeyReused(StripeUnavailable):
    """The idempotency key has been used with other parameters, whose outcome this request does not show.

    Callers that can see at Stripe what the earlier request did, recover from it.
    """


class AccessRefused(StripeUnavailable):
    """Stripe refuses our secret key (401), or the key has not the permission for this request (403).

    This request had no effect; whether an earlier one with the same idempotency key had, is unknown, so a
    caller keeps what it has begun. Staff are alerted; repeating the request does not help until they act.
    `permission` is the missing permission of a restricted key, empty when the key itself is refused.
    """

    code, status = "payment_provider_misconfigured", 502

    def __init__(self, message: str, permission: str = "") -> None:
        super().__init__(message)
        self.permission = permission

    def detail(self) -> str:
        return _(
            "Payments are not available at the moment because of a problem in our payment settings. We have"
            " been notified. You do not need to do anything: a payment that you have made is not lost."
        )

    def headers(self, now: datetime) -> dict[str, str]:
        return {}


class Decline(TypedDict):
    decline_code: str


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

    def extra(self) -> Decline:
        return {"decline_code": self.decline_code}


class AuthenticationRequired(CardDeclined):
    """The bank requires the cardholder to authenticate the payment (3D Secure)."""


class ResourceMissing(StripeError):
    """The object does not exist at Stripe (error code `resource_missing`); `param` is its parameter."""

    def __init__(self, message: str, param: str = "") -> None:
        super().__init__(message)
        self.param = param


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


def call(send: Callable[[Any], Any]) -> StripeObject:
    """Send a request and return the response as plain dicts. Raises the errors above."""
    return to_plain(request(send))


def request(send: Callable[[Any], Any]) -> Any:
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
            raise ResourceMissing(str(error), error.param or "") from error
        raise InvalidRequest(str(error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise _access_refused(str(error)) from error
    except stripe.IdempotencyError as error:
        in_progress = error.code == "idempotency_key_in_use"
        raise (StripeUnavailable if in_progress else KeyReused)(str(error)) from error
    except stripe.APIError as error:
        raise StripeUnavailable(str(error)) from error
    except stripe.StripeError as error:
        raise InvalidRequest(str(error)) from error


def _access_refused(message: str) -> AccessRefused:
    """The error of a refused key, after an alert that names the missing permission."""
    found = _PERMISSION.search(message)
    permission = found[1] if found else ""
    cache.set(_REFUSED, {"permission": permission, "at": timezone.now().isoformat()}, _SHOWN_SECONDS)
    if cache.add(f"{_REFUSED}:{permission}", True, _ALERT_SECONDS):
        log.error("stripe_access_refused", alert=True, permission=permission or "secret key", reason=message)
    return AccessRefused(message, permission)


def last_refusal() -> dict[str, str] | None:
    """The missing permission and the time of the last refused request, for staff; None: none lately."""
    refusal: dict[str, str] | None = cache.get(_REFUSED)
    return refusal


def _card_declined(error: Any) -> CardDeclined:
    details = error.error
    code = (details.decline_code if details is not None else None) or error.code or "card_declined"
    payment = to_plain(details.payment_intent) if details is not None and details.payment_intent else {}
    kind = AuthenticationRequired if _AUTHENTICATION & {code, error.code} else CardDeclined
    return kind(str(code), str(error.user_message or error), payment)


def to_plain(response: Any) -> StripeObject:
    """Convert a response to plain JSON values; the SDK's Decimals become the strings that were received."""
    data = response.to_dict() if hasattr(response, "to_dict") else response
    plain: StripeObject = json.loads(json.dumps(data, default=str))
    return plain


def verify_signature(payload: bytes, header: str | None) -> None:
    """Raises SignatureVerificationError unless a webhook's signature is valid and at most 300 seconds old.

    Several secrets are valid while one is being rotated
    (https://docs.stripe.com/webhooks#roll-endpoint-secrets).
    """
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(payload, header, secret, SIGNATURE_TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, ValueError):
            continue
        return
    raise SignatureVerificationError
