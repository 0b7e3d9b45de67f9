"""Named errors of the house as problem documents: which status, which code, which figures, which way out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from math import ceil
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.authentication import unknown_account
from billing import ledger
from core import idempotency
from core.amounts import plain
from core.fields import instant_or_none
from core.problems import Problem, field_problem, not_found
from pricing.rates.lookup import ServiceUnpriced, UnknownService
from pricing.rates.validation import UsageInvalid
from usage import insufficient_credits, projects
from usage.entitlements import OwnKeyMissing

Ways = Callable[[UUID], list[dict[str, Any]]]
NAMED = (
    ledger.LedgerError,
    UnknownService,
    ServiceUnpriced,
    UsageInvalid,
    OwnKeyMissing,
    projects.UnknownProject,
    projects.UnknownMember,
    projects.NameTaken,
)


@contextmanager
def refusals(account_id: UUID, now: datetime) -> Iterator[None]:
    """Turn the named errors of what runs inside into problems."""
    try:
        yield
    except NAMED as error:
        raise problem_of(error, account_id, now) from error


def problem_of(error: Exception, account_id: UUID, now: datetime, *, ways: Ways | None = None) -> Problem:
    """The problem that one of NAMED stands for. `ways` finds the ways on, for who asks a thousand times."""
    if isinstance(error, ledger.InsufficientCredits):
        return _insufficient(
            error, ways(account_id) if ways else insufficient_credits.options(account_id, now)
        )
    if isinstance(error, UsageInvalid):
        return field_problem(error.field, error.code, error.message)
    if isinstance(error, UnknownService):
        return not_found(str(error), code=error.code)
    if isinstance(error, ServiceUnpriced | OwnKeyMissing | projects.NameTaken):
        return Problem(409, error.code, str(error))
    if isinstance(error, projects.UnknownProject | projects.UnknownMember):
        return not_found(str(error), code=error.code)
    return _of_ledger(error, now)


def _of_ledger(error: Exception, now: datetime) -> Problem:
    if isinstance(error, ledger.LimitReached):
        return _limit_reached(error, now)
    if isinstance(error, ledger.QuotaReached):
        return Problem(
            403,
            "quota_reached",
            _("The plan allows %(maximum)s of “%(quota)s”; %(used)s are used. A larger plan may allow more.")
            % {"quota": error.quota, "maximum": plain(error.maximum), "used": plain(error.used)},
            quota=error.quota,
            maximum=plain(error.maximum),
            used=plain(error.used),
        )
    if isinstance(error, ledger.KeyReused):
        return idempotency.reused()
    if isinstance(error, ledger.HoldClosed):
        detail = _("This hold is closed. Its status is %(status)s.") % {"status": error.status}
        return Problem(409, "hold_closed", detail, hold_status=error.status)
    if isinstance(error, ledger.NotReversible):
        return Problem(
            409,
            "not_reversible",
            _("%(asked)s credits cannot be returned. Only %(left)s credits of this charge are left.")
            % {"asked": plain(error.asked), "left": plain(error.left)},
            left=plain(error.left),
        )
    if isinstance(error, ledger.AlreadyExpired):
        return field_problem(
            "expires_at", "in_the_past", _("Credits with an expiry in the past cannot be granted.")
        )
    if isinstance(error, ledger.UnknownWallet):
        return unknown_account()
    if isinstance(error, ledger.UnknownCharge | ledger.UnknownHold):
        return not_found()
    if isinstance(error, ledger.AmountInvalid):
        return field_problem("credits", "out_of_range", _("The amount exceeds the maximum balance."))
    raise error


def _insufficient(error: ledger.InsufficientCredits, ways: list[dict[str, Any]]) -> Problem:
    figures: dict[str, Any] = {"needed": plain(error.needed), "available": plain(error.available)}
    detail = (
        _("This costs %(needed)s credits, but only %(available)s credits are available for it.") % figures
    )
    if isinstance(error, ledger.InDebt):
        figures["debt"] = plain(error.debt)
        detail = (
            _("The account owes %(debt)s credits after a refund or dispute. New credits repay it first.")
            % figures
        )
    return Problem(402, "insufficient_credits", detail, **figures, ways_on=ways)


def _limit_reached(error: ledger.LimitReached, now: datetime) -> Problem:
    headers = {}
    if error.resets_at is not None:
        headers["Retry-After"] = str(max(1, ceil((error.resets_at - now).total_seconds())))
    return Problem(
        429,
        "limit_reached",
        _("The %(limit)s's limit of %(maximum)s credits is reached: %(used)s are used.")
        % {"limit": error.limit, "maximum": plain(error.maximum), "used": plain(error.used)},
        headers=headers,
        limit=error.limit,
        maximum=plain(error.maximum),
        used=plain(error.used),
        resets_at=instant_or_none(error.resets_at),
    )
