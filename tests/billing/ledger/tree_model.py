"""Reference model of child holds (see `model.py`), and of what becomes of a hold that nobody captures.

`hold.parts` is what a hold still reserves itself; `hold.is_tree` says that it has, or had, a child.
"""

from decimal import Decimal

from tests.billing.ledger.corrections_model import Refused
from tests.billing.ledger.periods import ZERO, total

DEEPEST = 4


class Trees:
    """The parts of an account that concern trees of holds. `Book` has the other moves."""

    def covering(self, hold, covers, credits):
        """Return the parts of the hold that pay for up to `credits` of a use, in order."""
        found = []
        for grant, part in hold.parts:
            take = min(part, credits - total(found))
            if take > 0 and (grant.services is None or set(grant.services) & set(covers)):
                found.append((grant, take))
        return found

    def change_reserved(self, hold, parts, sign, now):
        """Add parts to what a hold reserves (sign 1), or subtract them, and in the limits that count it."""
        changes = {id(grant): part for grant, part in parts}
        hold.parts = [(grant, part + sign * changes.get(id(grant), ZERO)) for grant, part in hold.parts]
        hold.is_tree = True
        self.limits.count_reserved(hold, sign * total(parts), self.plan.zone, now, "parent")

    def return_to_parent(self, hold, parts, now):
        if parts:
            self.visit("tree: unused credits go to the parent")
            self.change_reserved(hold.parent, parts, 1, now)

    def hold_child(self, key, use, parent, most, now):
        """Hold credits of the parent, once for the key."""
        self.settle(now)
        if key in self.holds:
            return self.again(self.holds, key, use, "child")
        self.refuse_child(use, parent, most, now)
        use.parent, use.depth, use.ends = parent, parent.depth + 1, min(use.ends, parent.ends)
        use.drawn = self.covering(parent, use.covers, use.credits)
        use.parts = list(use.drawn)
        for grant, part in use.drawn:
            self.write("transfer", grant, part, now, hold=parent)
            self.write("hold", grant, -part, now, hold=use)
        if not use.drawn:
            self.write("hold", None, ZERO, now, hold=use)
        self.change_reserved(parent, use.drawn, -1, now)
        self.limits.count(use, ZERO, use.count, self.plan.zone, now)
        self.limits.count_reserved(use, use.credits, self.plan.zone, now, "child")
        self.notice(now)
        self.visit(f"child: at depth {use.depth}")
        self.visit(
            "child: in debt" if self.debt else "child: of nothing" if not use.credits else "child: made"
        )
        if use.credits and not total(parent.parts):
            self.visit("child: of exactly all that remains")
        if len(use.drawn) > 1:
            self.visit("child: of several grants")
        if any(grant.expires <= now for grant, _ in use.drawn):
            self.visit("child: of an ended grant")
        self.holds[key] = use
        return use

    def refuse_child(self, use, parent, most, now):
        if parent.status != "held":
            self.visit("child: refused, the parent is closed")
            raise Refused("HoldClosed", hold_status=parent.status)
        if parent.depth == DEEPEST:
            self.visit("child: refused, too deep")
            raise Refused("TreeTooDeep", most=DEEPEST)
        if most is not None and sum(hold.status == "held" for hold in self.holds.values()) >= most:
            self.visit("child: refused, too many")
            raise Refused("TooManyHolds", most=most)
        if window := self.limits.stopping(use, self.plan.zone, now, parent):
            self.visit("child: refused by a limit")
            raise Refused("QuotaReached" if window.kind == "quota" else "LimitReached", **window.figures())
        remaining = total(self.covering(parent, use.covers, Decimal(10**15)))
        if remaining < use.credits:
            scoped = total(parent.parts) >= use.credits
            self.visit("child: refused, not enough " + ("for its service" if scoped else "remains"))
            raise Refused("BudgetExceeded", needed=use.credits, remaining=remaining)

    def refuse_open_children(self, hold, what):
        if children := sum(one.parent is hold and one.status == "held" for one in self.holds.values()):
            self.visit(f"{what}: refused, children are open")
            raise Refused("ChildrenOpen", children=children)

    def draw_above(self, hold, use, credits, now):
        """Charge up to `credits` to what the holds above have free, the nearest first."""
        drawn, above = [], hold.parent
        while above and total(drawn) < credits:
            parts = self.covering(above, use.covers, credits - total(drawn))
            for grant, part in parts:
                self.write("transfer", grant, part, now, charge=use, hold=above)
                self.write("charge", grant, -part, now, charge=use, hold=hold)
                grant.held, grant.spent = grant.held - part, grant.spent + part
            if parts:
                self.visit(
                    "tree: a capture takes from the " + ("parent" if above is hold.parent else "holds above")
                )
                self.change_reserved(above, parts, -1, now)
            drawn += parts
            above = above.parent
        if credits > total(drawn):
            self.visit("tree: a part uncollected")
        return drawn

    def end(self, hold, at):
        """End a hold at its instant: release it, or capture what its service says."""
        credits = {
            "release": None,
            "capture_estimate": total(hold.parts),
            "capture_reported": hold.reported and hold.reported["credits"],
        }[hold.at_expiry]
        if credits is None:
            self.visit(f"end: {hold.at_expiry} releases")
            return self.give_back(hold, "expired", at)
        reported = hold.at_expiry == "capture_reported"
        self.visit(f"end: {hold.at_expiry} captures" + (" in a tree" if hold.parent or hold.is_tree else ""))
        use = self.use_of_end(hold, credits, hold.reported if reported else None, at)
        self.settle_hold(hold, f"expiry of {hold.id}", use, at, held_only=True)
        if use.credits > total(use.drawn):
            self.visit("end: a part uncollected")
        return None
