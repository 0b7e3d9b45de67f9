"""The dashboard's recent activity: ledger entries, and uses that cost no credits.

Invariant: every entry and every use that cost no credits (covered, or priced at zero) is listed once; such a
use of a release that wrote no entry for it is listed by its charge.
"""

from dataclasses import dataclass
from datetime import datetime

from accounts.models import Account
from billing.models import Charge
from usage.charges import listing
from usage.charges.listing import ChargeRow
from usage.history import pages
from usage.history.lines import HistoryLine


@dataclass(frozen=True)
class ActivityItem:
    """An entry, or a use without one."""

    at: datetime
    line: HistoryLine | None = None
    charge_row: ChargeRow | None = None

    @property
    def microseconds(self) -> int:
        """Microseconds since 1970, as passed in query parameters."""
        return round(self.at.timestamp() * 1_000_000)


def latest(account: Account, *, size: int) -> list[ActivityItem]:
    """The newest items, newest first."""
    lines = pages.page_of(account, pages.Filter(), size=size).lines
    # A use without credits among the newest `size` items is also among the newest `size` charges, which
    # the index on (account, created_at) finds.
    charges = Charge.objects.filter(account=account).order_by("-created_at", "-pk")
    newest = charges.values_list("pk", "credits")[:size]
    listed = {line.charge_id for line in lines}
    free_ids = [charge_id for charge_id, credits in newest if not credits and charge_id not in listed]
    free = listing.with_names(account, list(charges.filter(pk__in=free_ids)) if free_ids else [])
    items = [ActivityItem(at=line.created_at, line=line) for line in lines]
    items += [ActivityItem(at=charge_row.charge.created_at, charge_row=charge_row) for charge_row in free]
    # The sort is stable: entries of the same instant keep their ledger order.
    return sorted(items, key=lambda item: item.at, reverse=True)[:size]
