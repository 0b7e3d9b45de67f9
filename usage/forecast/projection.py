"""How a supply of credits runs down at a pace: the balance over time, and what happens on the way.

Invariants: credits are spent in the ledger's order; what is unspent at its expiry is lost; new credits repay
the debt first; nothing is spent while nothing is left. Figures are exact at the pace, which is an assumption.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from billing import validity
from usage.forecast.supply import Lot, Supply

_DAY = timedelta(days=1)
_DUST = Decimal("0.000001")  # of rounding; less than the ledger's smallest amount is not left
MAX_TOP_UPS_AT_ONCE = 50


class Kind(StrEnum):
    """What can happen in a projection."""

    GRANT = "grant"
    EXPIRY = "expiry"
    TOP_UP = "top_up"
    PRICES = "prices"
    PLAN = "plan"
    EMPTY = "empty"


@dataclass(frozen=True)
class Event:
    """Something that changes the balance or the pace; `credits` is what comes or is lost."""

    at: datetime
    kind: Kind
    label: str = ""
    credits: Decimal = Decimal(0)
    grant_kind: str = ""


@dataclass(frozen=True)
class Rate:
    """Credits spent per day from `since` on."""

    since: datetime
    per_day: Decimal


@dataclass
class Projection:
    """The balance over time, the events, and when the balance is empty for the first time.

    Where an event changes the balance, there are two points at its instant: before and after it.
    """

    points: list[tuple[datetime, Decimal]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    empty_at: datetime | None = None

    @property
    def expiring(self) -> list[Event]:
        """Credits that expire unused, those of daily allowances excluded."""
        return [event for event in self.events if event.kind is Kind.EXPIRY and event.grant_kind != "daily"]


def run(supply: Supply, rates: Sequence[Rate], *, now: datetime, until: datetime) -> Projection:
    """The projection of a copy of the supply from `now` to `until`, with a point for each day.

    `rates` are in order of time; the first one begins at `now` or before.
    """
    running = _Run(supply.copy(), rates, now, until, daily=True)
    while running.at < until:
        running.step()
    return running.projection


def empty_at(supply: Supply, rates: Sequence[Rate], *, now: datetime, until: datetime) -> datetime | None:
    """When nothing is left for the first time; None: not before `until`. `rates` as for `run`."""
    if not any(rate.per_day for rate in rates):
        return None
    running = _Run(supply.copy(), rates, now, until, daily=False)
    while running.at < until and running.projection.empty_at is None:
        running.step()
    return running.projection.empty_at


class _Run:
    """One projection on its way: the supply at the instant `at`, of which `left` credits remain."""

    def __init__(
        self, supply: Supply, rates: Sequence[Rate], now: datetime, until: datetime, *, daily: bool
    ) -> None:
        self.supply, self.rates, self.until, self.daily = supply, rates, until, daily
        self.start = self.at = now
        self.supply.lots.sort(key=_order)
        self.left = sum((lot.remaining for lot in self.supply.lots), Decimal(0))
        self.projection = Projection()
        self._arrive()

    def step(self) -> None:
        """Go on to the next instant at which something changes."""
        self._spend_until(self._next_instant())
        self._arrive()

    @property
    def per_day(self) -> Decimal:
        return next(rate.per_day for rate in reversed(self.rates) if rate.since <= self.at)

    @property
    def _following_at(self) -> datetime:
        """When another plan begins; in the past if none does."""
        return self.supply.following.at if self.supply.following else self.start

    def _next_instant(self) -> datetime:
        instants = [lot.expires_at for lot in self.supply.lots if lot.expires_at]
        instants += [renewal.next_at for renewal in self.supply.renewals if renewal.is_due_before_its_end]
        instants += [rate.since for rate in self.rates if rate.since > self.at]
        if self._following_at > self.at:
            instants.append(self._following_at)
        if self.supply.top_ups:
            instants.append(validity.add_months(validity.month_of(self.at), 1))  # its limits begin anew
        if self.daily:
            instants.append(self.start + ((self.at - self.start) // _DAY + 1) * _DAY)
        return min([*instants, self.until])

    def _arrive(self) -> None:
        """Apply what is due at this instant: expiries, allowances, prices and top-ups; note the balance."""
        before = self.left
        self.projection.points.append((self.at, before))
        for lot in [lot for lot in self.supply.lots if lot.expires_at and lot.expires_at <= self.at]:
            self.supply.lots.remove(lot)
            self.left -= lot.remaining
            if lot.remaining > 0:
                self._note(Kind.EXPIRY, lot.label, lot.remaining, lot.kind)
        if self.supply.following and self._following_at == self.at > self.start:
            self._note(Kind.PLAN, self.supply.following.plan.name)
        for renewal in self.supply.renewals:
            if renewal.next_at <= self.at and renewal.is_due_before_its_end:
                lot = renewal.lot()
                self._note(Kind.GRANT, lot.label, lot.remaining, lot.kind)
                self._add(lot)
        if any(rate.since == self.at > self.start for rate in self.rates):
            self._note(Kind.PRICES)
        self._top_up()
        if self.left != before:
            self.projection.points.append((self.at, self.left))

    def _spend_until(self, end: datetime) -> None:
        """Spend at the pace; stops for each top-up on the way, and once where the credits end."""
        while True:
            wanted = self.per_day * _days(end - self.at)
            top_ups = self.supply.top_ups
            spare = self.left - top_ups.below if top_ups and not top_ups.is_spent(self.at) else None
            if spare is not None and 0 <= spare < wanted:
                self._spend(spare)
                self.at += _DAY * float(spare / self.per_day)
                self.projection.points.append((self.at, self.left))
                self._top_up(reached=True)
                self.projection.points.append((self.at, self.left))
                continue
            missing = self._spend(wanted)
            if missing > _DUST and self.projection.empty_at is None:
                self.projection.empty_at = end - _DAY * float(missing / self.per_day)
                self._note(Kind.EMPTY, at=self.projection.empty_at)
                self.projection.points.append((self.projection.empty_at, Decimal(0)))
            self.at = end
            return

    def _spend(self, credits: Decimal) -> Decimal:
        """Take credits from the lots in order; returns what they lack."""
        lots = self.supply.lots
        while lots and credits > 0:
            taken = min(lots[0].remaining, credits)
            lots[0].remaining -= taken
            self.left -= taken
            credits -= taken
            if not lots[0].remaining:
                del lots[0]
        return credits

    def _top_up(self, *, reached: bool = False) -> None:
        """Buy packs until the threshold is passed; `reached`: the balance has just fallen to it."""
        top_ups = self.supply.top_ups
        for _purchase in range(MAX_TOP_UPS_AT_ONCE):
            if top_ups is None or not (reached or self.left < top_ups.below):
                return
            lot = top_ups.lot(self.at)
            if lot is None:
                return
            self._note(Kind.TOP_UP, lot.label, lot.remaining, lot.kind)
            self._add(lot)
            reached = False

    def _add(self, lot: Lot) -> None:
        repaid = min(self.supply.debt, lot.remaining)
        self.supply.debt -= repaid
        lot.remaining -= repaid
        if lot.remaining > 0:
            insort(self.supply.lots, lot, key=_order)
            self.left += lot.remaining

    def _note(
        self,
        kind: Kind,
        label: str = "",
        credits: Decimal = Decimal(0),
        grant_kind: str = "",
        at: datetime | None = None,
    ) -> None:
        self.projection.events.append(Event(at or self.at, kind, label, credits, grant_kind))


def _order(lot: Lot) -> tuple[int, bool, float]:
    """The ledger's order of spending: priority, then the earliest expiry."""
    return lot.priority, lot.expires_at is None, lot.expires_at.timestamp() if lot.expires_at else 0.0


def _days(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(microseconds=1)) / Decimal(_DAY // timedelta(microseconds=1))
