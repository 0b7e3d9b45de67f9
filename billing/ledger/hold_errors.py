"""Errors of holds, with the figures behind them (see `errors.py`)."""

import uuid
from decimal import Decimal
from typing import Annotated, Literal, TypedDict

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.ledger.errors import LedgerError, Most, NotFound
from core.amounts import counted, plain
from core.json_types import CreditsText


class ClosedHold(TypedDict):
    hold_status: Annotated[str, Literal["captured", "released", "expired"]]


class LeftOfBudget(TypedDict):
    needed: CreditsText
    remaining: Annotated[CreditsText, "What is left of the parent hold for this use."]


class OpenChildren(TypedDict):
    children: int


class UnknownHold(NotFound):
    def __init__(self, hold_id: uuid.UUID) -> None:
        super().__init__(f"account has no hold {hold_id}")
        self.hold_id = hold_id


class HoldClosed(LedgerError):
    """The hold has been captured or released, or has expired."""

    code = "hold_closed"

    def __init__(self, status: str) -> None:
        super().__init__(f"hold is already {status}")
        self.hold_status = status

    def detail(self) -> str:
        return _("This hold is closed. Its status is %(status)s.") % {"status": self.hold_status}

    def extra(self) -> ClosedHold:
        return {"hold_status": self.hold_status}


class TooManyHolds(LedgerError):
    """As many holds of the account are running as the catalogue allows."""

    code, status = "too_many_holds", 409

    def __init__(self, most: int) -> None:
        super().__init__(f"the account has {most} running holds")
        self.most = most

    def detail(self) -> str:
        return (
            _("The account has %(most)d running holds, the maximum. Capture or release some, or wait.")
            % self.extra()
        )

    def extra(self) -> Most:
        return {"most": self.most}


class BudgetExceeded(LedgerError):
    """The parent hold has less left for this use than the child asks for."""

    code, status = "budget_exceeded", 402

    def __init__(self, *, needed: Decimal, remaining: Decimal) -> None:
        super().__init__(f"{needed} credits are needed, {remaining} remain of the parent hold")
        self.needed = needed
        self.remaining = remaining

    def detail(self) -> str:
        return _("This needs %(needed)s. Left of the parent hold for it: %(remaining)s.") % {
            "needed": counted(self.needed),
            "remaining": counted(self.remaining),
        }

    def extra(self) -> LeftOfBudget:
        return {"needed": plain(self.needed), "remaining": plain(self.remaining)}


class TreeTooDeep(LedgerError):
    """The parent hold is as deep in its tree as a hold can be."""

    code, status = "tree_too_deep", 409

    def __init__(self, most: int) -> None:
        super().__init__(f"the parent hold is at depth {most}, the deepest")
        self.most = most

    def detail(self) -> str:
        return _("A tree of holds is at most %(most)d deep. Use the parent of this parent.") % self.extra()

    def extra(self) -> Most:
        return {"most": self.most}


class ChildrenOpen(LedgerError):
    """The hold has children that are open: they have to be captured or released first."""

    code = "children_open"

    def __init__(self, children: int) -> None:
        super().__init__(f"the hold has {children} open children")
        self.children = children

    def detail(self) -> str:
        return (
            ngettext(
                "This hold has %(children)d open child. Capture or release it first.",
                "This hold has %(children)d open children. Capture or release them first.",
                self.children,
            )
            % self.extra()
        )

    def extra(self) -> OpenChildren:
        return {"children": self.children}
