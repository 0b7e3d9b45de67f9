"""Time never goes backwards along a wallet's entries, whatever the clocks of the processes say."""

import datetime as dt
import uuid

import pytest

from accounts.models import Account
from billing import ledger
from billing.ledger.models import Entry, Grant, Hold, Limit, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, spend
from tests.billing.ledger.state import broken
from usage.history import pages, statements

pytestmark = [pytest.mark.django_db, pytest.mark.fault("L21")]
MIDNIGHT = dt.datetime(2026, 3, 11, tzinfo=dt.UTC)
SKEWS = [dt.timedelta(milliseconds=2), dt.timedelta(seconds=2)]


@pytest.mark.parametrize("skew", SKEWS)
def test_every_move_of_a_slow_clock_is_dated_at_the_newest_entry(account, skew):
    purchase, ahead, slow = uuid.uuid4(), NOON, NOON - skew
    give(account, "100", purchase_id=purchase, now=ahead)
    charged = spend(account, "10", "charge", now=slow)
    many = [charge_request(account, "0.1", f"batch {n}") for n in range(60)]
    batch = [charged, *ledger.charge_many(many, slow), *ledger.charge_many(many[:0], slow)]
    assert {one.created_at for one in batch} == {ahead}
    held = [
        ledger.hold(charge_request(account, "5", f"hold {n}"), expires_at=NOON + DAY, now=slow)
        for n in range(2)
    ]
    assert held[0].created_at == ahead
    more = {"account_id": account, "now": slow}
    captured = ledger.capture(hold_id=held[0].hold_id, credits=D("3"), key="capture", detail={}, **more)
    ledger.release(hold_id=held[1].hold_id, **more)
    corrected = [
        ledger.reverse(charge_id=charged.charge_id, credits=None, key="reverse", reason="r", **more),
        ledger.claw_back(purchase_id=purchase, key="claw", reason="r", **more),
        ledger.restore(claw_back_key="claw", key="restore", reason="r", **more),
        ledger.adjust(credits=D("-1"), key="adjust", reason="r", actor="a", **more),
    ]
    assert {one.created_at for one in [captured, *corrected]} == {ahead}
    ledger.set_allowances(allowances=[allowance("daily", "5")], **more)
    give(account, "1", "late", now=slow)
    assert set(Entry.objects.values_list("created_at", flat=True)) == {ahead}
    assert set(Grant.objects.values_list("created_at", flat=True)) == {ahead}
    assert Wallet.objects.get().moved_at == ahead
    assert set(Hold.objects.values_list("closed_at", flat=True)) == {ahead}
    assert broken([account]) == []


@pytest.mark.parametrize("skew", SKEWS)
def test_a_statement_adds_up_where_two_clocks_disagree_about_midnight(account, skew):
    give(account, "100")
    for n in range(6):
        spend(account, "1", f"fast {n}", now=MIDNIGHT + n * skew)
        spend(account, "10", f"slow {n}", now=MIDNIGHT + (n - 1) * skew - skew / 2)
    assert broken([account]) == []
    owner = Account.objects.get(id=account)
    for start, end in (NOON, MIDNIGHT), (MIDNIGHT, MIDNIGHT + DAY), (MIDNIGHT + skew, MIDNIGHT + 3 * skew):
        statement = pages.summary_of(statements.of_period(owner, start=start, end=end))
        moved = sum((credits for _, credits in statement.by_kind), D("0"))
        assert statement.opening + moved == statement.closing


def test_a_grant_that_ended_before_the_newest_entry_is_refused(account):
    give(account, "10", now=NOON + DAY)
    with pytest.raises(ledger.AlreadyExpired):
        give(account, "10", "ended", now=NOON, expires_at=NOON + DAY / 2)


def test_a_hold_of_a_slow_clock_lasts_as_long_as_it_was_asked_for(account):
    give(account, "10", now=NOON + DAY)
    hour = dt.timedelta(hours=1)
    held = ledger.hold(charge_request(account, "4", "hold"), expires_at=NOON + hour, now=NOON)
    assert (held.created_at, held.expires_at) == (NOON + DAY, NOON + DAY + hour)
    ledger.charge_many([charge_request(account, "1", "beside it")], NOON)
    captured = ledger.capture(
        account_id=account, hold_id=held.hold_id, credits=D("3"), key="capture", detail={}, now=NOON
    )
    assert captured.balance_after == D("6")
    assert broken([account]) == []


@pytest.mark.parametrize("free", ["0", "1"])
def test_free_uses_in_a_batch_of_a_slow_clock_are_dated_at_the_newest_entry(account, free):
    give(account, "100", now=NOON + SKEWS[0])
    uses = [charge_request(account, free if n % 2 else "0", f"use {n}") for n in range(60)]
    assert {one.created_at for one in ledger.charge_many(uses, NOON)} == {NOON + SKEWS[0]}
    assert Wallet.objects.get().moved_at == NOON + SKEWS[0]
    assert broken([account]) == []


@pytest.mark.parametrize("size", [20, 60], ids=["each in turn", "in one statement"])
def test_a_batch_of_a_slow_clock_counts_in_the_day_in_which_it_is_dated(account, size):
    project, terms = uuid.uuid4(), {"kind": "project", "period": "day", "maximum": D("100")}
    give(account, "1000")
    ledger.set_limit(account_id=account, subject=str(project), now=NOON, **terms)
    give(account, "1", "next day", now=MIDNIGHT)
    uses = [charge_request(account, "1", f"use {n}", project_id=project) for n in range(size)]
    assert {one.created_at for one in ledger.charge_many(uses, MIDNIGHT - SKEWS[0])} == {MIDNIGHT}
    spend(account, "1", "after", now=MIDNIGHT, project_id=project)
    assert Limit.objects.get().used == size + 1
