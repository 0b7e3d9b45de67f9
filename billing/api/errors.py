"""Named errors of billing as problem documents: which status, which code, which field."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from billing import offers, stripe_gateway
from billing.promotions import redemption
from billing.purchases import auto_top_up_settings, create
from billing.refunds import requests
from billing.subscriptions import lifecycle, previews, stripe_sync
from core import idempotency
from core.problems import Problem, field_problem, not_found

_CONFLICTS = (
    create.AlreadySubscribed,
    create.ConfirmationNeeded,
    previews.ChangeRefused,
    previews.Stale,
    requests.RefundRefused,
)
_FIELDS = (offers.CurrencyUnknown, create.OrderInvalid, auto_top_up_settings.SettingsInvalid)
NAMED: tuple[type[Exception], ...] = (
    *_CONFLICTS,
    *_FIELDS,
    offers.OfferGone,
    offers.PaidPlanNeeded,
    redemption.CodeRefused,
    create.OrderKeyReused,
    lifecycle.PlanClosed,
    stripe_sync.NotOurs,
    stripe_gateway.StripeProblem,
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
    if isinstance(error, _FIELDS):
        return field_problem(error.field, error.code, str(error))
    if isinstance(error, offers.OfferGone):
        return not_found(str(error), code=f"unknown_{error.field}")
    if isinstance(error, redemption.CodeRefused):
        unknown = error.code == "unknown_code"
        return not_found(str(error), code=error.code) if unknown else Problem(409, error.code, str(error))
    if isinstance(error, offers.PaidPlanNeeded | lifecycle.PlanClosed):
        return Problem(403, error.code, str(error))
    if isinstance(error, create.OrderKeyReused):
        return idempotency.reused()
    if isinstance(error, stripe_gateway.Declined):
        return Problem(402, "payment_declined", str(error), decline_code=error.code)
    if isinstance(error, stripe_gateway.Unreachable):
        return Problem(
            503,
            "payment_provider_unreachable",
            _(
                "The payment provider did not answer, so the outcome is unknown. Send the same request again"
                " with the same Idempotency-Key."
            ),
            headers={"Retry-After": "5"},
        )
    if isinstance(error, stripe_gateway.StripeProblem | stripe_sync.NotOurs):
        return Problem(
            502,
            "payment_provider_refused",
            _("The payment provider rejected the request. Nothing was charged."),
        )
    return Problem(409, error.code, str(error))
