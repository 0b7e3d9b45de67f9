"""Allowances: what they grant and when, what a change of terms does, and what is carried over."""

import datetime as dt
import uuid
from typing import Any

import pytest

from billing import ledger
from billing.ledger.models import Allowance, Entry, Grant, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    allowance,
    give,
    hold,
    new_account,
    owe,
    release,
    spend,
)
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, entries, grants

pytestmark = pytest.mark.django_db
HOUR, INSTANT = dt.timedelta(hours=1), dt.timedelta(microseconds=1)
MIDNIGHT = NOON + DAY / 2
NEXT_MONTH = dt.datetime(2026, 4, 10, 12, tzinfo=dt.UTC)


def allow(account, *terms, now=NOON, **options) -> str:
    return plain(ledger.set_allowances(account_id=account, allowances=terms, now=now, **options))


def total(account, now) -> str:
    return plain(ledger.balance(account, now).total)


def terms_entries() -> int:
    return Entry.objects.filter(kind="terms").count()


class TestWhatIsGranted:
    TERMS = {"kind": "bonus", "label": "Videos", "services": ("veo", "tag:video"), "priority": 7}

    @pytest.mark.parametrize(
        ("period", "lasts", "starts", "ends"),
        [
            ("day", "period", NOON, MIDNIGHT),
            ("day", "36 hours", NOON, NOON + DAY),  # counted from midnight
            ("day", "forever", NOON, None),
            ("month", "period", NOON, NEXT_MONTH),
            ("month", "3 months", NOON, dt.datetime(2026, 6, 10, 12, tzinfo=dt.UTC)),
            ("once", "1 month", NOON, NEXT_MONTH),
            ("once", "forever", NOON, None),
            ("once", "period", NOON, None),
        ],
    )
    def test_every_column_of_the_grant(self, account, period, lasts, starts, ends):
        allow(account, allowance("videos", "12.5", period, lasts=lasts, **self.TERMS))
        row = Grant.objects.get()
        assert (row.kind, row.label, row.credits, row.remaining, row.priority, row.services) == (
            "bonus", "Videos", D("12.5"), D("12.5"), 7, ["veo", "tag:video"],
        )  # fmt: skip
        assert (row.allowance, row.created_at, row.expires_at, row.purchase_id, row.open) == (
            "videos", starts, ends, None, True,
        )  # fmt: skip
        assert row.idempotency_key.startswith("allowance:videos:")
        assert (row.held, row.spent, row.reason, row.actor) == (0, 0, "", "")
        assert entries(account) == ["0 grant Videos 12.5 = 12.5 / 12.5"]

    @pytest.mark.parametrize("kind", ["daily", "plan", "bonus"])
    def test_the_priority_follows_the_kind_unless_it_is_given(self, account, kind):
        allow(account, allowance("a", "1", kind=kind), allowance("b", "1", kind=kind, priority=0))
        stored = dict(Grant.objects.values_list("allowance", "priority"))
        assert stored == {"a": {"daily": 10, "plan": 20, "bonus": 30}[kind], "b": 0}
        assert dict(Allowance.objects.values_list("key", "priority")) == stored

    def test_the_balance_names_what_renews_and_when(self, account):
        allow(
            account,
            allowance("month", "100", "month"),
            allowance("once", "5", "once", lasts="forever"),
            allowance("day", "10"),
            allowance("ends", "3", "month", ends_at=NOON + DAY),
        )
        spend(account, "4")
        balance = ledger.balance(account, NOON)
        named = [(one.key, one.label, one.credits, one.period, one.next_at) for one in balance.allowances]
        assert named == [
            ("day", "day", D("10"), "day", MIDNIGHT), ("month", "month", D("100"), "month", NEXT_MONTH),
        ]  # fmt: skip
        assert balance.daily is not None
        assert (balance.daily.key, balance.daily_remaining) == ("day", D("6"))
        assert {grant.allowance for grant in balance.grants} == {"month", "once", "day", "ends"}
        assert Wallet.objects.get().next_due_at == MIDNIGHT

    def test_the_last_day_of_a_plan_is_named_with_its_end_and_is_not_granted_again(self, account):
        end = MIDNIGHT - HOUR
        allow(account, allowance("day", "10", ends_at=end))
        give(account, "7", label="a gift of today", kind="daily", expires_at=MIDNIGHT)
        balance = ledger.balance(account, NOON)
        assert balance.daily is not None
        assert (balance.daily.next_at, balance.daily.is_last, balance.allowances) == (end, True, ())
        assert balance.daily_remaining == D("10")

    def test_without_a_daily_allowance_nothing_remains_of_today(self, account):
        allow(account, allowance("month", "100", "month"))
        balance = ledger.balance(account, NOON)
        assert (balance.daily, balance.daily_remaining) == (None, 0)


class TestRenewal:
    @pytest.mark.parametrize(("period", "ends"), [("day", MIDNIGHT), ("month", NEXT_MONTH)])
    def test_at_the_instant_and_not_before(self, account, period, ends):
        allow(account, allowance("plan", "10", period))
        spend(account, "4")
        assert total(account, ends - INSTANT) == "6"
        assert total(account, ends) == "10"
        minutes = round((ends - NOON).total_seconds() / 60)
        assert entries(account, after=Entry.objects.get(kind="charge").seq) == [
            f"{minutes} expire plan -6 = 0 / 0", f"{minutes} grant plan 10 = 10 / 10",
        ]  # fmt: skip

    def test_several_at_one_instant_are_granted_by_priority(self, account):
        allow(account, allowance("b", "2", priority=5), allowance("a", "1", priority=9), allowance("c", "4"))
        ledger.settle([account], MIDNIGHT)
        first = Entry.objects.filter(created_at=MIDNIGHT).order_by("seq").first()
        assert first is not None
        assert entries(account, after=first.seq - 1) == [
            "720 expire b -2 = 0 / 5", "720 expire a -1 = 0 / 4", "720 expire c -4 = 0 / 0",
            "720 grant b 2 = 2 / 2", "720 grant a 1 = 1 / 3", "720 grant c 4 = 4 / 7",
        ]  # fmt: skip

    def test_missed_periods_write_nothing_and_the_present_one_is_whole(self, account):
        allow(account, allowance("day", "10"), allowance("month", "100", "month"))
        now = NEXT_MONTH + 40 * DAY + HOUR
        assert total(account, now) == "110"
        assert Grant.objects.filter(allowance="day").count() == 2
        assert Grant.objects.filter(allowance="month").count() == 2
        month = Grant.objects.get(allowance="month", open=True)
        assert (month.created_at, month.expires_at) == (
            dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC), dt.datetime(2026, 6, 10, 12, tzinfo=dt.UTC),
        )  # fmt: skip

    @pytest.mark.parametrize("ends", [MIDNIGHT, MIDNIGHT - HOUR, MIDNIGHT + INSTANT])
    def test_an_allowance_renews_only_before_its_end(self, account, ends):
        allow(account, allowance("day", "10", ends_at=ends))
        ledger.settle([account], MIDNIGHT + 3 * HOUR)
        assert Grant.objects.count() == (2 if ends > MIDNIGHT else 1)
        assert total(account, MIDNIGHT + 3 * HOUR) == ("10" if ends > MIDNIGHT else "0")
        ledger.settle([account], NOON + 5 * DAY)
        assert Grant.objects.count() == (2 if ends > MIDNIGHT else 1)
        assert Wallet.objects.get().next_due_at is None

    @pytest.mark.parametrize("other", ["nothing else is due", "a hold has ended", "the account owes"])
    def test_one_that_goes_on_after_its_end_grants_the_next_period(self, account, other):
        """A plan that is paid a little after its period has ended."""
        allow(account, allowance("month", "100", "month", ends_at=NEXT_MONTH))
        if other == "a hold has ended":
            hold(account, "1")
        elif other == "the account owes":
            owe(account, "30")
        assert total(account, NEXT_MONTH + HOUR) == "0"
        later = NEXT_MONTH + 2 * HOUR
        terms = allowance("month", "100", "month", ends_at=NEXT_MONTH + 28 * DAY)
        assert allow(account, terms, now=later) == ("70" if other == "the account owes" else "100")

    def test_credits_that_end_before_their_period_are_not_granted_from_their_end_on(self, account):
        allow(account, allowance("month", "100", "month", lasts="1 day"))
        assert total(account, NEXT_MONTH + DAY) == "0"
        assert Grant.objects.count() == 1

    def test_one_that_is_not_granted_again_makes_nothing_due(self, account):
        allow(account, allowance("day", "10", lasts="forever", ends_at=MIDNIGHT))
        assert Wallet.objects.get().next_due_at is None

    @pytest.mark.parametrize(
        ("debt", "left"),
        [
            ("25", ["grant day 10 = 10 / 10", "repay day -10 = 0 / 0 debt -10"]),
        ],
    )
    def test_each_missed_period_repays_debt_and_is_written_as_far_as_it_does(self, account, debt, left):
        allow(account, allowance("day", "10"))
        spend(account, "10")
        owe(account, debt)
        since = Wallet.objects.get().seq
        ledger.settle([account], NOON + 4 * DAY)
        assert entries(account, since) == [
            *[f"{720 + 1440 * n} {line}" for n in range(2) for line in left],
            "3600 grant day 10 = 10 / 10", "3600 repay day -5 = 5 / 5 debt -5",
            "5040 expire day -5 = 0 / 0", "5040 grant day 10 = 10 / 10",
        ]  # fmt: skip
        assert amounts(account) == ("10", "0", "0")


class TestTheSameKeyAgain:
    def test_the_same_terms_change_nothing(self, account):
        terms = [allowance("day", "10"), allowance("month", "100", "month", services=("veo",))]
        allow(account, *terms)
        spend(account, "4")
        seq = Wallet.objects.get().seq
        assert [allow(account, *terms, now=NOON + n * HOUR) for n in (0, 1)] == ["106", "106"]
        assert (Wallet.objects.get().seq, terms_entries()) == (seq, 1)
        assert allow(account, *reversed(terms), now=NOON + HOUR) == "106"
        assert terms_entries() == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"credits": D("20")}, {"label": "New"}, {"kind": "bonus"}, {"services": ("veo",)},
            {"priority": 3}, {"lasts": "2 days"}, {"ends_at": NOON + 9 * DAY},
        ],
        ids=lambda change: next(iter(change)),
    )  # fmt: skip
    def test_other_terms_apply_from_the_next_period_on(self, account, change):
        old = {"kind": "daily", "label": "Old", "credits": D("10"), "period": "day", "anchor_at": NOON}
        allow(account, ledger.AllowanceTerms(key="day", **old))
        new: dict[str, Any] = old | change
        assert allow(account, ledger.AllowanceTerms(key="day", **new)) == "10", "today's are granted"
        assert terms_entries() == 2
        ledger.settle([account], MIDNIGHT)
        row, terms = Grant.objects.get(open=True), Allowance.objects.get()
        priority = new.get("priority", {"daily": 10, "bonus": 30}[new["kind"]])
        assert (row.kind, row.label, row.credits, row.priority) == (
            new["kind"], new["label"], new["credits"], priority,
        )  # fmt: skip
        assert row.services == (list(new["services"]) if "services" in new else None)
        assert row.expires_at == MIDNIGHT + (2 * DAY if "lasts" in new else DAY)
        assert (terms.lasts, terms.ends_at) == (new.get("lasts", "period"), new.get("ends_at"))
        assert ledger.audit.run(now=NOON).findings == []

    def test_another_period_grants_at_once(self, account):
        allow(account, allowance("plan", "10", "day"))
        assert allow(account, allowance("plan", "100", "month"), now=NOON + HOUR) == "110"
        assert total(account, MIDNIGHT) == "100"
        assert Allowance.objects.get().period == "month"

    def test_another_anchor_of_a_month_grants_at_once_and_of_a_day_does_not(self, account):
        later = NOON + HOUR
        allow(account, allowance("month", "100", "month"), allowance("day", "10"))
        terms = allowance("month", "100", "month", anchor_at=later), allowance("day", "10", anchor_at=later)
        assert allow(account, *terms, now=later) == "210"
        assert dict(Allowance.objects.values_list("key", "next_at")) == {
            "month": NEXT_MONTH + HOUR, "day": MIDNIGHT,
        }  # fmt: skip

    @pytest.mark.parametrize(("debt", "left"), [("0", ("200", "0", "0")), ("150", ("100", "0", "50"))])
    def test_an_anchor_that_comes_back_within_its_month_grants_nothing_twice(self, account, debt, left):
        allow(account, allowance("month", "100", "month"))
        if debt != "0":
            owe(account, debt)
        other = allowance("month", "100", "month", anchor_at=NOON + HOUR)
        allow(account, other, now=NOON + HOUR)
        assert amounts(account) == left
        allow(account, allowance("month", "100", "month"), now=NOON + 2 * HOUR)
        assert amounts(account) == left
        assert broken([account]) == []

    def test_what_was_granted_once_is_not_granted_again(self, account):
        once = allowance("free", "5", "once", lasts="forever")
        assert allow(account, once) == "5"
        assert allow(account, allowance("free", "9", "once", lasts="forever", anchor_at=NOON + HOUR)) == "5"
        assert total(account, NOON + 9 * DAY) == "5"
        assert Allowance.objects.get().next_at is None


class TestLeaving:
    def test_what_is_left_expires_with_a_reason_and_the_rest_stays(self, account):
        give(account, "3", "pack", label="pack")
        allow(
            account,
            allowance("day", "10"),
            allowance("month", "100", "month"),
            allowance("once", "5", "once", lasts="forever"),
            allowance("long", "7", lasts="3 days"),
        )
        spend(account, "4")
        since = Wallet.objects.get().seq
        assert allow(account, allowance("new", "50", "month"), now=NOON + HOUR) == "65"
        found = entries(account, since)
        left = {line.partition(" = ")[0]: line.rpartition("because ")[2] for line in found[:2]}
        reason = "plan changed by nobody"
        assert left == {"60 expire day -6": reason, "60 expire month -100": reason}
        # what lasts longer than its period is not taken: 3 bought, 5 once, 7 for three days
        assert found[2:] == ["60 grant new 50 = 50 / 65"]
        assert {name: row[0] for name, row in grants(account).items()} == {
            "pack": "3", "day": "0", "month": "0", "once": "5", "long": "7", "new": "50",
        }  # fmt: skip
        ended = dict(Allowance.objects.values_list("key", "ends_at"))
        assert ended == {
            "day": NOON + HOUR, "month": NOON + HOUR, "once": NOON + HOUR, "long": NOON + HOUR, "new": None,
        }  # fmt: skip
        assert total(account, NOON + 2 * DAY) == "65"
        assert broken([account]) == []

    def test_an_end_that_came_before_is_kept(self, account):
        allow(account, allowance("day", "10", ends_at=NOON + HOUR))
        allow(account, now=NOON + 2 * HOUR)
        assert Allowance.objects.get().ends_at == NOON + HOUR

    def test_an_end_to_come_is_brought_forward(self, account):
        allow(account, allowance("day", "10", ends_at=NOON + 9 * HOUR))
        allow(account, now=NOON + 2 * HOUR)
        assert Allowance.objects.get().ends_at == NOON + 2 * HOUR

    def test_of_another_account_is_not_affected(self, account):
        other = new_account()
        for one in account, other:
            allow(one, allowance("month", "100", "month"))
        allow(account, now=NOON + HOUR)
        assert (total(account, NOON + HOUR), total(other, NOON + HOUR)) == ("0", "100")
        assert Allowance.objects.get(account_id=other).ends_at is None

    def test_new_credits_repay_debt(self, account):
        allow(account, allowance("small", "10", "month"))
        owe(account, "30")
        assert allow(account, allowance("large", "100", "month"), now=NOON + HOUR) == "70"
        assert amounts(account) == ("70", "0", "0")

    def test_the_balance_includes_what_was_due_before(self, account):
        give(account, "5", "ends", expires_at=NOON + HOUR)
        assert allow(account, allowance("day", "10"), now=NOON + HOUR) == "10"


class TestCarryingOver:
    """With `carry_over` unused monthly credits end with the new plan's month."""

    def test_only_monthly_credits_that_last_their_period_are_carried(self, account):
        upgraded = NOON + 5 * DAY
        allow(
            account,
            allowance("month", "100", "month"),
            allowance("bonus", "20", "month", kind="bonus"),
            allowance("day", "10"),
        )
        spend(account, "16")
        terms = allowance("new", "300", "month", anchor_at=upgraded), allowance("new day", "15")
        assert allow(account, *terms, now=upgraded, carry_over=True) == "429", "94 + 20 + 300 + 15"
        ends = dt.datetime(2026, 4, 15, 12, tzinfo=dt.UTC)
        kept = Grant.objects.filter(open=True).exclude(allowance="new day")
        assert set(kept.values_list("label", "allowance", "expires_at")) == {
            ("month", "new", ends), ("bonus", "new", ends), ("new", "new", ends),
        }  # fmt: skip
        carried = Entry.objects.filter(kind="carry_over").order_by("seq")
        assert {(one.credits, one.reason, one.created_at) for one in carried} == {
            (0, "plan changed", upgraded)
        }
        assert carried.count() == 2
        assert total(account, ends - INSTANT) == "429"
        assert total(account, ends) == "315"
        assert broken([account]) == []
        assert ledger.audit.run(now=ends).findings == []

    def test_without_a_monthly_allowance_of_the_new_plan_they_expire(self, account):
        allow(account, allowance("month", "100", "month"))
        assert allow(account, allowance("day", "10"), now=NOON + HOUR, carry_over=True) == "10"

    @pytest.mark.parametrize("changed", [NOON, NOON + 3 * HOUR], ids=["before", "within"])
    def test_they_end_with_the_sooner_of_two_months(self, account, changed):
        allow(account, allowance("month", "100", "month"))
        terms = (
            allowance("later", "1", "month", anchor_at=NOON + 2 * HOUR),
            allowance("sooner", "1", "month", anchor_at=NOON + HOUR),
        )
        allow(account, *terms, now=changed, carry_over=True)
        carried = Grant.objects.get(label="month")
        assert (carried.allowance, carried.expires_at) == ("sooner", NEXT_MONTH + HOUR)

    def test_what_is_held_is_carried_and_otherwise_expires_when_it_returns(self, account):
        for carry, left in (True, "130"), (False, "30"):
            account = new_account()
            allow(account, allowance("month", "100", "month"))
            held = hold(account, "100", until=NOON + DAY)
            allow(account, allowance("new", "30", "month"), now=NOON + HOUR, carry_over=carry)
            release(account, held, NOON + 2 * HOUR)
            assert total(account, NOON + 2 * HOUR) == left
            assert broken([account]) == []

    def test_of_another_accounts_month_nothing_is_carried(self, account):
        other = new_account()
        allow(other, allowance("month", "100", "month"))
        allow(account, allowance("month", "100", "month"))
        allow(account, allowance("new", "30", "month"), now=NOON + HOUR, carry_over=True)
        assert Grant.objects.get(account_id=other).allowance == "month"


def test_a_purchase_does_not_belong_to_a_plan_that_is_left(account):
    give(account, "3", "pack", purchase_id=uuid.uuid4(), expires_at=NOON + 9 * DAY)
    allow(account, allowance("month", "100", "month"))
    assert allow(account, now=NOON + HOUR) == "3"
