"""Reference model of time (see `model.py`): due effects, periods of allowances, changes of plan."""

import datetime as dt
import itertools
from decimal import Decimal
from types import SimpleNamespace as Record
from zoneinfo import ZoneInfo

ZERO, NEVER = Decimal(0), dt.datetime.max.replace(tzinfo=dt.UTC)
DAY, MICROCREDIT = dt.timedelta(days=1), Decimal("0.000001")
PRIORITY = {"daily": 10, "plan": 20, "adjustment": 35, "top_up": 40}


def a_grant(key, credits, kind, created, expires=NEVER, **terms):
    usual = {
        "services": None,
        "purchase": None,
        "allowance": "",
        "reason": "",
        "priority": PRIORITY.get(kind, 30),
        "id": None,
    }
    sums = dict.fromkeys(("remaining", "held", "spent", "booked", "taken", "repaid"), ZERO)
    return Record(
        key=key, credits=credits, kind=kind, created=created, expires=expires, **usual | sums | terms
    )


def total(drawn):
    return sum((part for _, part in drawn), ZERO)


def by_grant(drawn):
    """One part for each grant, in the order in which they first occur."""
    parts = {}
    for grant, part in drawn:
        parts[id(grant)] = (grant, parts.get(id(grant), (grant, ZERO))[1] + part)
    return list(parts.values())


def ends_alone(hold):
    """Whether the end of a hold is more than a return of its credits to the balance."""
    return bool(hold.parent or hold.is_tree or hold.at_expiry != "release")


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
    """The allowances of an account's plan. Terms: credits, kind, priority, period, lasts, anchor, ends."""

    def __init__(self, visit=lambda rule: None):
        self.zone, self.terms, self.given, self.visit = "UTC", {}, set(), visit

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
                else:
                    self.visit("allowance: given before in this period")
                if terms["zone"] != self.zone and terms["period"] == "day":
                    self.visit("allowance: day after a change of zone")
                terms["next"], terms["zone"] = ends, self.zone
        # grants of one instant are ordered by priority
        return sorted(found, key=lambda one: (one[1]["priority"], one[0]))

    def period(self, terms, now):
        """Return begin and end; a change of zone makes the running day at least 24 hours long."""
        if terms["period"] == "once":
            return terms["anchor"], NEVER
        if terms["period"] == "month":
            return month_of(terms["anchor"], now)
        starts = midnight(local_day(now, terms["zone"]), terms["zone"])
        last = now if terms["zone"] == self.zone else max(now, starts + DAY - dt.timedelta(microseconds=1))
        return starts, midnight(local_day(last, self.zone) + DAY, self.zone)

    def change(self, terms, now):
        """Replace the terms: those that remain keep their due time, new ones are due now, the rest end."""
        for key, new in terms.items():
            old = self.terms.get(key)
            following = max(now, new["anchor"])
            if old and old["period"] == new["period"] == "once" and old["next"] == NEVER:
                following = NEVER
                self.visit("allowance: once, and not again")
            elif old and (old["period"] != new["period"] or new["period"] == "once"):
                self.visit("allowance: another period")
            elif old and old["next"] == old["anchor"] > now and old["anchor"] != new["anchor"]:
                self.visit("allowance: did not begin, and has another anchor")
            elif old and (new["period"] == "day" or old["anchor"] == new["anchor"]):
                following = max(old["next"], following)
            elif old:
                self.visit("allowance: another anchor")
            if new["anchor"] > now:
                self.visit("allowance: begins later")
            self.terms[key] = new | {"next": following, "zone": old["zone"] if old else self.zone}
        for key in self.terms.keys() - terms.keys():
            self.terms[key]["ends"] = min(self.terms[key]["ends"], now)

    def stated(self):
        """What an entry of changed terms covers."""
        return {
            key: {name: value for name, value in one.items() if name not in {"next", "zone"}}
            for key, one in self.terms.items()
        }


class Dated:
    """The parts of an account that depend on time. `Book` has the moves of credits."""

    def settle(self, now):
        """Settle at every instant up to now at which something is due."""
        known, written, ended = len(self.grants), len(self.entries), []
        while at := min((at for at in self.dues() if at <= now), default=None):
            self.visit("settle: exactly at the instant" if at == now else "settle: after the instant")
            effects = len(self.entries)
            self.expire(at)
            due = [hold for hold in self.holds.values() if hold.status == "held" and hold.ends <= at]
            for hold in sorted(due, key=lambda hold: (ends_alone(hold), -hold.depth, hold.id)):
                if ends_alone(hold):
                    self.end(hold, at)
                    ended.append(at)
                else:
                    self.give_back(hold, "expired", at)
            for key, terms, starts, ends in self.plan.due(at):
                self.renew(key, terms, starts, ends, at)
            if len(self.entries) > effects + 1:
                self.visit("settle: several effects at one instant")
        # a missed period is recorded where it repaid debt, or is in the balance that the end of a hold states
        past = [one for one in self.grants[known:] if one.expires <= now and not one.repaid]
        stated = {id(one) for one in past if any(one.created < at < one.expires for at in ended)}
        if stated:
            self.visit("allowance: missed period, in which a hold ended")
        if missed := {id(one) for one in past} - stated:
            self.visit("allowance: missed period")
            self.grants = [grant for grant in self.grants if id(grant) not in missed]
            self.entries[written:] = [one for one in self.entries[written:] if id(one.grant) not in missed]
        self.notice(now)

    def expire(self, at):
        ended = [grant for grant in self.grants if grant.expires <= at and grant.remaining]
        for grant in sorted(ended, key=lambda grant: (grant.priority, str(grant.id))):
            self.visit("expiry: of a part" if grant.spent or grant.held else "expiry: of the whole grant")
            self.write("expire", grant, -grant.remaining, at)
            grant.remaining = ZERO

    def renew(self, key, terms, starts, ends, at):
        lasts = terms["lasts"]
        days = None if lasts in {"period", "forever"} else starts + int(lasts.split()[0]) * DAY
        expires = days or {"period": ends, "forever": NEVER}[lasts]
        more = {"allowance": key, "priority": terms["priority"], "services": terms["services"]}
        name = f"allowance:{key}:{micros(starts)}"
        self.visit("allowance: given" if at <= starts else "allowance: given within its period")
        if lasts != "period":
            self.visit("allowance: lasts longer than its period")
        grant = a_grant(name, terms["credits"], terms["kind"], at, expires, **more)
        self.grants.append(grant)
        self.write("grant", grant, grant.credits, at)
        self.land(grant, grant.credits, at, "allowance")

    def dues(self):
        ends = [grant.expires for grant in self.grants if grant.remaining and grant.expires < NEVER]
        return ends + [hold.ends for hold in self.holds.values() if hold.status == "held"] + self.plan.next()

    def change_plan(self, terms, carry, now):
        """Remove what only the former plan gives; an upgrade carries its monthly credits over."""
        self.settle(now)
        before = self.plan.stated()
        self.plan.change(terms, now)
        months = [(key, one) for key, one in terms.items() if one["period"] == "month"]
        ends = [(self.plan.period(one, max(now, one["anchor"]))[1], key) for key, one in months]
        carried = min(ends, default=None) if carry else None
        for grant in sorted(self.grants, key=lambda grant: (grant.created, str(grant.id))):
            if now < grant.expires and grant.allowance and grant.allowance not in terms:
                self.leave(grant, carried, now)
        if changed := self.plan.stated() != before:
            self.write("terms", None, ZERO, now)
        self.visit("terms: changed" if changed else "terms: set again")
        low, threshold, self.warn_below = self.is_low, self.warn_below, None
        self.settle(now)
        self.is_low, self.warn_below = low, threshold
        self.notice(now)

    def leave(self, grant, carried, now):
        """End a grant of a plan that is left, or carry its monthly credits over to (end, key)."""
        old = self.plan.terms[grant.allowance]
        if old["lasts"] != "period" or old["period"] == "once" or not (grant.remaining or grant.held):
            return
        if carried and old["period"] == "month":
            self.visit("allowance: carried over")
            grant.expires, grant.allowance = carried
            return self.write("carry_over", grant, ZERO, now, why=("plan changed", ""))
        self.visit("allowance: ends while held" if grant.held else "allowance: ends with its plan")
        self.write("expire", grant, -grant.remaining, now, why=("plan changed", ""))
        grant.expires = now if grant.held else grant.expires
        grant.remaining = ZERO
