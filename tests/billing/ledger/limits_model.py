"""Reference model of limits: windows of a local day or month, or all time, and what is used of them."""

import datetime as dt

from tests.billing.ledger.periods import DAY, NEVER, ZERO, local_day, midnight, total


def subject_of(use, kind):
    """What a limit of the kind compares with its subject."""
    return "account" if kind == "account" else use.subjects.get(kind)


def named(kind):
    return "the account" if kind == "account" else f"a {kind}"


def line(hold):
    """A hold and those above it."""
    while hold:
        yield hold
        hold = hold.parent


class Window:
    """The present window of one limit."""

    def __init__(self, kind, subject, period, zone, now):
        self.kind, self.subject, self.period, self.maximum, self.used = kind, subject, period, ZERO, ZERO
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
        """Open the window that contains `now`. Returns whether it is another one."""
        if self.end > now:
            return False
        ended, self.used = self.end, ZERO
        self.open(zone, now)
        if ended > self.begin:  # the zone has changed: windows do not overlap, and a day is not shorter
            self.begin = ended
            if self.period == "day" and self.end - ended < DAY:
                self.end = midnight(local_day(self.end, zone) + DAY, zone)
        return True

    def amount(self, credits, count):
        return count if self.kind == "quota" else credits

    def figures(self):
        if self.kind == "quota":
            return {"quota": self.subject, "maximum": self.maximum, "used": self.used}
        resets_at = None if self.end == NEVER else self.end
        terms = {"limit": self.kind, "subject": self.subject, "maximum": self.maximum, "used": self.used}
        return terms | {"resets_at": resets_at}


def limit_name(kind, subject, period):
    """What identifies a limit: a key has one for each period, any other subject has one."""
    return (kind, subject, period if kind == "key" else "")


class Limits:
    """The limits of an account by `limit_name`. A use names its subjects by kind."""

    def __init__(self, visit):
        self.windows, self.visit = {}, visit

    def of(self, use):
        """Return the windows of a use in the order in which they are checked."""
        found = [one for one in self.windows.values() if subject_of(use, one.kind) == one.subject]
        found.sort(key=lambda one: one.end, reverse=True)
        return sorted(found, key=lambda one: (one.kind, one.subject))

    def rolled(self, use, zone, now):
        for window in (found := self.of(use)):
            if window.roll(zone, now):
                self.visit("limit: window turns")
        return found

    def counts(self, window, hold):
        """Whether a window counts what a hold reserves: for its subject, or for that of a hold above."""
        return window.kind != "quota" and any(
            one.made >= window.begin and subject_of(one, window.kind) == window.subject for one in line(hold)
        )

    def count_reserved(self, hold, credits, zone, now, why):
        """Add to the windows that count what a hold reserves."""
        windows = {id(window): window for one in line(hold) for window in self.rolled(one, zone, now)}
        for window in windows.values():
            if window.kind == "quota" or not credits:
                continue
            counts = self.counts(window, hold)
            self.visit(f"limit: {why}, counted in {'this' if counts else 'an earlier'} window")
            if counts:
                window.used = max(ZERO, window.used + credits)

    def stopping(self, use, zone, now, parent=None):
        """Return the first window that the use would exceed, or None.

        A window that counts the parent, from which the use takes its credits, counts them already.
        """
        for window in self.rolled(use, zone, now):
            if parent and self.counts(window, parent):
                self.visit("limit: counts the parent already")
                continue
            adds = window.amount(use.credits, use.count)
            if adds and window.used + adds > window.maximum:
                return window
            if adds and window.used + adds == window.maximum:
                self.visit("limit: exactly the maximum")
        return None

    def count(self, use, credits, count, zone, now):
        for window in self.rolled(use, zone, now):
            if adds := window.amount(credits, count):
                window.used += adds
                self.visit(f"limit: counts for {named(window.kind)}")

    def uncount(self, use, credits, count, made, why):
        """Subtract what was counted at `made`, where that was in the present window."""
        for window in self.of(use):
            if back := window.amount(credits, count):
                earlier = made < window.begin
                self.visit(f"limit: {why}, counted in {'an earlier' if earlier else 'this'} window")
                window.used = window.used if earlier else max(ZERO, window.used - back)

    def set(self, kind, subject, period, maximum, uses, zone, now):
        """Set a limit; a new one counts what its window has seen of `uses` (charge or hold, credits)."""
        window = self.windows.get(name := limit_name(kind, subject, period))
        if window is None or window.period != period:
            self.visit("limit: set" if window is None else "limit: another period")
            window = self.windows[name] = Window(kind, subject, period, zone, now)
            mine = [(use, n) for use, n in uses if self.counts(window, use)]
            window.used = total(mine) if kind != "quota" else ZERO
            if window.used:
                self.visit("limit: set after uses of its window")
            if any(use.status == "held" for use, _ in mine):
                self.visit("limit: set while a hold runs")
        else:
            window.roll(zone, now)
            self.visit("limit: set again" if window.maximum == maximum else "limit: another maximum")
        if window.used > maximum:
            self.visit("limit: maximum below what is used")
        window.maximum = maximum
        return window.used

    def roll(self, zone, now):
        for window in self.windows.values():
            window.roll(zone, now)
