"""Moves of terms and of time (see `moves.py`): plans, limits, thresholds, zones, repeated requests."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from accounts.models import Account
from billing import ledger
from billing.ledger import database
from tests.billing.ledger.conftest import DAY, NOON
from tests.billing.ledger.limits_model import limit_name
from tests.billing.ledger.periods import NEVER

INSTANT = dt.timedelta(microseconds=1)
PROJECT, MEMBER, API_KEY = (uuid.UUID(int=n) for n in (7, 8, 9))
SUBJECTS = {
    "project": str(PROJECT),
    "member": str(MEMBER),
    "key": str(API_KEY),
    "quota": "files",
    "account": "account",
}
PLANS: dict[str, dict[str, tuple[Any, ...]]] = {  # kind, credits, period, priority, lasts, services
    "none": {},
    "free": {"daily": ("daily", "5", "day", 10)},
    "pro": {"pro": ("plan", "100", "month", 20), "pro daily": ("daily", "10", "day", 11)},
    "max": {"max": ("plan", "300", "month", 21), "max bonus": ("bonus", "7.5", "month", 22)},
    "lasting": {"daily": ("daily", "3", "day", 12, "3 days"), "kept": ("bonus", "0.5", "day", 13, "forever")},
    "trial": {
        "once": ("plan", "20", "once", 14),
        "pro daily": ("daily", "4", "day", 11, "period", ("gpt-4o",)),
    },
    "monthly": {"pro daily": ("plan", "30", "month", 15)},
}


class TermMoves:
    """Each method without underscore is a move."""

    def plan(self, name: str, carry: bool = False, anchor_days: int = 0, days: int | None = None) -> None:
        """Change the plan. Months are counted from `anchor_days` after NOON; `days`: it ends by itself."""
        self.now += dt.timedelta(seconds=1)
        now, anchor = self.now, NOON + anchor_days * DAY
        ends = None if days is None else now + days * DAY
        model_terms, ledger_terms = {}, []
        for key, (kind, credits, period, priority, *more) in PLANS[name].items():
            lasts, services = [*more, "period", None][: len(more)] + ["period", None][len(more) :]
            terms = {"kind": kind, "credits": Decimal(credits), "period": period, "priority": priority}
            terms |= {"lasts": lasts, "services": services}
            model_terms[key] = terms | {"anchor": anchor, "ends": ends or NEVER}
            ledger_terms.append(
                ledger.AllowanceTerms(key=key, label=key, anchor_at=anchor, ends_at=ends, **terms)
            )
        self.again.clear()
        terms = {"allowances": ledger_terms, "carry_over": carry}
        balance = self._both(
            lambda: self.book.change_plan(model_terms, carry, now),
            lambda: ledger.set_allowances(account_id=self.account, now=now, **terms),
        )
        assert balance == self.book.balance

    def limit(self, kind: str = "project", period: str = "day", maximum: str | None = "40") -> None:
        """Set a limit: an amount, "used" (what is used, exactly), or None to remove it."""
        window = self.book.limits.windows.get(limit_name(kind, SUBJECTS[kind], period))
        most = None if maximum is None else window.used if maximum == "used" and window else None
        if maximum is not None and most is None:
            most = self._amount(maximum)
        terms = {"kind": kind, "subject": SUBJECTS[kind], "period": period, "maximum": most}
        used = self.book.set_limit(kind, SUBJECTS[kind], period, most, self.now)
        assert ledger.set_limit(account_id=self.account, now=self.now, **terms) == used
        self._agree()

    def warn(self, below: str | None) -> None:
        """Set the threshold: an amount, "now" (the balance, exactly), or None."""
        found = None if below is None else self._amount("all" if below == "now" else below)
        low = self.book.set_warning(found, self.now)
        assert ledger.set_warning(account_id=self.account, below=found, now=self.now) == low
        self._agree()

    def request_again(self, which: int, body: bytes = b"") -> None:
        """Repeat an earlier request with the same or with another body: nothing changes."""
        if self.again:
            call, states = self.again[which % len(self.again)]
            if not body:
                self.book.visit("request again: the same outcome")
                self._check(call(), states(), replayed=True)
            else:
                self.book.visit("request again: refused, another body")
                try:
                    raise AssertionError(f"not refused: {call(fingerprint=body)}")
                except ledger.KeyReused:
                    pass
            self._agree()

    # time

    def wait(self, hours: float) -> None:
        self.now += dt.timedelta(hours=hours)

    def wait_for(self, what: str, micros: int = 0) -> None:
        """Advance to the next end of a grant, hold or window, or to the next renewal, or beside it."""
        book = self.book
        instants = {
            "grant": [grant.expires for grant in book.grants if grant.remaining or grant.held],
            "hold": [hold.ends for hold in book.holds.values() if hold.status == "held"],
            "window": [window.end for window in book.limits.windows.values()],
            "renewal": book.plan.next(),
        }[what]
        later = [at for at in instants if self.now < at < NEVER]
        self.now = max(self.now, min(later, default=self.now) + micros * INSTANT)

    def move_to(self, zone: str) -> None:
        """The account's zone changes; both settle and have opened the same windows before."""
        self._agree()
        self.book.visit("zone changes")
        database.row("select ledger_roll_limits(%(id)s, %(now)s)", {"id": self.account, "now": self.now})
        self.book.limits.roll(self.book.plan.zone, self.now)
        Account.objects.filter(id=self.account).update(zone=zone)
        self.book.plan.zone = zone
