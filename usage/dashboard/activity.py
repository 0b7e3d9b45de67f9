"""The dashboard's newest happenings: ledger entries, and among them the uses that cost nothing.

Invariant: a use without credits (covered, or free of charge) has no entry and stands here by its charge;
every other happening stands here once, by its entry.
"""

from dataclasses import dataclass
from datetime import datetime

from accounts.models import Account
from billing.models import Charge
from usage import history
from usage.charges import charge_list
from usage.charges.charge_list import Call
from usage.history import Line


@dataclass(frozen=True)
class Item:
    """An entry, or a use that has none."""

    at: datetime
    line: Line | None = None
    call: Call | None = None

    @property
    def moment(self) -> int:
        """Microseconds since 1970: what an address can carry."""
        return round(self.at.timestamp() * 1_000_000)


def latest(account: Account, *, size: int) -> list[Item]:
    """The newest happenings, newest first."""
    lines = history.page_of(account, history.Filter(), size=size).lines
    # Among the newest `size` happenings are none but the newest `size` charges: an index finds those.
    newest = Charge.objects.filter(account=account).order_by("-created_at", "-pk")[:size]
    free = charge_list.named(account, [charge for charge in newest if not charge.credits])
    items = [Item(at=line.entry.created_at, line=line) for line in lines]
    items += [Item(at=call.charge.created_at, call=call) for call in free]
    return sorted(items, key=lambda item: item.at, reverse=True)[:size]  # stable: entries keep their order
