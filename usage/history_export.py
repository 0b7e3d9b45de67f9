"""The history as rows of a spreadsheet.

Invariant: no cell that holds people's text can be taken for a formula (it begins with an apostrophe then);
figures are exact, in plain notation.
"""

from collections.abc import Iterator
from datetime import UTC
from zoneinfo import ZoneInfo

from accounts.models import Account
from core.amounts import plain
from usage import history

MOST_ON_PAPER = 2000  # rows of one statement
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
HEADINGS = [
    "time_utc", "time_local", "zone", "kind", "what", "service", "action", "conversation", "who", "credits",
    "balance_after", "grant_kind", "grant", "charge", "entry",
]  # fmt: skip


def inert(text: str) -> str:
    """The text as a cell that no spreadsheet computes."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def rows_of(account: Account, wanted: history.Filter) -> Iterator[list[str]]:
    """The headings, then a row for each entry, newest first."""
    zone = ZoneInfo(account.zone)
    yield HEADINGS
    for line in history.all_lines(account, wanted):
        entry, charge, grant = line.entry, line.charge, line.grant
        yield [
            entry.created_at.astimezone(UTC).isoformat(),
            entry.created_at.astimezone(zone).isoformat(),
            account.zone,
            entry.kind,
            inert(line.title),
            inert(charge.service) if charge else "",
            inert(charge.action) if charge else "",
            inert(charge.conversation) if charge else "",
            inert(line.who),
            plain(entry.credits),
            plain(entry.balance_after),
            grant.kind if grant else "",
            grant.public_id if grant else "",
            charge.public_id if charge else "",
            entry.public_id,
        ]
