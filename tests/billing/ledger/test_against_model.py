"""The ledger agrees with the reference model after every move that Hypothesis makes.

One account and one transaction for each run of moves, rolled back at its end. Rules advance the time by
minutes and months and to the microsecond at which something ends.
"""

import datetime as dt
import uuid
from decimal import ROUND_UP, Decimal
from types import SimpleNamespace as Record

import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import Account
from billing import ledger
from tests.billing.ledger.conftest import DAY, NOON, charge_request, give, new_account
from tests.billing.ledger.examples import profile, seeded_class
from tests.billing.ledger.model import Book, Refused
from tests.billing.ledger.periods import NEVER, a_grant, total
from tests.billing.ledger.rows import as_modelled, as_written, drawn, everything_of
from tests.billing.ledger.state import broken

PROJECT = uuid.UUID(int=7)
PLANS = {
    "none": {},
    "free": {"daily": ("daily", "5", "day", 10)},
    "pro": {"pro": ("plan", "100", "month", 20), "pro daily": ("daily", "10", "day", 11)},
    "max": {"max": ("plan", "300", "month", 21), "max bonus": ("bonus", "7.5", "month", 22)},
}
amounts = st.sampled_from(["0.000001", "0.5", "1", "3", "7.25", "40", "150"]).map(Decimal)
# shares of what exists: a little, a part, all, and more
shares = st.sampled_from(["0", "0.000001", "1/3", "1/3", "1/2", "1", "1", "1.000001", "2"])
many = st.integers(0, 30)
projects = st.sampled_from([False, False, True])
CENT = Decimal("0.000001")
lifetimes = st.sampled_from([None, None, 1, 20])
covers = st.sampled_from([("gpt-4o", "tag:text"), ("flux", "tag:image")])
services = st.sampled_from([None, None, ("gpt-4o",), ("tag:image",)])


class Moves(RuleBasedStateMachine):
    """Every rule makes one move in both; both must refuse it for the same reason."""

    waiting = False

    @initialize(zone=st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"]))
    def open(self, zone):
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.now, self.book, self.count = NOON, Book(), 0
        self.account = new_account(zone)
        self.book.plan.zone = zone
        self.purchases, self.again = [], []

    def teardown(self):
        if hasattr(self, "undo"):
            try:
                assert broken([self.account]) == []
            finally:
                transaction.set_rollback(True)
                self.undo.__exit__(None, None, None)

    def key(self):
        self.count += 1
        return f"move {self.count}"

    def both(self, in_model, in_ledger):
        """Return both results, or None where both refuse for the same reason."""
        expected = found = outcome = given = None
        try:
            given = in_model()
        except Refused as error:
            expected = str(error)
        try:
            outcome = in_ledger()
        except ledger.LedgerError as error:
            found = type(error).__name__
        assert found == expected
        if outcome is not None:
            self.again.append(in_ledger)
        return given, outcome

    # moves

    @rule(credits=amounts, kind=st.sampled_from(["top_up", "bonus"]), days=lifetimes, of=services)
    def grant(self, credits, kind, days, of):
        self.give(credits, kind, days, of, None)

    @rule(credits=amounts, days=lifetimes, bonus=st.booleans(), first=st.booleans())
    def buy(self, credits, days, bonus, first):
        """`first`: spent before anything else, so that a refund finds it spent."""
        self.purchases.append(uuid.uuid4())
        self.give(credits, "top_up", days, None, self.purchases[-1], 1 if first else 40)
        if bonus:
            self.give(Decimal(2), "bonus", 3, None, self.purchases[-1])

    def give(self, credits, kind, days, of, purchase, priority=None):
        self.now += dt.timedelta(
            microseconds=1
        )  # no two grants at one instant: their order would depend on ids that the ledger generates
        ends = None if days is None else self.now + days * DAY
        terms = {
            "kind": kind,
            "services": of,
            "purchase_id": purchase,
            "expires_at": ends,
            "priority": priority,
        }
        key, now = self.key(), self.now
        model_grant = a_grant(key, credits, kind, now, ends or NEVER, services=of, purchase=purchase)
        model_grant.priority = model_grant.priority if priority is None else priority
        self.both(
            lambda: (self.book.settle(now), self.book.add(model_grant, now)),
            lambda: give(self.account, str(credits), key, now, **terms),
        )

    def share(self, name, of=None):
        """Return a share of the balance (or of `of`), to six places."""
        if name == "0.000001":
            return Decimal(name)
        of = sum((grant.remaining for grant in self.book.grants), Decimal(0)) if of is None else of
        top, _, bottom = name.partition("/")
        return (of * Decimal(top) / Decimal(bottom or 1)).quantize(Decimal("0.000001"), ROUND_UP)

    def new_use(self, credits, names, in_project, body=b"", key=None):
        """Return the same use for the model and for the ledger."""
        key = key or self.key()
        self.count += 1
        used = uuid.UUID(int=self.count)  # ids decide ties, so they must be the same when a run is repeated
        model_use = Record(
            id=used, credits=credits, covers=names, limited=in_project, fingerprint=body, made=self.now
        )
        model_use.drawn, model_use.returned, model_use.status = [], Decimal(0), "held"
        project = PROJECT if in_project else None
        request = charge_request(
            self.account, str(credits), key, covers=names, project_id=project, fingerprint=body, id=used
        )
        return key, model_use, request

    @rule(share=shares, names=covers, in_project=projects)
    def charge(self, share, names, in_project):
        key, model_use, request = self.new_use(self.share(share), names, in_project)
        now = self.now
        self.both(
            lambda: self.book.use(self.book.charges, key, model_use, now), lambda: ledger.charge(request, now)
        )

    @precondition(lambda self: self.book.charges)
    @rule(which=many, body=st.sampled_from([b"", b"other"]))
    def charge_with_an_old_key(self, which, body):
        key = list(self.book.charges)[which % len(self.book.charges)]
        key, model_use, request = self.new_use(Decimal(1), ("gpt-4o",), False, body, key)
        given, outcome = self.both(
            lambda: self.book.use(self.book.charges, key, model_use, self.now),
            lambda: ledger.charge(request, self.now),
        )
        assert outcome is None or (outcome.replayed and outcome.charge_id == given.id)

    @rule(
        wanted=st.lists(st.tuples(shares, covers, projects), min_size=1, max_size=5),
        large=st.booleans(),
    )
    def charge_many(self, wanted, large):
        """`large`: above 48, where a batch is charged by one statement."""
        part = 50 if large else 2
        every = [(self.share(share) / part, *rest) for share, *rest in wanted * (48 if large else 1)]
        uses = [self.new_use(credits.quantize(CENT), *rest) for credits, *rest in every]
        outcomes = ledger.charge_many([request for _, _, request in uses], self.now)
        for (key, model_use, _), outcome in zip(uses, outcomes, strict=True):
            try:
                assert self.book.use(self.book.charges, key, model_use, self.now).id == outcome.charge_id
            except Refused as error:
                assert type(outcome).__name__ == str(error)

    @rule(share=shares, names=covers, in_project=projects, minutes=st.sampled_from([1, 90, 3000]))
    def hold(self, share, names, in_project, minutes):
        key, model_use, request = self.new_use(self.share(share), names, in_project)
        now, model_use.ends = self.now, self.now + dt.timedelta(minutes=minutes)
        self.both(
            lambda: self.book.use(self.book.holds, key, model_use, now),
            lambda: ledger.hold(request, expires_at=model_use.ends, now=now),
        )

    def one_of(self, uses, which):
        """Pick a purchase, charge or hold, mostly one that is still open."""
        every = list(uses.values())
        left = [one for one in every if one.status == "held" and one.returned < total(one.drawn)]
        return left[which % len(left)] if left and which > 3 else every[which % len(every)]

    @precondition(lambda self: self.book.holds)
    @rule(which=many, share=shares)
    def capture(self, which, share):
        hold, now = self.one_of(self.book.holds, which), self.now
        key, model_use, _ = self.new_use(self.share(share, hold.credits), (), False)
        terms = {"account_id": self.account, "hold_id": hold.id, "credits": model_use.credits, "detail": {}}
        _, outcome = self.both(
            lambda: self.book.capture(hold, key, model_use, now),
            lambda: ledger.capture(key=key, now=now, **terms),
        )
        if outcome:
            model_use.id = outcome.charge_id

    @precondition(lambda self: self.book.holds)
    @rule(which=many)
    def release(self, which):
        hold = self.one_of(self.book.holds, which)
        self.both(
            lambda: self.book.release(hold, self.now),
            lambda: ledger.release(account_id=self.account, hold_id=hold.id, now=self.now),
        )
        self.again.clear()  # a release has no key: made again it is refused, as the next release shows

    @precondition(lambda self: self.book.charges)
    @rule(which=many, share=st.none() | shares)
    def reverse(self, which, share):
        charge, key, now = self.one_of(self.book.charges, which), self.key(), self.now
        credits = self.share(share, charge.credits) or None if share else None
        terms = {"charge_id": charge.id, "credits": credits, "reason": "failed"}
        self.both(
            lambda: self.book.reverse(charge, credits, key, now),
            lambda: ledger.reverse(account_id=self.account, key=key, now=now, **terms),
        )

    @rule(credits=amounts, share=st.none() | shares)
    def adjust(self, credits, share):
        credits = credits if share is None else -(self.share(share) or credits)
        key, now, terms = self.key(), self.now, {"credits": credits, "reason": "why", "actor": "who"}
        self.both(
            lambda: self.book.adjust(credits, key, now),
            lambda: ledger.adjust(account_id=self.account, key=key, now=now, **terms),
        )

    @precondition(lambda self: self.purchases)
    @rule(which=many, credits=st.none() | amounts, unspent_only=st.sampled_from([False, False, True]))
    def refund_or_dispute(self, which, credits, unspent_only):
        purchase, key, now = self.purchases[which % len(self.purchases)], self.key(), self.now
        terms = {
            "purchase_id": purchase,
            "credits": credits,
            "unspent_only": unspent_only,
            "reason": "dispute",
        }
        self.both(
            lambda: self.book.claw_back(purchase, credits or Decimal(10**9), unspent_only, key, now),
            lambda: ledger.claw_back(account_id=self.account, key=key, now=now, **terms),
        )

    @precondition(lambda self: self.book.clawed)
    @rule(which=many)
    def dispute_is_won(self, which):
        undone, key, now = list(self.book.clawed)[which % len(self.book.clawed)], self.key(), self.now
        terms = {"claw_back_key": undone, "reason": "won"}
        self.both(
            lambda: self.book.restore(undone, key, now),
            lambda: ledger.restore(account_id=self.account, key=key, now=now, **terms),
        )

    @rule(name=st.sampled_from(list(PLANS)), carry=st.booleans(), anchor_now=st.booleans())
    def change_plan(self, name, carry, anchor_now):
        self.now += dt.timedelta(seconds=1)
        self.waiting = False
        self.agree()  # the new key of carried-over credits contains the id of their grant
        now, anchor = self.now, self.now if anchor_now else NOON - 9 * DAY
        model_terms, ledger_terms = {}, []
        for key, (kind, credits, period, priority) in PLANS[name].items():
            terms = {"kind": kind, "credits": Decimal(credits), "period": period, "priority": priority}
            model_terms[key] = terms | {"anchor": anchor}
            ledger_terms.append(ledger.AllowanceTerms(key=key, label=key, anchor_at=anchor, **terms))
        terms = {"allowances": ledger_terms, "carry_over": carry}
        self.both(
            lambda: self.book.change_plan(model_terms, carry, now),
            lambda: ledger.set_allowances(account_id=self.account, now=now, **terms),
        )
        self.again.clear()

    @rule(maximum=amounts, period=st.sampled_from(["day", "month", "ever"]))
    def limit(self, maximum, period):
        self.limit_to(maximum, period)

    def limit_to(self, maximum, period):
        terms = {"kind": "project", "subject": str(PROJECT), "period": period, "maximum": maximum}
        self.book.set_limit(period, maximum, self.now)
        used = ledger.set_limit(account_id=self.account, now=self.now, **terms)
        assert used == self.book.window.used

    @precondition(lambda self: self.again)
    @rule(which=many)
    def the_same_request_again(self, which):
        """Repeat earlier requests: nothing may change."""
        self.again[which % len(self.again)]()

    # time

    @rule(hours=st.sampled_from([0.01, 1, 7, 24, 40, 80, 24 * 70]))
    def wait(self, hours):
        self.waiting = True
        self.now += dt.timedelta(hours=hours)

    @rule()
    def wait_for_the_next_end(self):
        """Advance to the microsecond at which a grant or a hold ends."""
        self.waiting = True
        ends = [grant.expires for grant in self.book.grants if grant.remaining]
        ends += [hold.ends for hold in self.book.holds.values() if hold.status == "held"]
        self.now = min((end for end in ends if self.now < end < NEVER), default=self.now)

    @rule(zone=st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati"]))
    def move_house(self, zone):
        if self.book.window:  # so that both have the same window when the zone changes
            self.limit_to(self.book.window.maximum, self.book.window.period)
        self.book.settle(self.now)
        ledger.settle([self.account], self.now)
        Account.objects.filter(id=self.account).update(zone=zone)
        self.book.plan.zone = zone

    # after each move

    @invariant()
    def agree(self):
        if not hasattr(self, "account") or self.waiting:
            self.waiting = False  # time alone settles nothing: the next move settles first
            return
        self.book.settle(self.now)
        ledger.settle([self.account], self.now)
        wallet, grants, charges, holds, limits = everything_of(self.account)
        ids = {grant["idempotency_key"]: uuid.UUID(grant["id"]) for grant in grants}
        for grant in self.book.grants:
            grant.id = ids[grant.key]
        by_key = {one["idempotency_key"]: as_written(one) for one in grants}
        assert by_key == {one.key: as_modelled(one) for one in self.book.grants}
        sums = [sum(getattr(one, name) for one in self.book.grants) for name in ("remaining", "held")]
        assert [wallet["balance"], wallet["held"], wallet["debt"]] == [*sums, self.book.debt]
        by_key = {
            one["idempotency_key"]: (one["uncollected"], one["returned"], one["drawn"]) for one in charges
        }
        assert by_key == {
            key: (one.credits - total(one.drawn), one.returned, drawn(one))
            for key, one in self.book.charges.items()
        }
        by_key = {one["idempotency_key"]: (one["status"], one["drawn"]) for one in holds}
        assert by_key == {key: (one.status, drawn(one)) for key, one in self.book.holds.items()}
        ends = [dt.datetime.fromisoformat(one["window_end"] or NEVER.isoformat()) for one in limits]
        if limits and min(*ends, self.book.window.end) > self.now:
            assert limits[0]["used"] == self.book.window.used


@pytest.mark.fault("L3", "L7", "T7", "P12", "P13", "P14")
def test_the_ledger_and_the_model_agree_after_every_move(db):
    run_state_machine_as_test(seeded_class(Moves), settings=profile(100, stateful_step_count=30))
