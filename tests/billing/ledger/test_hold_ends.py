"""What becomes of a hold when nobody captures it: its service decides, and it takes effect at its end."""

import datetime as dt
import uuid

import pytest

from billing import ledger
from billing.ledger.models import Charge, Entry, Hold, Limit, Notice, Wallet
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    allowance,
    capture,
    charge_request,
    give,
    release,
    spend,
)
from tests.billing.ledger.state import broken

pytestmark = pytest.mark.django_db
END = NOON + dt.timedelta(minutes=15)
PROJECT = uuid.UUID(int=11)


def hold(account, amount, at_expiry, key="hold", parent=None, until=END, **terms):
    request = charge_request(account, amount, key, **terms)
    return ledger.hold(
        request, expires_at=until, now=NOON, at_expiry=at_expiry, parent=parent and parent.hold_id
    )


def report(account, held, amount, count=None, now=NOON):
    detail = {"usage": {"tokens": amount}}
    return ledger.report_usage(
        account_id=account,
        hold_id=held.hold_id,
        credits=D(amount),
        detail=detail,
        quota_count=count,
        now=now,
    )


@pytest.fixture(autouse=True)
def nothing_is_broken(account):
    give(account, "100")
    yield
    assert broken([account]) == []
    assert ledger.audit.run(now=NOON + DAY).findings == []


@pytest.mark.parametrize("settled", [END, END + 7 * DAY])
def test_an_estimate_is_charged_at_the_end_whoever_settles_it_and_whenever(account, settled):
    held = hold(account, "20", "capture_estimate", conversation="c", detail={"lines": [1]})
    ledger.settle([account], settled)
    charge = Charge.objects.get()
    assert (charge.credits, charge.uncollected, charge.created_at) == (D("20"), 0, END)
    assert (charge.balance_before, charge.balance_after) == (D("100"), D("80"))
    assert (charge.hold_id, charge.conversation, charge.detail) == (held.hold_id, "c", {"lines": [1]})
    one = Hold.objects.get()
    assert (one.status, one.closed_at, one.charge_id) == ("captured", END, charge.pk)
    assert Wallet.objects.get().running_holds == 0


@pytest.mark.parametrize("settled", [END + DAY, END + 3 * DAY, END + 40 * DAY])
def test_a_charge_at_the_end_states_the_balance_of_its_instant_whenever_it_is_settled(account, settled):
    """Also where the balance had credits of an allowance that have expired since."""
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=NOON)
    hold(account, "20", "capture_estimate", until=END + DAY)
    ledger.settle([account], settled)
    charge = Charge.objects.get()
    assert (charge.balance_before, charge.balance_after) == (D("120"), D("100"))


@pytest.mark.parametrize("settled", [0, 1, 40])
def test_a_hold_that_ends_at_midnight_is_charged_before_the_credits_of_the_new_day_come(account, settled):
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=NOON)
    midnight = NOON + DAY / 2
    hold(account, "5", "capture_estimate", until=midnight)
    ledger.settle([account], midnight + settled * DAY)
    charge = Charge.objects.get()
    assert (charge.balance_before, charge.balance_after) == (D("105"), D("100"))


def test_the_usage_last_reported_is_charged_at_the_end(account):
    held = hold(account, "20", "capture_reported")
    report(account, held, "3")
    report(account, held, "12.5")
    ledger.settle([account], END)
    charge = Charge.objects.get()
    assert (charge.credits, charge.detail) == (D("12.5"), {"usage": {"tokens": "12.5"}})
    assert ledger.balance(account, END).available == D("87.5")


def test_a_covered_hold_is_charged_with_its_coverage_which_is_no_part_of_its_detail(account):
    hold(account, "0", "capture_estimate", detail={"lines": [1], "covered_by": "plan"})
    ledger.settle([account], END)
    charge = Charge.objects.get()
    assert (charge.credits, charge.covered_by, charge.detail) == (0, "plan", {"lines": [1]})


def test_a_hold_without_a_report_is_released(account):
    hold(account, "20", "capture_reported")
    ledger.settle([account], END)
    assert (Hold.objects.get().status, Charge.objects.count()) == ("expired", 0)


def test_what_was_reported_above_the_hold_is_uncollected_and_no_limit_counts_it(account):
    terms = {"kind": "project", "subject": str(PROJECT), "period": "month", "maximum": D("50")}
    ledger.set_limit(account_id=account, now=NOON, **terms)
    report(account, hold(account, "20", "capture_reported", project_id=PROJECT), "30")
    ledger.settle([account], END)
    charge = Charge.objects.get()
    assert (charge.credits, charge.uncollected) == (D("30"), D("10"))
    assert Limit.objects.get().used == D("20")
    assert ledger.balance(account, END).available == D("80")


def test_what_is_charged_at_the_end_counts_in_the_window_of_the_end(account):
    for kind, subject in (("project", str(PROJECT)), ("quota", "answers")):
        terms = {"kind": kind, "subject": subject, "period": "day", "maximum": D("50")}
        ledger.set_limit(account_id=account, now=NOON, **terms)
    of_both = {"project_id": PROJECT, "quota": ("answers", 3)}
    spend(account, "7", **of_both)
    hold(account, "20", "capture_estimate", until=NOON + DAY, **of_both)
    ledger.settle([account], NOON + DAY)
    spend(account, "1", "next day", NOON + DAY, **of_both)
    assert dict(Limit.objects.values_list("kind", "used")) == {"project": D("21"), "quota": D("6")}


def test_a_capture_or_release_before_the_end_decides(account):
    capture(account, hold(account, "20", "capture_estimate", "a"), "1")
    reported = hold(account, "20", "capture_reported", "b")
    report(account, reported, "5")
    release(account, reported)
    ledger.settle([account], END)
    assert Charge.objects.get().credits == D("1")


def test_a_report_for_a_closed_hold_is_refused(account):
    held = hold(account, "20", "capture_reported")
    with pytest.raises(ledger.HoldClosed):
        report(account, held, "1", now=END)
    assert Hold.objects.get().reported is None


def test_a_child_is_captured_before_the_parent_that_ends_at_the_same_instant(account):
    root = hold(account, "60", "capture_estimate", "root")
    leaf = hold(account, "20", "capture_reported", "leaf", root)
    report(account, leaf, "25")
    ledger.settle([account], END)
    charges = {one.hold_id: one for one in Charge.objects.all()}
    assert (charges[leaf.hold_id].credits, charges[leaf.hold_id].uncollected) == (D("25"), 0)
    assert charges[root.hold_id].credits == D("35"), "what is left of it"
    assert ledger.balance(account, END).available == D("40")


def test_limits_and_quotas_count_what_was_charged_at_the_end(account):
    for subject, most in (("files", "10"),):
        ledger.set_limit(
            account_id=account, kind="quota", subject=subject, period="month", maximum=D(most), now=NOON
        )
    held = hold(account, "20", "capture_reported", quota=("files", 1))
    report(account, held, "5", count=3)
    ledger.settle([account], END)
    assert Limit.objects.get().used == D("3")


def test_credits_past_their_expiry_pay_and_what_is_left_of_them_expires(account):
    give(account, "10", "short", expires_at=NOON + dt.timedelta(minutes=1), priority=1)
    report(account, hold(account, "10", "capture_reported"), "4")
    ledger.settle([account], END + DAY)
    assert [entry.kind for entry in Entry.objects.order_by("seq")][-3:] == ["release", "charge", "expire"]
    assert ledger.balance(account, END + DAY).available == D("100")


def test_a_low_balance_is_noticed_once_and_not_between_the_effects(account):
    ledger.set_warning(account_id=account, below=D("50"), now=NOON)
    give(account, "60", "short", expires_at=END, priority=50)
    root = hold(account, "90", "release", "root")
    hold(account, "10", "release", "leaf", root)
    ledger.settle([account], END)
    assert (Wallet.objects.get().is_low, ledger.balance(account, END).available) == (False, D("100"))
    assert not Notice.objects.exists()
