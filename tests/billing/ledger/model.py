"""Reference model of the ledger for one account, in plain Python without database and locks.

`test_against_model.py` makes the same moves here and in the ledger and compares them after each. It is
written from the rules and short enough to be read against them; expiry and renewal are in `periods.py`,
limits in `limits_model.py`, corrections in `corrections_model.py`, trees of holds in `tree_model.py`.
`visits` counts how often each rule decided something.
"""

from collections import Counter
from decimal import Decimal
from types import SimpleNamespace as Record

from tests.billing.ledger.corrections_model import Corrections, Refused
from tests.billing.ledger.limits_model import Limits, limit_name, named
from tests.billing.ledger.periods import ZERO, Dated, Plan, by_grant, ends_alone, total
from tests.billing.ledger.tree_model import Trees


def a_use(**fields):
    """A use to charge or hold. `subjects` are what its limits compare, by kind of limit."""
    usual = {"subjects": {}, "count": ZERO, "fingerprint": b"", "covered_by": None, "detail": {}}
    state = {
        "drawn": [],
        "returned": ZERO,
        "reversed": False,
        "status": "held",
        "closed": None,
        "charge": None,
    }
    state |= {"parent": None, "depth": 1, "parts": [], "is_tree": False, "reported": None}
    state |= {"at_expiry": "release"}
    return Record(**usual | state | {"hold": None, "before": ZERO, "after": ZERO, "id": None} | fields)


class Book(Corrections, Dated, Trees):
    """One account."""

    def __init__(self):
        self.visits = Counter()
        self.debt, self.grants, self.charges, self.holds, self.clawed = ZERO, [], {}, {}, {}
        self.entries, self.notices, self.corrections = [], [], {}
        self.warn_below, self.is_low, self.largest = None, False, Decimal(10**12)
        self.plan, self.limits = Plan(self.visit), Limits(self.visit)

    def visit(self, rule):
        self.visits[rule] += 1

    @property
    def balance(self):
        return sum((grant.remaining for grant in self.grants), ZERO)

    @property
    def held(self):
        return sum((grant.held for grant in self.grants), ZERO)

    def write(self, kind, grant, credits, at, debt=ZERO, charge=None, hold=None, why=("", "")):
        self.entries.append(
            Record(
                kind=kind, grant=grant, credits=credits, debt=debt, charge=charge, hold=hold, at=at, why=why
            )
        )

    def notice(self, now):
        """One notice when the balance falls below the threshold, until it is above it again."""
        was, self.is_low = self.is_low, self.warn_below is not None and self.balance < self.warn_below
        if self.is_low and not was:
            kind = "low" if self.balance else "depleted"
            self.visit(f"notice: {kind}")
            self.notices.append((kind, self.balance, self.warn_below, now))
        elif self.warn_below is not None and self.balance == self.warn_below:
            self.visit("notice: none at exactly the threshold")
        elif self.is_low:
            self.visit("notice: none while it is low")
        elif was:
            self.visit("notice: above the threshold again")

    # credits in

    def grant(self, grant, now, reason="", actor=""):
        """Grant credits, which repay debt first."""
        self.settle(now)
        if grant.expires <= now:
            self.visit("grant: refused, ended")
            raise Refused("AlreadyExpired", expires_at=grant.expires)
        grown = self.balance + self.held + grant.credits - min(self.debt, grant.credits)
        if grown > self.largest and grant.purchase is None:
            self.visit("grant: refused, too large")
            raise Refused("BalanceTooLarge")
        self.visit("grant: above the largest balance" if grown > self.largest else f"grant: {grant.kind}")
        self.add(grant, now, reason, actor)
        return {"balance_after": self.balance, "repaid": grant.repaid}

    def add(self, grant, now, reason="", actor="", kind="grant", charge=None):
        self.grants.append(grant)
        self.write(kind, grant, grant.credits, now, charge=charge, why=(reason, actor))
        self.land(grant, grant.credits, now, kind)
        self.notice(now)

    def land(self, grant, credits, now, what):
        """Add credits to a grant; they repay debt first.

        Credits that return to a grant which has ended expire at once; those that are booked as debt repay it.
        """
        ended = grant.expires <= now
        owed = max(ZERO, min(credits, grant.booked - grant.spent - grant.held)) if ended else credits
        paid = min(self.debt, owed)
        if paid:
            rest = "all of" if paid == self.debt else "a part of"
            self.visit(
                f"debt: {what} of an ended grant repays what is booked"
                if ended
                else f"debt: {what} repays {rest} it"
            )
            self.write("repay", grant, -paid, now, debt=-paid)
        grant.spent, grant.repaid, self.debt = grant.spent + paid, grant.repaid + paid, self.debt - paid
        grant.remaining += ZERO if ended else credits - paid
        if ended and credits > paid:
            self.visit(f"expiry: of a {what} to an ended grant")
            self.write("expire", grant, paid - credits, now)

    # uses

    def draw(self, credits, covers, into=None):
        """Return the grants that pay, in spending order; with `into` (spent, held, taken) draw from them."""
        drawn = []
        for grant in sorted(self.grants, key=lambda g: (g.priority, g.expires, g.created, g.id)):
            part = min(grant.remaining, credits - total(drawn))
            if part and (covers is None or grant.services is None or set(grant.services) & set(covers)):
                drawn.append((grant, part))
        for grant, part in drawn if into else ():
            grant.remaining -= part
            setattr(grant, into, getattr(grant, into) + part)
        return drawn

    def authorize(self, use, what, now):
        """Refuse a use for the first reason: a limit, debt, then the balance."""
        window = self.limits.stopping(use, self.plan.zone, now)
        if window:
            state = "in debt" if self.debt else f"of {named(window.kind)}"
            self.visit(f"{what}: refused by a limit {state}")
            raise Refused("QuotaReached" if window.kind == "quota" else "LimitReached", **window.figures())
        if use.credits and self.debt:
            self.visit(f"{what}: refused in debt")
            raise Refused("InDebt", needed=use.credits, available=ZERO, debt=self.debt)
        available = total(self.draw(use.credits, use.covers))
        if available < use.credits:
            scoped = "for other services" if self.balance >= use.credits else "of credits"
            self.visit(f"{what}: refused, not enough {scoped}")
            raise Refused("InsufficientCredits", needed=use.credits, available=available)

    def visit_use(self, use, what):
        if not use.credits:
            covered = "covered" if use.covered_by else "of nothing"
            self.visit(
                f"{what}: {covered}"
                + (" in debt" if self.debt else "")
                + (", with a quota" if use.count else "")
            )
        elif use.count:
            self.visit(f"{what}: with a quota")
        if len(use.drawn) > 1:
            self.visit(f"{what}: of several grants")
        if any(grant.services for grant, _ in use.drawn):
            self.visit(f"{what}: of a scoped grant")
        if use.drawn and not self.balance:
            self.visit(f"{what}: of exactly all that is left")
        if len(self.limits.of(use)) > 1:
            self.visit(f"{what}: counted by several limits")

    def again(self, uses, key, use, what):
        """The first use of a key that came before; another body is refused."""
        same = uses[key].fingerprint == use.fingerprint
        self.visit(f"{what}: key again" if same else f"{what}: key with another body")
        if not same:
            raise Refused("KeyReused", key=key)
        return uses[key]

    def charge(self, key, use, now):
        """Charge a use, once for its key."""
        self.settle(now)
        if key in self.charges:
            return self.again(self.charges, key, use, "charge")
        self.authorize(use, "charge", now)
        use.before = self.balance
        use.drawn = self.draw(use.credits, use.covers, "spent")
        self.introduce("charge", use, now)
        self.charges[key] = use
        return use

    def introduce(self, kind, use, now):
        record = {"charge": use} if kind == "charge" else {"hold": use}
        for grant, part in use.drawn or [(None, ZERO)]:
            self.write(kind, grant, -part, now, **record)
        use.after = self.balance
        self.visit_use(use, kind)
        self.limits.count(use, use.credits, use.count, self.plan.zone, now)
        self.notice(now)

    def hold(self, key, use, most, now):
        """Hold a use, once for its key, where fewer than `most` holds run."""
        self.settle(now)
        if key in self.holds:
            return self.again(self.holds, key, use, "hold")
        running = sum(hold.status == "held" for hold in self.holds.values())
        if most is not None and running >= most:
            self.visit("hold: refused, too many")
            raise Refused("TooManyHolds", most=most)
        self.authorize(use, "hold", now)
        use.drawn = self.draw(use.credits, use.covers, "held")
        use.parts = list(use.drawn)
        self.introduce("hold", use, now)
        self.holds[key] = use
        return use

    def give_back(self, hold, status, now):
        kept = [(grant, part) for grant, part in hold.parts if part]
        self.visit(f"hold {status}" + ("" if kept else ": of nothing"))
        for grant, part in kept:
            self.write("release", grant, part, now, hold=hold)
            if hold.parent:
                self.write("transfer", grant, -part, now, hold=hold.parent)
            else:
                grant.held -= part
                self.land(grant, part, now, "hold")
        if not kept:
            self.write("release", None, ZERO, now, hold=hold)
        if status == "released" or ends_alone(hold):
            self.limits.rolled(hold, self.plan.zone, now)
        self.uncount_hold(hold, total(kept), now, f"hold {status}")
        if hold.parent:
            self.return_to_parent(hold, kept, now)
        hold.status, hold.closed = status, now

    def uncount_hold(self, hold, credits, now, why):
        """Subtract what the limits count of a hold that closes."""
        if hold.parent:
            self.limits.uncount(hold, ZERO, hold.count, hold.made, why)
            self.limits.count_reserved(hold, -credits, self.plan.zone, now, why)
        else:
            self.limits.uncount(hold, credits, hold.count, hold.made, why)

    def still_held(self, hold, what, now):
        self.settle(now)
        if hold.status != "held":
            self.visit(f"{what}: refused, {hold.status}")
            raise Refused("HoldClosed", hold_status=hold.status)
        self.refuse_open_children(hold, what)

    def release(self, hold, now):
        self.still_held(hold, "release", now)
        self.give_back(hold, "released", now)
        self.notice(now)

    def report(self, hold, reported, now):
        """Store what a running hold has used so far."""
        self.settle(now)
        if hold.status != "held":
            self.visit("report: refused, closed")
            raise Refused("HoldClosed", hold_status=hold.status)
        self.visit("report: again" if hold.reported else "report: first")
        hold.reported = reported

    def capture(self, hold, key, use, now):
        """Use the held credits first, then the balance unless there is debt; the rest is uncollected.

        In a tree the holds above pay instead of the balance.
        """
        self.settle(now)
        if key in self.charges:
            return self.again(self.charges, key, use, "capture")
        self.still_held(hold, "capture", now)
        in_debt = bool(self.debt)
        self.settle_hold(hold, key, use, now, held_only=bool(hold.parent or hold.is_tree))
        self.visit_capture(hold, use, in_debt)
        self.notice(now)
        return use

    def use_of_end(self, hold, credits, reported, at):
        """The use of a hold that is captured at its end."""
        count = reported["count"] if reported and reported["count"] is not None else hold.count
        detail = reported["detail"] if reported else hold.detail
        return a_use(credits=credits, subjects={}, count=count, made=at, detail=detail)

    def settle_hold(self, hold, key, use, now, held_only):
        """Close a hold with the charge of a use."""
        held, in_debt = total(hold.parts), bool(self.debt)
        use.hold, hold.charge, before = hold, use, self.balance
        use.covers, use.subjects = hold.covers, use.subjects | hold.subjects
        use.count = hold.count if use.count is None else use.count
        unused, kept = [], [(grant, part) for grant, part in hold.parts if part]
        for grant, part in kept:
            spent = min(use.credits - total(use.drawn), part)
            use.drawn += [(grant, spent)] if spent else []
            self.write("release", grant, part, now, charge=use, hold=hold)
            grant.held, grant.spent = grant.held - spent, grant.spent + spent
            if spent:
                self.write("charge", grant, -spent, now, charge=use, hold=hold)
            if part > spent and hold.parent:
                self.write("transfer", grant, spent - part, now, charge=use, hold=hold.parent)
                unused.append((grant, part - spent))
            elif part > spent:
                grant.held -= part - spent
                self.land(grant, part - spent, now, "hold")
        if not kept:
            self.write("release", None, ZERO, now, charge=use, hold=hold)
        self.limits.rolled(use, self.plan.zone, now)
        if hold.parent:
            self.return_to_parent(hold, unused, now)
        above = use.credits - total(use.drawn)
        if held_only:
            more = self.draw_above(hold, use, above, now) if above else []
        else:
            more = [] if in_debt else self.draw(above, hold.covers, "spent")
            for grant, part in more:
                self.write("charge", grant, -part, now, charge=use, hold=hold)
        use.drawn = by_grant(use.drawn + more)
        if not use.drawn:
            self.write("charge", None, ZERO, now, charge=use, hold=hold)
        use.after = self.balance
        use.before = use.after + total(use.drawn) if hold.parent else before + held
        hold.status, hold.closed, self.charges[key] = "captured", now, use
        self.uncount_hold(hold, held, now, "capture")
        self.limits.count(use, total(use.drawn), use.count, self.plan.zone, now)

    def visit_capture(self, hold, use, in_debt):
        if hold.parent or hold.is_tree:
            return self.visit(f"capture: in a tree, of its {'child' if hold.parent else 'root'}")
        above, short = use.credits - hold.credits, use.credits - total(use.drawn)
        amount = "above" if above > 0 else "below" if above < 0 else "exactly"
        self.visit(f"capture: {amount} what is held" + (" in debt" if in_debt else ""))
        if short and not in_debt:
            self.visit(
                "capture: a part uncollected"
                if short < above
                else "capture: nothing above the hold collected"
            )
        if not use.credits:
            self.visit("capture: covered" if use.covered_by else "capture: of nothing")
        if use.count != hold.count:
            self.visit("capture: another count of the quota")
        if len(hold.drawn) > 1:
            self.visit("capture: of a hold on several grants")
        return None

    # terms

    def set_limit(self, kind, subject, period, maximum, now):
        self.settle(now)
        old = self.limits.windows.get(name := limit_name(kind, subject, period))
        before = old and (old.period, old.maximum)
        used = None
        if maximum is None:
            self.visit("limit: removed" if old else "limit: removed where there is none")
            self.limits.windows.pop(name, None)
        else:
            uses = [(one, total(one.drawn) - one.returned) for one in self.charges.values()]
            uses += [(one, total(one.parts)) for one in self.holds.values() if one.status == "held"]
            used = self.limits.set(kind, subject, period, maximum, uses, self.plan.zone, now)
        if before != (maximum if maximum is None else (period, maximum)):
            self.write("terms", None, ZERO, now)
        self.notice(now)
        return used

    def set_warning(self, below, now):
        self.settle(now)
        self.visit("notice: threshold set again" if below == self.warn_below else "notice: threshold set")
        if below != self.warn_below:
            self.write("terms", None, ZERO, now)
        self.warn_below = below
        self.notice(now)
        return self.is_low
