"""Errors of the ledger, with the figures behind them.

Invariant: a call that raises one of them has changed nothing.
"""

import datetime as dt
import uuid
from decimal import Decimal


class LedgerError(Exception):
    """Base class: the move was refused."""


class AmountInvalid(LedgerError):
    """The amount is not a positive Decimal with at most six places that fits numeric(20,6)."""

    def __init__(self, amount: object) -> None:
        super().__init__(
            f"{amount!r} is not an amount of credits; expected a positive Decimal with at most six places"
        )
        self.amount = amount


class InsufficientCredits(LedgerError):
    """The grants that cover this use have fewer credits than it costs."""

    def __init__(self, *, needed: Decimal, available: Decimal) -> None:
        super().__init__(f"{needed} credits are needed, {available} are available")
        self.needed = needed
        self.available = available


class InDebt(InsufficientCredits):
    """The account owes credits that were taken back after they were spent; nothing can be charged."""

    def __init__(self, *, needed: Decimal, debt: Decimal) -> None:
        super().__init__(needed=needed, available=Decimal(0))
        self.debt = debt


class LimitReached(LedgerError):
    """The use would exceed the limit of a project, member or key in its window."""

    def __init__(
        self, *, limit: str, subject: str, maximum: Decimal, used: Decimal, resets_at: dt.datetime | None
    ) -> None:
        super().__init__(f"{limit} limit of {maximum} credits would be exceeded: {used} used")
        self.limit = limit
        self.subject = subject
        self.maximum = maximum
        self.used = used
        self.resets_at = resets_at


class QuotaReached(LedgerError):
    """The use would exceed a quota of the plan, such as files."""

    def __init__(self, *, quota: str, maximum: Decimal, used: Decimal) -> None:
        super().__init__(f"plan quota of {maximum} {quota} would be exceeded: {used} used")
        self.quota = quota
        self.maximum = maximum
        self.used = used


class KeyReused(LedgerError):
    """The idempotency key has been used with a different body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"idempotency key {key!r} has been used with a different body")
        self.key = key


class UnknownWallet(LedgerError):
    def __init__(self, account_id: uuid.UUID) -> None:
        super().__init__(f"account {account_id} has no wallet")
        self.account_id = account_id


class UnknownCharge(LedgerError):
    def __init__(self, charge_id: uuid.UUID) -> None:
        super().__init__(f"account has no charge {charge_id}")
        self.charge_id = charge_id


class UnknownHold(LedgerError):
    def __init__(self, hold_id: uuid.UUID) -> None:
        super().__init__(f"account has no hold {hold_id}")
        self.hold_id = hold_id


class UnknownClawBack(LedgerError):
    def __init__(self, key: str) -> None:
        super().__init__(f"account has no claw-back {key!r}")
        self.key = key


class HoldClosed(LedgerError):
    """The hold has been captured or released, or has expired."""

    def __init__(self, status: str) -> None:
        super().__init__(f"hold is already {status}")
        self.status = status


class NotReversible(LedgerError):
    """The requested reversal exceeds what has not been reversed of the charge."""

    def __init__(self, *, asked: Decimal, left: Decimal) -> None:
        super().__init__(f"requested {asked} credits, {left} of the charge can be reversed")
        self.asked = asked
        self.left = left


class AlreadyRestored(LedgerError):
    def __init__(self, key: str) -> None:
        super().__init__(f"claw-back {key!r} has been restored already")
        self.key = key


class AlreadyExpired(LedgerError):
    """The grant would expire before it is given."""

    def __init__(self, expires_at: dt.datetime | None) -> None:
        super().__init__(f"grant would have expired at {expires_at}")
        self.expires_at = expires_at
