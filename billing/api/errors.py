"""Errors of billing as problem documents. A core.errors.Refusal states its own code and status."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from billing import stripe_gateway
from billing.subscriptions import stripe_sync
from core.errors import Refusal
from core.problems import Problem, as_problem

NAMED: tuple[type[Exception], ...] = (
    Refusal,
    stripe_sync.UnmatchedObject,
    stripe_gateway.StripeError,
)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the named errors of what runs inside into problems."""
    try:
        yield
    except NAMED as error:
        raise problem_of(error) from error


def problem_of(error: Any) -> Problem:
    """The problem that one of NAMED stands for."""
    if isinstance(error, Refusal):
        return as_problem(error)
    if isinstance(error, stripe_gateway.CardDeclined):
        return Problem(402, "payment_declined", str(error), decline_code=error.code)
    if isinstance(error, stripe_gateway.StripeUnavailable):
        return Problem(
            503,
            "payment_provider_unreachable",
            _(
                "The payment provider did not answer, so the outcome is unknown. Send the same request again"
                " with the same Idempotency-Key."
            ),
            headers={"Retry-After": "5"},
        )
    return Problem(
        502, "payment_provider_refused", _("The payment provider rejected the request. Nothing was charged.")
    )
