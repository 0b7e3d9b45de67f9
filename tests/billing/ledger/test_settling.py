"""Allowances, expiry and renewal take effect without any job."""

import datetime as dt
import uuid

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.ledger.models import Allowance, Entry, Grant, Notice, Wallet
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    allowance,
    charge_request,
    give,
    new_account,
    owe,
    spend,
)
from tests.billing.ledger.state import broken

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def total(account, now) -> object:
    return ledger.balance(account, now).total


def allow(account, *terms, now=NOON, **options):
    return ledger.set_allowances(account_id=account, allowances=terms, now=now, **options)


@pytest.mark.requirement("REFLY-05", "RECR-02")
@pytest.mark.fault("T5")
def test_each_day_has_exactly_the_plans_figure_and_never_a_sum(account):
    assert allow(account, allowance("daily", "100")) == D("100")
    spend(account, "30")
    midnight = at("2026-03-11T00:00:00")
    assert total(account, midnight - HOUR) == D("70")
    assert total(account, midnight) == D("100")
    assert total(account, midnight + 3 * DAY) == D("100")
    assert Grant.objects.count() == 3, "the days between were never given"
    last = Grant.objects.order_by("created_at").last()
    assert (last.created_at, last.expires_at) == (midnight + 3 * DAY, midnight + 4 * DAY)


@pytest.mark.parametrize("debt", ["0", "30"])
def test_an_allowance_of_nothing_gives_no_grant_and_its_period_counts_as_given(account, debt):
    if D(debt):
        purchase = uuid.uuid4()
        give(account, debt, purchase_id=purchase)
        spend(account, debt)
        ledger.claw_back(account_id=account, purchase_id=purchase, key="r", reason="r", now=NOON)
    allow(account, allowance("plan", "0", "month"), allowance("daily", "0"))
    assert allow(account, allowance("plan", "100", "month"), allowance("daily", "10")) == 0
    assert not Grant.objects.exclude(allowance="").exists()
    assert total(account, NOON + DAY) == max(D("10") - D(debt), 0)
    month = Allowance.objects.get(key="plan").next_at
    assert total(account, month) == D("110")


@pytest.mark.requirement("REFLY-02")
def test_a_plan_gives_daily_and_monthly_credits_each_in_their_time(account):
    allow(account, allowance("daily", "100"), allowance("bonus", "500", "month", kind="bonus"))
    assert total(account, NOON) == D("600")
    spend(account, "250")
    assert total(account, NOON + DAY) == D("450")
    assert total(account, NOON + 31 * DAY) == D("600")


def test_a_missed_day_that_ends_when_the_wallet_is_settled_is_given_for_debt_only(account):
    allow(account, allowance("daily", "10"))
    owe(account, "12")
    assert total(account, at("2026-03-14T00:00:00")) == D("10")
    given = Grant.objects.exclude(allowance="").order_by("created_at")
    # the first two missed days repay the debt, the third one is over
    assert [grant.created_at.day for grant in given] == [10, 11, 12, 14]


@pytest.mark.fault("T1")
def test_months_are_counted_from_their_anchor(account):
    anchor = at("2026-01-31T10:00:00")
    allow(account, allowance("plan", "10", "month", anchor_at=anchor), now=anchor)
    for moment in ("2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"):
        due = at(f"{moment}T10:00:00")
        assert ledger.balance(account, due - HOUR).grants[0].expires_at == due
        assert total(account, due) == D("10")
        assert Grant.objects.order_by("created_at").last().created_at == due


@pytest.mark.fault("T2")
def test_an_anchor_on_29_february_is_kept_in_leap_years(account):
    anchor = at("2024-02-29T00:00:00")
    allow(account, allowance("plan", "10", "month", anchor_at=anchor), now=anchor)
    assert ledger.balance(account, at("2026-02-10T00:00:00")).grants[0].expires_at == at(
        "2026-02-28T00:00:00"
    )
    assert ledger.balance(account, at("2028-02-10T00:00:00")).grants[0].expires_at == at(
        "2028-02-29T00:00:00"
    )


@pytest.mark.fault("T3")
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo"])
def test_a_year_of_days_has_one_refresh_for_each_local_date(zone, db):
    from zoneinfo import ZoneInfo

    start = dt.datetime(2026, 1, 1, 0, 0, tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    account = new_account(zone, start)
    allow(account, allowance("daily", "5", anchor_at=start), now=start)
    now, dates = start, []
    for _ in range(364 * 4):
        now += 6 * HOUR
        ledger.settle([account], now)
    for grant in Grant.objects.order_by("created_at"):
        dates.append(grant.created_at.astimezone(ZoneInfo(zone)).date())
    expected = (now.astimezone(ZoneInfo(zone)).date() - dt.date(2026, 1, 1)).days + 1
    assert len(dates) == len(set(dates)) == expected


@pytest.mark.fault("T4")
def test_moving_through_time_zones_gives_no_extra_refresh(account):
    allow(account, allowance("daily", "100"))
    zones = ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "UTC"]
    now = NOON
    for step in range(24 * 10):
        Account.objects.filter(id=account).update(zone=zones[step % 4])
        now += HOUR
        assert total(account, now) <= D("100")
    assert Grant.objects.count() <= 11


def test_a_wallet_settled_at_the_instant_a_missed_day_ends_renews_next_when_the_new_day_ends(account):
    allow(account, allowance("daily", "100"))
    for missed in range(1, 5):
        midnight = at("2026-03-11T00:00:00") + dt.timedelta(days=2 * missed - 1)
        ledger.settle([account], midnight)
        assert Allowance.objects.get().next_at == midnight + dt.timedelta(days=1)
        assert total(account, midnight) == D("100")


@pytest.mark.fault("T6")
def test_a_clock_that_jumps_back_gives_nothing_twice(account):
    allow(account, allowance("daily", "100"))
    midnight = at("2026-03-11T00:00:00")
    spend(account, "40", now=midnight)
    assert total(account, midnight - HOUR) == D("60")
    assert total(account, midnight) == D("60")
    assert Grant.objects.count() == 2


@pytest.mark.requirement("FLICK-03", "FLICK-04")
def test_a_once_only_quota_lasts_its_month_and_never_comes_again(account):
    quota = allowance("free", "50", "once", kind="bonus", lasts="1 month")
    allow(account, quota)
    assert ledger.balance(account, NOON).grants[0].expires_at == at("2026-04-10T12:00:00")
    assert total(account, at("2026-04-10T12:00:00")) == 0
    later = at("2026-06-01T00:00:00")
    allow(account, now=later)
    assert allow(account, quota, now=later + DAY) == 0


@pytest.mark.fault("P15")
def test_leaving_a_plan_and_coming_back_within_a_period_gives_nothing_twice(account):
    small, large = allowance("small", "100", "month"), allowance("large", "300", "month")
    assert allow(account, small) == D("100")
    assert allow(account, large, now=NOON + DAY) == D("300")
    assert allow(account, small, now=NOON + 2 * DAY) == 0
    assert allow(account, large, now=NOON + 3 * DAY) == 0
    assert total(account, at("2026-04-10T12:00:00")) == D("300")


@pytest.mark.requirement("FLICK-09")
def test_an_upgrade_carries_unused_credits_into_the_new_month(account):
    allow(account, allowance("pro", "100", "month"))
    spend(account, "30")
    upgraded = NOON + 5 * DAY
    assert allow(
        account, allowance("pro+", "300", "month", anchor_at=upgraded), now=upgraded, carry_over=True
    ) == D("370")
    assert {grant.expires_at for grant in ledger.balance(account, upgraded).grants} == {
        at("2026-04-15T12:00:00")
    }
    assert total(account, at("2026-04-15T12:00:00")) == D("300")
    assert sum(entry.credits for entry in Entry.objects.filter(kind="carry_over")) == 0


@pytest.mark.requirement("FLICK-09")
def test_carried_credits_are_monthly_ones_and_come_along_on_the_next_upgrade_too(account):
    for day, plan, monthly in (0, "pro", "100"), (1, "max", "200"), (2, "ultra", "300"):
        terms = allowance(f"{plan}:daily", "5", "day"), allowance(f"{plan}:bonus", monthly, "month")
        allow(account, *terms, now=NOON + day * DAY, carry_over=True)
    balance = ledger.balance(account, NOON + 2 * DAY)
    assert balance.daily_remaining == D("5")
    assert balance.total == D("605")


def test_a_change_of_plan_warns_of_nothing_when_the_new_plan_gives_enough(account):
    ledger.set_warning(account_id=account, below=D("50"), now=NOON)
    allow(account, allowance("pro", "100", "month"))
    allow(account, allowance("max", "200", "month"), now=NOON + DAY)
    assert not Notice.objects.filter(account_id=account, created_at=NOON + DAY).exists()
    allow(account, now=NOON + 2 * DAY)
    assert [one.kind for one in Notice.objects.filter(created_at=NOON + 2 * DAY)] == ["depleted"]


@pytest.mark.requirement("RECR-03", "RECR-08", "APIN-09", "FLOW-04")
def test_bought_credits_survive_renewals_and_plan_changes_to_the_last_fraction(account):
    from tests.billing.ledger.conftest import give

    allow(account, allowance("pro", "10", "month"))
    give(account, "0.123456")
    allow(account, allowance("max", "20", "month"), now=NOON + DAY)
    allow(account, now=NOON + 2 * DAY)
    assert total(account, NOON + 400 * DAY) == D("0.123456")


@pytest.mark.requirement("RECR-04", "FLOW-04")
def test_one_charge_spans_plan_credits_and_then_bought_ones(account):
    from tests.billing.ledger.conftest import give

    give(account, "50")
    allow(account, allowance("pro", "10", "month"))
    charged = spend(account, "15")
    assert [(one.kind, one.credits) for one in charged.drawn] == [("plan", D("10")), ("top_up", D("5"))]


@pytest.mark.fault("C1", "C2", "C4")
def test_the_beat_job_settles_each_due_account_once(db):
    accounts = [new_account() for _ in range(7)]
    for account in accounts:
        allow(account, allowance("daily", "100"))
    assert ledger.settle_due(NOON, chunk=3) == 0
    tomorrow = NOON + DAY
    assert ledger.settle_due(tomorrow, chunk=3) == 7
    assert ledger.settle_due(tomorrow, chunk=3) == 0
    assert Grant.objects.count() == 14
    assert set(Wallet.objects.values_list("balance", flat=True)) == {D("100")}


def test_a_zone_whose_days_begin_at_the_same_instants_leaves_the_days_as_they_are(account):
    allow(account, allowance("daily", "100"))
    Account.objects.filter(id=account).update(zone="Atlantic/Reykjavik")
    for day in (at("2026-03-11T00:00:00"), at("2026-03-12T00:00:00"), at("2026-03-13T00:00:00")):
        spend(account, "30", f"until {day}", day - HOUR)
        assert (total(account, day - HOUR), total(account, day)) == (D("70"), D("100"))


def test_another_anchor_begins_no_day_while_one_that_a_change_of_zone_made_longer_runs(account):
    allow(account, allowance("daily", "100"))
    Account.objects.filter(id=account).update(zone="Asia/Tokyo")
    began = at("2026-03-11T00:00:00")  # until midnight in Tokyo, 24 hours later at the earliest
    spend(account, "30", now=began)
    assert allow(account, allowance("daily", "100", anchor_at=began + DAY), now=began + DAY) == D("70")
    ends = at("2026-03-12T15:00:00")
    assert (total(account, ends - HOUR), total(account, ends)) == (D("70"), D("100"))


def test_a_plan_that_ends_renews_no_more(account):
    end = at("2026-03-12T00:00:00")
    allow(account, allowance("daily", "100", ends_at=end))
    assert total(account, end - HOUR) == D("100")
    assert total(account, end) == 0
    assert Wallet.objects.get().next_due_at is None


def test_an_allowance_repays_debt_first(account):
    purchase = uuid.uuid4()
    give(account, "30", purchase_id=purchase)
    spend(account, "30")
    ledger.claw_back(account_id=account, purchase_id=purchase, key="r", reason="r", now=NOON)
    assert allow(account, allowance("daily", "100")) == D("70")
    assert ledger.balance(account, NOON + DAY).total == D("100")


def test_a_changed_zone_is_saved_after_what_was_due_in_the_former_one_is_settled(account):
    allow(account, allowance("daily", "100"))
    changed = Account.objects.get(id=account)
    changed.zone = "Asia/Tokyo"
    changed.save()
    renewed = Allowance.objects.get()
    assert (renewed.zone, renewed.next_at.hour) == ("UTC", 0)
    assert renewed.next_at > timezone.now()


@pytest.mark.parametrize("period", ["day", "month", "once"])
def test_nothing_is_granted_before_the_anchor(account, period):
    anchor = NOON + 3 * DAY
    terms = allowance(
        "plan", "100", period, anchor_at=anchor, lasts="1 month" if period == "once" else "period"
    )
    assert allow(account, terms) == 0
    assert total(account, anchor - HOUR) == 0
    assert allow(account, terms, now=anchor - HOUR) == 0
    assert total(account, anchor) == D("100")
    assert Grant.objects.get().created_at == anchor


@pytest.mark.parametrize("anchor", [NOON + DAY, NOON + 5 * DAY])
def test_an_anchor_that_moves_before_it_comes_grants_once(account, anchor):
    once = {"kind": "bonus", "lasts": "1 month"}
    allow(account, allowance("free", "50", "once", anchor_at=NOON + 3 * DAY, **once))
    allow(account, allowance("free", "50", "once", anchor_at=anchor, **once), now=NOON + HOUR)
    assert total(account, anchor - HOUR) == 0
    assert total(account, anchor) == total(account, NOON + 9 * DAY) == D("50")


class TestHoldsAndChangesOfPlan:
    """Credits of a plan that are held while the plan changes."""

    def hold(self, account, amount, until=NOON + 2 * DAY):
        return ledger.hold(charge_request(account, amount, "hold"), expires_at=until, now=NOON)

    @pytest.mark.parametrize("held", ["100", "60"])
    @pytest.mark.parametrize("ends", ["released", "expired"])
    def test_without_carrying_over_they_end_with_their_plan(self, account, held, ends):
        allow(account, allowance("small", "100", "month"))
        hold = self.hold(account, held)
        assert allow(account, allowance("large", "300", "month"), now=NOON + DAY) == D("300")
        if ends == "released":
            ledger.release(account_id=account, hold_id=hold.hold_id, now=NOON + DAY + HOUR)
        assert total(account, NOON + 2 * DAY) == D("300")
        assert broken([account]) == []

    @pytest.mark.parametrize("held", ["100", "60"])
    def test_carried_over_they_end_with_the_new_month(self, account, held):
        allow(account, allowance("small", "100", "month"))
        hold, upgraded = self.hold(account, held), NOON + DAY
        terms = allowance("large", "300", "month", anchor_at=upgraded)
        allow(account, terms, now=upgraded, carry_over=True)
        ledger.release(account_id=account, hold_id=hold.hold_id, now=upgraded + HOUR)
        month_end = at("2026-04-11T12:00:00")
        assert total(account, month_end - HOUR) == D("400")
        assert {grant.expires_at for grant in Grant.objects.all()} == {month_end}
        assert total(account, month_end) == D("300")
        assert broken([account]) == []

    def test_a_capture_is_still_paid_from_them(self, account):
        allow(account, allowance("small", "100", "month"))
        hold = self.hold(account, "100")
        allow(account, allowance("large", "300", "month"), now=NOON + DAY)
        charged = ledger.capture(
            account_id=account, hold_id=hold.hold_id, credits=D("70"), key="c", detail={}, now=NOON + DAY
        )
        assert (charged.uncollected, charged.balance_after) == (0, D("300"))
        assert Grant.objects.get(allowance="small").remaining == 0
