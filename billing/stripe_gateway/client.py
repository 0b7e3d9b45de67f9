"""The Stripe client, the errors of its calls and the verification of webhook signatures.

Invariants: the modules of this package are the only ones that import stripe; every POST carries an
idempotency key chosen by the caller, so that a call repeated within 24 hours has one effect
(https://docs.stripe.com/api/idempotent_requests); no request is made inside a database transaction; errors of
the SDK leave this package as one of the classes below. Amounts are in minor units, times in Unix seconds.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import stripe
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from core.errors import DomainError

StripeObject = dict[str, Any]  # an object of the Stripe API as plain dicts and lists

API_VERSION = str(stripe.api_version)  # the version that the SDK sends and the handlers understand
CONNECT_SECONDS, READ_SECONDS = 3.05, 20
RETRIES = 2
# Stripe prunes keys that are at least 24 hours old (https://docs.stripe.com/api/idempotent_requests). When an
# older request may be repeated, its effect is looked up first.
IDEMPOTENCY_KEYS_HOLD = timedelta(hours=23)
SIGNATURE_TOLERANCE_SECONDS = 300
# An IdempotencyError means that another request with the key is in progress or had other parameters; the
# other two mean wrong credentials. None of them shows whether an earlier request with the key took effect.
_OUTCOME_UNKNOWN = (stripe.IdempotencyError, stripe.AuthenticationError, stripe.PermissionError)


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
