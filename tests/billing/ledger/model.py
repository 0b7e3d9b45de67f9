"""Reference model of the ledger for one account, in plain Python without database and locks.

`test_against_model.py` makes the same moves here and in the ledger and compares them after each. It is
written from the rules and short enough to be read against them; expiry and renewal are in `periods.py`.
"""

from tests.billing.ledger.periods import DAY, ZERO, Dated, a_grant, total


class Refused(Exception):
    """A refusal; its text is the class name of the ledger's error."""


class Book(Dated):
    """One account. A use (charge or hold) is a Record of id, credits, covers, limited, fingerprint, made."""

    def __init__(self):
        super().__init__()
        self.debt, self.grants, self.charges, self.holds, self.clawed = ZERO, [], {}, {}, {}

    def add(self, grant, now):
        self.grants.append(grant)
        self.land(grant, grant.credits, now)

    def land(self, grant, credits, now):
        """Add credits to a grant; they repay debt first.

        Credits that return to a grant which has ended expire at once; those that are booked as debt repay it.
        """
        ended = grant.expires <= now
        owed = max(ZERO, min(credits, grant.booked - grant.spent - grant.held)) if ended else credits
        paid = min(self.debt, owed)
        grant.spent, grant.repaid, self.debt = grant.spent + paid, grant.repaid + paid, self.debt - paid
        grant.remaining += ZERO if ended else credits - paid

    def put_back(self, grant, credits, key, now):
        """Return credits to a grant, or to a new one for 30 days where it has ended."""
        if grant.expires > now:
            return self.land(grant, credits, now)
        more = {"services": grant.services, "purchase": grant.purchase, "expires": now + 30 * DAY}
        return self.add(a_grant(f"return:{key}:{grant.id}", credits, "adjustment", now, **more), now)

    def draw(self, credits, covers, into=None):
        """Return the grants that pay, in spending order; with `into` (spent, held, booked) draw from them."""
        drawn = []
        for grant in sorted(self.grants, key=lambda g: (g.priority, g.expires, g.created, g.id)):
            part = min(grant.remaining, credits - total(drawn))
            if part and (covers is None or grant.services is None or set(grant.services) & set(covers)):
                drawn.append((grant, part))
        for grant, part in drawn if into else ():
            grant.remaining -= part
            setattr(grant, into, getattr(grant, into) + part)
        return drawn

    def use(self, uses, key, use, now):
        """Charge or hold a use, once for its key."""
        self.settle(now)
        if key in uses:
            if uses[key].fingerprint != use.fingerprint:
                raise Refused("KeyReused")
            return uses[key]
        self.count(use, ZERO, now)
        if self.would_exceed(use):
            raise Refused("LimitReached")
        if use.credits and self.debt:
            raise Refused("InDebt")
        if total(self.draw(use.credits, use.covers)) < use.credits:
            raise Refused("InsufficientCredits")
        use.drawn = self.draw(use.credits, use.covers, "spent" if uses is self.charges else "held")
        self.count(use, use.credits, now)
        return uses.setdefault(key, use)

    def give_back(self, hold, status, now):
        for grant, part in hold.drawn:
            grant.held -= part
            self.land(grant, part, now)
        self.count(hold, -hold.credits, now)
        hold.status = status

    def still_held(self, hold, now):
        self.settle(now)
        if hold.status != "held":
            raise Refused("HoldClosed")

    def release(self, hold, now):
        self.still_held(hold, now)
        self.give_back(hold, "released", now)

    def capture(self, hold, key, use, now):
        """Use the held credits first, then the balance; the rest is uncollected."""
        if key in self.charges:
            return self.use(self.charges, key, use, now)
        self.still_held(hold, now)
        for grant, part in hold.drawn:
            spent = min(use.credits - total(use.drawn), part)
            use.drawn += [(grant, spent)] if spent else []
            grant.held, grant.spent = grant.held - part, grant.spent + spent
            self.land(grant, part - spent, now)
        use.drawn += [] if self.debt else self.draw(use.credits - total(use.drawn), hold.covers, "spent")
        hold.status, use.limited, self.charges[key] = "captured", hold.limited, use
        self.count(hold, -hold.credits, now)
        self.count(use, total(use.drawn), now)
        return use

    def reverse(self, charge, credits, key, now):
        """Return the last drawn first; skip what earlier reversals returned."""
        self.settle(now)
        left = total(charge.drawn) - charge.returned
        credits, skip, parts = left if credits is None else credits, charge.returned, 0
        if not 0 < credits <= left:
            raise Refused("NotReversible")
        for grant, part in reversed(charge.drawn):
            back = min(part - min(skip, part), credits)
            skip, credits, charge.returned = skip - min(skip, part), credits - back, charge.returned + back
            if back:
                grant.spent -= back
                parts += 1
                self.put_back(grant, back, f"reverse:{key}:{parts}", now)
                self.count(charge, -back, now)

    def adjust(self, credits, key, now):
        self.settle(now)
        if credits > 0:
            return self.add(a_grant(f"adjust:{key}", credits, "adjustment", now), now)
        if total(self.draw(-credits, None)) < -credits:
            raise Refused("InsufficientCredits")
        return self.draw(-credits, None, "taken")

    def claw_back(self, purchase, most, unspent_only, key, now, grants=None):
        """Take what is unspent of the purchase, then book what was spent or is held as debt: in all no more
        than its grants (or those named) still have, hold and have spent without owing it."""
        self.settle(now)
        of_purchase = grants or [grant for grant in self.grants if grant.purchase == purchase]
        unspent = sum(grant.remaining for grant in of_purchase)
        spent = sum(grant.spent + grant.held - grant.booked for grant in of_purchase)
        take = max(ZERO, min(most, unspent + min(ZERO, spent)))
        owe = ZERO if unspent_only else max(ZERO, min(most - take, spent))
        self.clawed[key] = []
        for grant in of_purchase:
            took = min(grant.remaining, take)
            owed = min(owe, max(ZERO, grant.spent + grant.held - grant.booked))
            grant.remaining, grant.booked, self.debt = (
                grant.remaining - took,
                grant.booked + owed,
                self.debt + owed,
            )
            take, owe = take - took, owe - owed
            self.clawed[key].append((grant, took, owed))

    def restore(self, claw_back_key, key, now):
        """Undo one claw-back: outstanding debt is cancelled, repaid debt returns as credits."""
        self.settle(now)
        returned = []
        for grant, took, owed in self.clawed.pop(claw_back_key):
            lift = min(owed, self.debt)
            self.debt, grant.booked = self.debt - lift, grant.booked - lift
            returned += [(grant, took + owed - lift)] if took + owed - lift else []
        for part, (grant, credits) in enumerate(returned, start=1):
            self.put_back(grant, credits, f"restore:{key}:{part}", now)
