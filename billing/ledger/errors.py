"""Errors of the ledger, with the figures behind them.

Invariant: a call that raises one of them has changed nothing, except that WalletUnreachable does not know.
"""

import datetime as dt
import uuid
from decimal import Decimal
from math import ceil
from typing import Annotated, Literal, NotRequired, TypedDict

from django.utils.translation import gettext as _

from core import idempotency
from core.amounts import LARGEST, LARGEST_BALANCE, counted, plain
from core.errors import DomainError
from core.fields import instant_or_none
from core.json_types import CreditsText, TimeText


class LedgerError(DomainError):
    """Base class: the move was refused. The message is for logs, `detail` for users of the API."""


class LargestBalance(TypedDict):
    largest_balance: CreditsText


class Shortfall(TypedDict):
    needed: CreditsText
    available: Annotated[CreditsText, "What this use can spend now."]
    debt: NotRequired[Annotated[CreditsText, "Credits owed after a refund or dispute; new credits repay it."]]


class LimitFigures(TypedDict):
    limit: Annotated[str, Literal["account", "project", "member", "key"]]
    maximum: CreditsText
    used: CreditsText
    resets_at: TimeText | None


class QuotaFigures(TypedDict):
    quota: str
    maximum: CreditsText
    used: CreditsText


class LeftOfCharge(TypedDict):
    left: Annotated[CreditsText, "What can still be returned of the charge."]


class Most(TypedDict):
    most: int


class AmountInvalid(LedgerError):
    """The amount is not a positive Decimal with at most six places and no more than core.amounts.LARGEST."""

    code, status, field = "out_of_range", 400, "credits"

    def __init__(self, amount: object) -> None:
        super().__init__(
            f"{amount!r} is not an amount of credits; expected a positive Decimal with at most six places,"
            f" no more than {LARGEST}"
        )
        self.amount = amount

    def detail(self) -> str:
        return _("The largest amount is %(largest)s credits.") % {"largest": plain(LARGEST)}


class BalanceTooLarge(LedgerError):
    """The credits would raise the balance, held credits included, above core.amounts.LARGEST_BALANCE."""

    code = "balance_too_large"

    def __init__(self) -> None:
        super().__init__(f"the balance would be more than {LARGEST_BALANCE} credits")

    def detail(self) -> str:
        return _("The balance would be more than %(largest_balance)s credits.") % self.extra()

    def extra(self) -> LargestBalance:
        return {"largest_balance": plain(LARGEST_BALANCE)}


class InsufficientCredits(LedgerError):
    """The grants that cover this use have fewer credits than it costs."""

    code, status = "insufficient_credits", 402

    def __init__(self, *, needed: Decimal, available: Decimal) -> None:
        super().__init__(f"{needed} credits are needed, {available} are available")
        self.needed = needed
        self.available = available

    def detail(self) -> str:
        return _("This costs %(needed)s. Available for it: %(available)s.") % {
            "needed": counted(self.needed),
            "available": counted(self.available),
        }

    def extra(self) -> Shortfall:
        return {"needed": plain(self.needed), "available": plain(self.available)}


class InDebt(InsufficientCredits):
    """The account owes credits that were taken back after they were spent; nothing can be charged."""

    def __init__(self, *, needed: Decimal, debt: Decimal) -> None:
        super().__init__(needed=needed, available=Decimal(0))
        self.debt = debt

    def detail(self) -> str:
        return _("The account owes %(debt)s after a refund or dispute. New credits repay it first.") % {
            "debt": counted(self.debt)
        }

    def extra(self) -> Shortfall:
        return {**super().extra(), "debt": plain(self.debt)}


class LimitReached(LedgerError):
    """The use would exceed the limit of a project, member or key in its window, or the account's budget."""

    code, status = "limit_reached", 429

    def __init__(
        self, *, limit: str, subject: str, maximum: Decimal, used: Decimal, resets_at: dt.datetime | None
    ) -> None:
        super().__init__(f"{limit} limit of {maximum} credits would be exceeded: {used} used")
        self.limit = limit
        self.subject = subject
        self.maximum = maximum
        self.used = used
        self.resets_at = resets_at

    def detail(self) -> str:
        sentence = {
            "account": _("The account's monthly budget of %(maximum)s is reached. Used: %(used)s."),
            "project": _("The project's limit of %(maximum)s is reached. Used: %(used)s."),
            "member": _("The member's limit of %(maximum)s is reached. Used: %(used)s."),
            "key": _("The key's limit of %(maximum)s is reached. Used: %(used)s."),
        }[self.limit]
        return sentence % {"maximum": counted(self.maximum), "used": counted(self.used)}

    def extra(self) -> LimitFigures:
        return {
            "limit": self.limit,
            "maximum": plain(self.maximum),
            "used": plain(self.used),
            "resets_at": instant_or_none(self.resets_at),
        }

    def headers(self, now: dt.datetime) -> dict[str, str]:
        if self.resets_at is None:
            return {}
        return {"Retry-After": str(max(1, ceil((self.resets_at - now).total_seconds())))}


class QuotaReached(LedgerError):
    """The use would exceed a quota of the plan, such as files."""

    code, status = "quota_reached", 403

    def __init__(self, *, quota: str, maximum: Decimal, used: Decimal) -> None:
        super().__init__(f"plan quota of {maximum} {quota} would be exceeded: {used} used")
        self.quota = quota
        self.maximum = maximum
        self.used = used

    def detail(self) -> str:
        return (
            _("The plan allows %(maximum)s of “%(quota)s”; %(used)s are used. A larger plan may allow more.")
            % self.extra()
        )

    def extra(self) -> QuotaFigures:
        return {"quota": self.quota, "maximum": plain(self.maximum), "used": plain(self.used)}


class KeyReused(LedgerError):
    """The idempotency key has been used with a different body."""

    code, status = "idempotency_key_reused", 422

    def __init__(self, key: str) -> None:
        super().__init__(f"idempotency key {key!r} has been used with a different body")
        self.key = key

    def detail(self) -> str:
        return idempotency.reused().detail


class NotFound(LedgerError):
    code, status = "not_found", 404

    def detail(self) -> str:
        return ""


class UnknownWallet(NotFound):
    code = "unknown_account"

    def __init__(self, account_id: uuid.UUID) -> None:
        super().__init__(f"account {account_id} has no wallet")
        self.account_id = account_id


class UnknownCharge(NotFound):
    def __init__(self, charge_id: uuid.UUID) -> None:
        super().__init__(f"account has no charge {charge_id}")
        self.charge_id = charge_id


class UnknownClawBack(NotFound):
    def __init__(self, key: str) -> None:
        super().__init__(f"account has no claw-back {key!r}")
        self.key = key


class NotReversible(LedgerError):
    """The requested reversal exceeds what has not been reversed of the charge."""

    code = "not_reversible"

    def __init__(self, *, asked: Decimal, left: Decimal) -> None:
        super().__init__(f"requested {asked} credits, {left} of the charge can be reversed")
        self.asked = asked
        self.left = left

    def detail(self) -> str:
        return _("%(asked)s cannot be returned. Left of this charge: %(left)s.") % {
            "asked": counted(self.asked),
            "left": counted(self.left),
        }

    def extra(self) -> LeftOfCharge:
        return {"left": plain(self.left)}


class AlreadyRestored(LedgerError):
    code = "already_restored"

    def __init__(self, key: str) -> None:
        super().__init__(f"claw-back {key!r} has been restored already")
        self.key = key


class AlreadyExpired(LedgerError):
    """The grant would expire before it is given."""

    code, status, field = "in_the_past", 400, "expires_at"

    def __init__(self, expires_at: dt.datetime | None) -> None:
        super().__init__(f"grant would have expired at {expires_at}")
        self.expires_at = expires_at

    def detail(self) -> str:
        return _("Credits with an expiry in the past cannot be granted.")


class TooManyGrants(LedgerError):
    """The account has so many grants with credits left that another one would make its moves slow."""

    code, status = "too_many_grants", 409

    def __init__(self, most: int) -> None:
        super().__init__(f"the account has {most} grants with credits left")
        self.most = most

    def detail(self) -> str:
        return (
            _("The account has %(most)d grants with credits left, the maximum. Grant more credits at a time.")
            % self.extra()
        )

    def extra(self) -> Most:
        return {"most": self.most}


class WalletBusy(LedgerError):
    """The wallet was locked, or had much to settle, for longer than a batch waits. Nothing was charged."""

    code = "account_busy"

    def __init__(self, account_id: uuid.UUID) -> None:
        super().__init__(f"the wallet of account {account_id} is in use")
        self.account_id = account_id

    def detail(self) -> str:
        return _("The account is in use by another request. Send this item again with the same key.")


class WalletUnreachable(LedgerError):
    """The node of the wallet did not answer, so it is not known whether it was charged."""

    code, status = "account_unreachable", 503

    def __init__(self, account_id: uuid.UUID) -> None:
        super().__init__(f"the node of account {account_id} does not answer")
        self.account_id = account_id

    def detail(self) -> str:
        return _("It is not known whether this item was charged. Send it again with the same key.")


class WalletUnusable(LedgerError):
    """The database refuses every charge of this wallet, for example because an amount no longer fits."""

    code = "account_unusable"

    def __init__(self, account_id: uuid.UUID) -> None:
        super().__init__(f"the wallet of account {account_id} cannot be charged")
        self.account_id = account_id

    def detail(self) -> str:
        return _("The account's balance cannot be changed at present. Contact support.")
