"""Moves of child holds, made in the reference model and in the ledger (see `moves.py`)."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import Any

from billing import ledger
from tests.billing.ledger.periods import MICROCREDIT, ZERO, total


class TreeMoves:
    """Moves of trees of holds. `Moves` has what they use."""

    now: dt.datetime
    book: Any
    account: Any
    _use: Callable[..., Any]
    _both: Callable[..., Any]
    _one_of: Callable[..., Any]

    def child(
        self,
        which: int,
        credits: str = "third",
        covers: str = "text",
        by: str = "",
        files: int = 0,
        minutes: float = 60,
        most: int | None = None,
        at_expiry: str = "release",
        body: bytes = b"",
        again: bool = False,
    ) -> None:
        """Hold credits of a hold: a share of what remains of it. `again`: with the key of the newest hold."""
        if not self.book.holds:
            return
        parent, now = self._one_of(self.book.holds, which), self.now
        remaining = total(self.book.covering(parent, COVERS[covers], Decimal(10**15)))
        shares = {"0": ZERO, "micro": MICROCREDIT, "third": remaining / 3, "rest": remaining}
        amount = shares.get(credits.rstrip("+"), Decimal(1)).quantize(MICROCREDIT, ROUND_UP)
        amount += MICROCREDIT if credits.endswith("+") else ZERO
        key = list(self.book.holds)[-1] if again else ""
        key, use, request = self._use(str(amount), covers, by, files, False, body, key)
        use.ends, use.at_expiry = now + dt.timedelta(minutes=minutes), at_expiry
        terms = {"expires_at": use.ends, "now": now, "most_running": most, "at_expiry": at_expiry}
        self._both(
            lambda: self.book.hold_child(key, use, parent, most, now),
            lambda **more: ledger.hold(replace(request, **more), parent=parent.id, **terms),
            lambda given: held(given, self.book),
        )

    def report(self, which: int, credits: str = "third", files: int | None = None) -> None:
        """Report what a hold has used so far: a share of it, or more than it reserves."""
        if not self.book.holds:
            return
        hold, now = self._one_of(self.book.holds, which), self.now
        shares = {"0": ZERO, "third": hold.credits / 3, "held": hold.credits}
        amount = shares[credits.rstrip("+")].quantize(MICROCREDIT, ROUND_UP)
        amount += Decimal(1) if credits.endswith("+") else ZERO
        detail = {"reported": str(amount)}
        count = None if files is None or "quota" not in hold.subjects else files
        reported = {"credits": amount, "detail": detail, "count": None if count is None else Decimal(count)}
        terms = {"credits": amount, "detail": detail, "quota_count": count, "now": now}
        self._both(
            lambda: self.book.report(hold, reported, now),
            lambda: ledger.report_usage(account_id=self.account, hold_id=hold.id, **terms),
        )


def held(use: Any, book: Any) -> dict[str, Any]:
    """What the ledger returns of a hold."""
    drawn = tuple(ledger.Drawn(grant=grant.id, kind=grant.kind, credits=part) for grant, part in use.drawn)
    figures = {"credits": use.credits, "drawn": drawn, "detail": use.detail, "balance_after": book.balance}
    times = {"created_at": use.made, "expires_at": use.ends, "charge_id": use.charge and use.charge.id}
    return {"hold_id": use.id, "status": use.status} | figures | times


COVERS = {"text": ("gpt-4o", "tag:text"), "image": ("flux", "tag:image"), "nothing": ()}
