"""What the ledger refuses, by name and with the figures. A refusal has changed nothing."""

import datetime as dt
import uuid
from decimal import Decimal


class LedgerError(Exception):
    """A move that was not made."""


class AmountInvalid(LedgerError):
    """The amount is no positive Decimal of at most six places within numeric(20,6)."""

    def __init__(self, amount: object) -> None:
        super().__init__(
            f"{amount!r} is no amount of credits: a positive Decimal with at most six places is due"
        )
        self.amount = amount


class InsufficientCredits(LedgerError):
    """What may pay for this use is less than it costs."""

    def __init__(self, *, needed: Decimal, available: Decimal) -> None:
        super().__init__(f"{needed} credits are needed, {available} are available")
        self.needed = needed
        self.available = available


class InDebt(InsufficientCredits):
    """Credits that were taken back had been spent already: nothing can be charged until they are repaid."""

    def __init__(self, *, needed: Decimal, debt: Decimal) -> None:
        super().__init__(needed=needed, available=Decimal(0))
        self.debt = debt


class LimitReached(LedgerError):
    """A project, member or key may not take that much in its window."""

    def __init__(
        self, *, limit: str, subject: str, maximum: Decimal, used: Decimal, resets_at: dt.datetime | None
    ) -> None:
        super().__init__(f"the {limit}'s limit of {maximum} is reached: {used} used")
        self.limit = limit
        self.subject = subject
        self.maximum = maximum
        self.used = used
        self.resets_at = resets_at


class QuotaReached(LedgerError):
    """A counted allowance of the plan (such as files) is used up."""

    def __init__(self, *, quota: str, maximum: Decimal, used: Decimal) -> None:
        super().__init__(f"the plan allows {maximum} {quota}: {used} used")
        self.quota = quota
        self.maximum = maximum
        self.used = used


class KeyReused(LedgerError):
    """The idempotency key was used before, with another body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used before with another body")
        self.key = key


class UnknownWallet(LedgerError):
    def __init__(self, account_id: uuid.UUID) -> None:
        super().__init__(f"account {account_id} has no wallet")
        self.account_id = account_id


class UnknownCharge(LedgerError):
    def __init__(self, charge_id: uuid.UUID) -> None:
        super().__init__(f"the account has no charge {charge_id}")
        self.charge_id = charge_id


class UnknownHold(LedgerError):
    def __init__(self, hold_id: uuid.UUID) -> None:
        super().__init__(f"the account has no hold {hold_id}")
        self.hold_id = hold_id


class UnknownClawBack(LedgerError):
    def __init__(self, key: str) -> None:
        super().__init__(f"the account has no claw-back {key!r}")
        self.key = key


class HoldClosed(LedgerError):
    """The hold was captured, released or has expired."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the hold is {status} already")
        self.status = status


class NotReversible(LedgerError):
    """More than what is left of the charge was asked back."""

    def __init__(self, *, asked: Decimal, left: Decimal) -> None:
        super().__init__(f"{asked} asked back, {left} left of the charge")
        self.asked = asked
        self.left = left


class AlreadyRestored(LedgerError):
    def __init__(self, key: str) -> None:
        super().__init__(f"the claw-back {key!r} is undone already")
        self.key = key


class AlreadyExpired(LedgerError):
    """A grant whose expiry is past cannot be given."""

    def __init__(self, expires_at: dt.datetime | None) -> None:
        super().__init__(f"a grant that expired at {expires_at} cannot be given")
        self.expires_at = expires_at
