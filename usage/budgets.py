"""Trees of holds as the pages of budgets show them: running ones, recent ones, and one with its branches.

Invariant: the figures of a tree are those of one snapshot (`ledger.tree`), however many of its branches are
shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.models import Account
from billing import ledger
from billing.models import Charge, Hold
from usage import selectors
from usage.charges.stored_detail import restored

SHOWN_TREES = 25
SHOWN_BRANCHES = 200
_READ_PARENTS = 200  # newest parents whose roots are read


@dataclass(frozen=True, slots=True)
class Branch:
    """A hold of a tree, with what it and everything below it spent, reserve and have left."""

    hold: Hold
    name: str
    sums: ledger.BranchSums

    @property
    def purpose(self) -> str:
        """What the caller says of it: `purpose` in its metadata, else its conversation."""
        return str(restored(self.hold.detail)["metadata"].get("purpose") or self.hold.conversation)

    @property
    def is_open(self) -> bool:
        return self.hold.status == Hold.Status.HELD

    @property
    def indent(self) -> int:
        """Levels below the root."""
        return self.hold.depth - 1

    @property
    def charge_id(self) -> str | None:
        return Charge.public_id_of(self.hold.charge_id)


@dataclass(frozen=True, slots=True)
class Tree:
    """A root with its branches, each followed by those below it; `left_out`: how many are not shown."""

    root: Branch
    branches: Sequence[Branch]
    left_out: int


def trees_of(account: Account, now: datetime) -> list[Branch]:
    """The roots of the running trees of the account, then those of the newest others."""
    ledger.settle_for_read(account.pk, now)
    roots = Hold.objects.filter(account=account, depth=1).order_by("-created_at")
    running = roots.filter(status=Hold.Status.HELD, reserved__isnull=False)
    newest = roots.filter(pk__in=ledger.newest_roots(account.pk, _READ_PARENTS))
    closed = newest.exclude(status=Hold.Status.HELD)
    found = [*running[:SHOWN_TREES], *closed[:SHOWN_TREES]][:SHOWN_TREES]
    return list(_branches(found, {root.pk: ledger.tree(account.pk, root.pk)[root.pk] for root in found}))


def tree_of(account: Account, public_id: str, now: datetime) -> Tree | None:
    """The tree whose root has this public id, with its open and its newest branches."""
    ledger.settle_for_read(account.pk, now)
    of_account = Hold.objects.filter(account=account)
    root = of_account.filter(pk=Hold.uuid_of(public_id) or selectors.NO_ID, depth=1).first()
    if root is None:
        return None
    sums = ledger.tree(account.pk, root.pk)
    below = of_account.filter(pk__in=sums.keys() - {root.pk})
    open_ = list(below.filter(status=Hold.Status.HELD).order_by("-created_at")[:SHOWN_BRANCHES])
    closed = below.exclude(status=Hold.Status.HELD).order_by("-created_at")
    shown = {hold.pk: hold for hold in [*open_, *closed[: SHOWN_BRANCHES - len(open_)]]}
    shown |= of_account.in_bulk({hold.parent_id for hold in shown.values()} - shown.keys() - {root.pk})
    branches = list(_branches([root, *_walk(root.pk, shown)], sums))
    return Tree(branches[0], branches[1:], left_out=len(sums) - len(branches))


def _walk(parent: UUID, holds: dict[UUID, Hold]) -> Iterator[Hold]:
    """The holds below a parent, each followed by those below it; the oldest first."""
    children = [hold for hold in holds.values() if hold.parent_id == parent]
    for hold in sorted(children, key=lambda hold: (hold.created_at, hold.pk)):
        yield hold
        yield from _walk(hold.pk, holds)


def _branches(holds: Sequence[Hold], sums: dict[UUID, ledger.BranchSums]) -> Iterator[Branch]:
    names = selectors.service_names([key for hold in holds for key in (hold.service, hold.action) if key])
    for hold in holds:
        name = " · ".join(dict.fromkeys(names[key] for key in (hold.action, hold.service) if key))
        yield Branch(hold, name, sums[hold.pk])
