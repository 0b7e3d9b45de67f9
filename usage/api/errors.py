"""The 402 for insufficient credits, with the options that the account has, and the errors of a use."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from billing import ledger
from core.errors import DomainError
from pricing.lookup import ServiceUnpriced, UnknownService
from usage import entitlements, insufficient_credits, projects
from usage.insufficient_credits import WayOn


class Needed(ledger.Shortfall):
    ways_on: list[WayOn]


class InsufficientCredits(DomainError):
    """This use costs more than the credits that it can spend. `ways_on` lists what the account can do."""

    code, status = ledger.InsufficientCredits.code, ledger.InsufficientCredits.status

    def __init__(self, error: ledger.InsufficientCredits, ways_on: list[WayOn]) -> None:
        super().__init__(error.detail())
        self.error = error
        self.ways_on = ways_on

    def extra(self) -> Needed:
        return {**self.error.extra(), "ways_on": self.ways_on}


def insufficient(
    error: ledger.InsufficientCredits,
    account_id: UUID,
    now: datetime,
    *,
    options: Callable[[UUID, datetime], list[WayOn]] = insufficient_credits.options,
) -> InsufficientCredits:
    """The error with `ways_on`. A batch passes cached `options`."""
    return InsufficientCredits(error, options(account_id, now))


OF_ESTIMATE = (
    UnknownService,
    ServiceUnpriced,
    projects.UnknownProject,
    projects.UnknownMember,
    entitlements.OwnKeyMissing,
)
OF_USE = (*OF_ESTIMATE, InsufficientCredits, ledger.LimitReached, ledger.QuotaReached)
OF_BATCH_ITEM = (*OF_USE, ledger.WalletBusy, ledger.WalletUnreachable, ledger.WalletUnusable)
