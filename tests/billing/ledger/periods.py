"""Reference model of time (see `model.py`): due effects, periods, windows of limits."""

import datetime as dt
import itertools
from decimal import Decimal
from types import SimpleNamespace as Record
from zoneinfo import ZoneInfo

ZERO, NEVER = Decimal(0), dt.datetime.max.replace(tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PRIORITY = {"daily": 10, "plan": 20, "adjustment": 35, "top_up": 40}


def a_grant(key, credits, kind, created, expires=NEVER, **terms):
    usual = {
        "services": None,
        "purchase": None,
        "allowance": "",
        "priority": PRIORITY.get(kind, 30),
        "id": None,
    }
    sums = dict.fromkeys(("remaining", "held", "spent", "booked", "taken", "repaid"), ZERO)
    return Record(
        key=key, credits=credits, kind=kind, created=created, expires=expires, **usual | sums | terms
    )


def total(drawn):
    return sum((part for _, part in drawn), ZERO)


def micros(at):
    return (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def midnight(day, zone):
    return dt.datetime.combine(day, dt.time(), ZoneInfo(zone)).astimezone(dt.UTC)


def local_day(at, zone):
    return at.astimezone(ZoneInfo(zone)).date()


def month_after(anchor, n):
    """Return the anchor's day n months later, or the last day of that month."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + n, 12)
    last = (dt.date(year + (month == 11), (month + 1) % 12 + 1, 1) - DAY).day
    return anchor.replace(year=year, month=month + 1, day=min(anchor.day, last))


def month_of(anchor, now):
    starts = [month_after(anchor, n) for n in range(60)]
    return next((a, b) for a, b in itertools.pairwise(starts) if a <= now < b)


class Plan:
    """The allowances of an account's plan. Terms: credits, kind, priority, period, anchor."""

    def __init__(self):
        self.zone, self.terms, self.given = "UTC", {}, set()

    def next(self):
        """Return the instants at which an allowance renews next."""
        return [terms["next"] for terms in self.terms.values() if terms["next"] < terms["ends"]]

    def due(self, now):
        """Return (key, terms, begin, end) of each period that is due now and was not given."""
        found = []
        for key, terms in self.terms.items():
            if terms["next"] == now < terms["ends"]:
                starts, ends = self.period(terms, now)
                if (key, starts) not in self.given:
                    found.append((key, terms, starts, ends))
                    self.given.add((key, starts))
                terms["next"], terms["zone"] = ends, self.zone
        # grants of one instant are ordered by priority
        return sorted(found, key=lambda one: (one[1]["priority"], one[0]))

    def period(self, terms, now):
        """Return begin and end; a change of zone makes the running day at least 24 hours long."""
        if terms["period"] == "month":
            return month_of(terms["anchor"], now)
        starts = midnight(local_day(now, terms["zone"]), terms["zone"])
        last = now if terms["zone"] == self.zone else max(now, starts + DAY - dt.timedelta(microseconds=1))
        return starts, midnight(local_day(last, self.zone) + DAY, self.zone)

    def change(self, terms, now):
        """Replace the terms: those that remain keep their due time, new ones are due now, the rest end."""
        for key, new in terms.items():
            old = self.terms.get(key, {"next": now, "zone": self.zone, "anchor": new["anchor"]})
            moved = new["period"] == "month" and old["anchor"] != new["anchor"]
            following = max(now if moved else max(old["next"], now), new["anchor"])
            self.terms[key] = new | {"next": following, "zone": old["zone"], "ends": NEVER}
        for key in self.terms.keys() - terms.keys():
            self.terms[key]["ends"] = min(self.terms[key]["ends"], now)


class Window:
    """A limit of credits in the local day or month, or for all time."""

    def __init__(self, period, zone, now):
        self.period, self.maximum, self.used = period, ZERO, ZERO
        self.open(zone, now)

    def open(self, zone, now):
        day = local_day(now, zone)
        first = day.replace(day=1)
        after = (first + 31 * DAY).replace(day=1)
        ever = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), NEVER
        days = midnight(day, zone), midnight(day + DAY, zone)
        months = midnight(first, zone), midnight(after, zone)
        self.begin, self.end = {"ever": ever, "day": days, "month": months}[self.period]

    def roll(self, zone, now):
        if self.end <= now:
            ended, self.used = self.end, ZERO
            self.open(zone, now)
            if ended > self.begin:  # the zone has changed: windows do not overlap, and a day is not shorter
                self.begin = ended
                if self.period == "day" and self.end - ended < DAY:
                    self.end = midnight(local_day(self.end, zone) + DAY, zone)

    def count(self, credits, made, zone, now):
        """Count credits; returned ones (negative) only in the window in which they were counted."""
        self.roll(zone, now)
        if credits > 0 or made >= self.begin:
            self.used = max(ZERO, self.used + credits)


class Dated:
    """The parts of an account that depend on time. `Book` has the moves of credits."""

    def __init__(self):
        self.plan, self.window = Plan(), None

    def settle(self, now):
        """Settle at every instant up to now at which something is due."""
        known = len(self.grants)
        while at := min((at for at in self.dues() if at <= now), default=None):
            for grant in self.grants:
                grant.remaining = ZERO if grant.expires <= at else grant.remaining
            due = [hold for hold in self.holds.values() if hold.status == "held" and hold.ends <= at]
            for hold in sorted(due, key=lambda hold: hold.id):
                self.give_back(hold, "expired", at)
            for key, terms, starts, ends in self.plan.due(at):
                more = {"allowance": key, "priority": terms["priority"]}
                name = f"allowance:{key}:{micros(starts)}"
                ends = {"period": ends, "forever": NEVER}.get(terms.get("lasts", "period"), starts + 40 * DAY)
                self.add(a_grant(name, terms["credits"], terms["kind"], at, ends, **more), at)
        # a missed period is recorded only where it repaid debt
        missed = [one for one in self.grants[known:] if one.expires <= now and not one.repaid]
        self.grants = [grant for grant in self.grants if grant not in missed]

    def dues(self):
        ends = [grant.expires for grant in self.grants if grant.remaining]
        return ends + [hold.ends for hold in self.holds.values() if hold.status == "held"] + self.plan.next()

    def change_plan(self, terms, carry, now):
        """Remove what only the former plan gives; an upgrade carries its monthly credits over."""
        self.settle(now)
        self.plan.change(terms, now)
        months = [(key, one) for key, one in terms.items() if one["period"] == "month"]
        ends = [(self.plan.period(one, max(now, one["anchor"]))[1], key) for key, one in months]
        month_end, month_key = min(ends, default=(None, ""))
        for grant in self.grants:
            if now < grant.expires < NEVER and grant.allowance and grant.allowance not in terms:
                if not grant.remaining and not grant.held:
                    continue
                if carry and month_end and self.plan.terms[grant.allowance]["period"] == "month":
                    grant.expires, grant.allowance = month_end, month_key
                else:
                    grant.expires = now if grant.held else grant.expires
                    grant.remaining = ZERO
        self.settle(now)

    def set_limit(self, period, maximum, now):
        self.settle(now)
        if self.window is None or self.window.period != period:
            self.window = Window(period, self.plan.zone, now)
            uses = [(one, total(one.drawn) - one.returned) for one in self.charges.values()]
            uses += [(one, one.credits) for one in self.holds.values() if one.status == "held"]
            self.window.used = total(
                [(use, n) for use, n in uses if use.limited and use.made >= self.window.begin]
            )
        self.window.roll(self.plan.zone, now)
        self.window.maximum = maximum

    def would_exceed(self, use):
        window = self.window if use.limited and use.credits else None
        return window is not None and window.used + use.credits > window.maximum

    def count(self, use, credits, now):
        if self.window and use.limited:
            self.window.count(credits, use.made, self.plan.zone, now)
