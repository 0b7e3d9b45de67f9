"""Reference model of corrections (see `model.py`): reversals, adjustments, claw-backs, restorations."""

from decimal import ROUND_FLOOR
from types import SimpleNamespace as Record

from tests.billing.ledger.periods import DAY, NEVER, ZERO, a_grant, total


class Refused(Exception):
    """A refusal: the class name of the ledger's error, and its figures."""

    def __init__(self, error, **figures):
        super().__init__(error)
        self.figures = figures


class Corrections:
    """The parts of an account that undo or take. Each correction is once for its kind and key."""

    def put_back(self, kind, grant, credits, key, now, charge=None, why=("", "")):
        """Return credits to a grant, or to a new one for 30 days where it has ended. Returns the grant."""
        if grant.expires > now:
            self.write(kind, grant, credits, now, charge=charge, why=why)
            self.land(grant, credits, now, kind)
            return grant
        self.visit(f"{kind}: to a new grant")
        more = {
            "services": grant.services,
            "purchase": grant.purchase,
            "expires": now + 30 * DAY,
            "reason": why[0],
        }
        fresh = a_grant(f"return:{kind}:{key}:{grant.id}", credits, "adjustment", now, **more)
        self.grants.append(fresh)
        self.write(kind, fresh, credits, now, charge=charge, why=why)
        self.land(fresh, credits, now, kind)
        return fresh

    def correct(self, kind, key, now, credits, debt, detail, why=("", ""), charge=None):
        """Record a correction, which is an entry without credits. Returns what the ledger says about it."""
        self.write("correct", None, ZERO, now, charge=charge, why=why)
        record = {"credits": credits, "debt": debt, "detail": detail, "balance_after": self.balance}
        self.corrections[kind, key] = Record(**record, charge=charge, why=why, undone=False, at=now)
        self.notice(now)
        return record

    def reverse(self, charge, credits, key, now, why=("", "")):
        """Return the last drawn first; skip what earlier reversals returned."""
        self.settle(now)
        left = total(charge.drawn) - charge.returned
        credits, skip = left if credits is None else credits, charge.returned
        before = charge.returned
        free = not credits and not charge.credits and charge.count and not charge.reversed
        if not free and not 0 < credits <= left:
            uncollected = ", uncollected" if total(charge.drawn) < charge.credits else ""
            self.visit(
                "reverse: refused"
                + (uncollected or (", nothing is left" if not left else ", more than is left"))
            )
            raise Refused("NotReversible", asked=credits, left=left)
        landed = []
        for grant, part in reversed(charge.drawn):
            back = min(part - min(skip, part), credits - sum(part for _, part in landed))
            skip, charge.returned = skip - min(skip, part), charge.returned + back
            if back:
                grant.spent -= back
                if grant.spent + grant.held < grant.booked:
                    self.visit("reverse: of what is booked as debt")
                name = f"{key}:{len(landed) + 1}"
                landed.append((self.put_back("reverse", grant, back, name, now, charge, why), back))
        if total(charge.drawn) < charge.credits:
            self.visit("reverse: of a charge that is partly uncollected")
        self.visit(
            "reverse: of a free use" if free else "reverse: all" if credits == left else "reverse: a part"
        )
        if before:
            self.visit("reverse: after another reversal")
        if len(landed) > 1:
            self.visit("reverse: to several grants")
        count = charge.count if free else counted(charge, charge.returned) - counted(charge, before)
        if charge.count and 0 < count < charge.count:
            self.visit("reverse: a part of the quota's count")
        charge.reversed = True
        self.limits.rolled(charge, self.plan.zone, now)
        self.limits.uncount(charge, credits, count, charge.made, "reversal")
        detail = [(grant, part, ZERO) for grant, part in landed]
        return self.correct("reverse", key, now, credits, ZERO, detail, why, charge)

    def adjust(self, credits, key, now, why=("", "")):
        self.settle(now)
        if credits > 0:
            grown = self.balance + self.held + credits - min(self.debt, credits)
            if grown > self.largest:
                self.visit("adjust: refused, too large")
                raise Refused("BalanceTooLarge")
            self.visit("adjust: adds")
            fresh = a_grant(f"adjust:{key}", credits, "adjustment", now, reason=why[0])
            self.add(fresh, now, *why, kind="adjust")
            return self.correct("adjust", key, now, credits, ZERO, [(fresh, credits, ZERO)], why)
        if self.balance < -credits:
            self.visit("adjust: refused, not enough")
            raise Refused("InsufficientCredits", needed=-credits, available=self.balance)
        drawn = self.draw(-credits, None, "taken")
        self.visit("adjust: takes all" if not self.balance else "adjust: takes")
        for grant, part in drawn:
            self.write("adjust", grant, -part, now, why=why)
        return self.correct(
            "adjust", key, now, credits, ZERO, [(grant, -part, ZERO) for grant, part in drawn], why
        )

    def claw_back(self, purchase, most, unspent_only, key, now, grants=None, why=("", "")):
        """Take what is unspent of the purchase, then book what was spent or is held as debt: in all no more
        than its grants (or those named) still have, hold and have spent without owing it."""
        self.settle(now)
        of_purchase = grants or [grant for grant in self.grants if grant.purchase == purchase]
        of_purchase = sorted(of_purchase, key=lambda grant: (grant.created, str(grant.id)))
        unspent = sum((grant.remaining for grant in of_purchase), ZERO)
        spent = sum((grant.spent + grant.held - grant.booked for grant in of_purchase), ZERO)
        take = max(ZERO, min(most, unspent + min(ZERO, spent)))
        owe = ZERO if unspent_only else max(ZERO, min(most - take, spent))
        self.visit_claw_back(of_purchase, take, owe, most < unspent + spent, unspent_only)
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
            if took or owed:
                self.write("claw_back", grant, -took, now, debt=owed, why=why)
                self.clawed[key].append((grant, took, owed))
        taken, owed = (sum((line[place] for line in self.clawed[key]), ZERO) for place in (1, 2))
        self.notice(now)
        return self.correct("claw_back", key, now, taken, owed, list(self.clawed[key]), why)

    def visit_claw_back(self, grants, take, owe, partial, unspent_only):
        both = "both" if take and owe else "unspent credits" if take else "debt" if owe else "nothing"
        self.visit(f"claw-back: {both}" + (", a part" if partial and both != "nothing" else ""))
        for rule, is_so in {
            "claw-back: of held credits": owe and any(grant.held for grant in grants),
            "claw-back: only the unspent": unspent_only,
            "claw-back: after another one": any(grant.booked for grant in grants),
            "claw-back: of an ended grant": any(grant.taken or grant.expires < NEVER for grant in grants),
        }.items():
            if is_so:
                self.visit(rule)

    def restore(self, claw_back_key, key, now, why=("", "")):
        """Undo one claw-back: outstanding debt is cancelled, repaid debt returns as credits."""
        self.settle(now)
        claimed = self.corrections["claw_back", claw_back_key]
        if claimed.undone:
            self.visit("restore: refused, restored before")
            raise Refused("AlreadyRestored", key=claw_back_key)
        claimed.undone, lines = ("restore", key), []
        for grant, took, owed in self.clawed[claw_back_key]:
            lift = min(owed, self.debt)
            self.debt, grant.booked = self.debt - lift, grant.booked - lift
            if lift:
                self.write("restore", grant, ZERO, now, debt=-lift, why=why)
            if owed > lift:
                self.visit("restore: credits for debt that was repaid")
            lines.append((grant, took + owed - lift, -lift))
        returned = [(grant, credits) for grant, credits, _ in lines if credits]
        for part, (grant, credits) in enumerate(returned, start=1):
            self.put_back("restore", grant, credits, f"{key}:{part}", now, why=why)
        given, lifted = sum((line[1] for line in lines), ZERO), sum((line[2] for line in lines), ZERO)
        self.visit(
            "restore: "
            + ("both" if given and lifted else "credits" if given else "debt" if lifted else "nothing")
        )
        del self.clawed[claw_back_key]
        return self.correct("restore", key, now, given, lifted, lines, why)


def counted(charge, returned):
    """How much of its count a quota has back: with the last credit all, before that whole counts."""
    collected = total(charge.drawn)
    if returned == collected:
        return charge.count
    return (charge.count * returned / collected).to_integral_value(ROUND_FLOOR)
