"""Holds: created, captured, released, expired."""

import datetime as dt
import uuid

import pytest

from billing import ledger
from billing.ledger.models import Charge, Entry, Hold, Limit, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account, spend
from tests.billing.ledger.state import broken

pytestmark = pytest.mark.django_db
SOON = NOON + dt.timedelta(minutes=15)


def hold(
    account, amount: str, key: str = "hold", until: dt.datetime = SOON, now: dt.datetime = NOON, **terms
):
    return ledger.hold(charge_request(account, amount, key, **terms), expires_at=until, now=now)


def capture(account, held, amount: str, key: str = "capture", now: dt.datetime = NOON):
    return ledger.capture(
        account_id=account, hold_id=held.hold_id, credits=D(amount), key=key, detail={}, now=now
    )


def kinds() -> list[str]:
    return [entry.kind for entry in Entry.objects.order_by("seq")]


@pytest.mark.requirement("CORE-03")
def test_held_credits_cannot_be_spent_and_the_uncaptured_part_is_returned(account):
    give(account, "10")
    held = hold(account, "8")
    assert (held.status, held.balance_after) == ("held", D("2"))
    with pytest.raises(ledger.InsufficientCredits):
        spend(account, "3")
    charged = capture(account, held, "5")
    assert (charged.credits, charged.balance_before, charged.balance_after) == (D("5"), D("10"), D("5"))
    assert Hold.objects.get().status == "captured"
    assert kinds() == ["grant", "hold", "release", "charge"]
    assert ledger.balance(account, NOON).held == 0


def test_a_capture_above_the_hold_draws_on_the_balance_and_records_the_uncollected_part(account):
    give(account, "10")
    charged = capture(account, hold(account, "4"), "12")
    assert (charged.credits, charged.uncollected, charged.balance_after) == (D("12"), D("2"), 0)
    assert sum(one.credits for one in charged.drawn) == D("10")


@pytest.mark.fault("L4")
def test_a_hold_is_captured_or_released_once(account):
    give(account, "10")
    held = hold(account, "4")
    first = capture(account, held, "4")
    assert capture(account, held, "4").charge_id == first.charge_id, "the same key gives the first answer"
    with pytest.raises(ledger.HoldClosed) as refusal:
        capture(account, held, "4", "another")
    assert refusal.value.hold_status == "captured"
    with pytest.raises(ledger.HoldClosed):
        ledger.release(account_id=account, hold_id=held.hold_id, now=NOON)
    assert Charge.objects.count() == 1


@pytest.mark.requirement("CORE-03")
@pytest.mark.fault("L5")
def test_an_abandoned_hold_gives_itself_back_at_its_end_without_any_job(account):
    give(account, "10")
    held = hold(account, "8")
    assert ledger.balance(account, SOON).available == D("10")
    with pytest.raises(ledger.HoldClosed) as refusal:
        capture(account, held, "8", now=SOON)
    assert refusal.value.hold_status == "expired"
    assert spend(account, "10", now=SOON).balance_after == 0


def test_a_hold_keeps_its_credits_past_their_expiry_and_returned_credits_expire_at_once(account):
    give(account, "10", expires_at=NOON + dt.timedelta(minutes=5))
    held = hold(account, "10")
    late = NOON + dt.timedelta(minutes=10)
    assert ledger.balance(account, late).held == D("10")
    charged = capture(account, held, "6", now=late)
    assert charged.credits == D("6")
    assert ledger.balance(account, late).total == 0
    assert kinds() == ["grant", "hold", "release", "charge", "expire"]


def test_a_released_hold_returns_each_grants_credits_to_it(account):
    give(account, "3", "a", expires_at=NOON + DAY)
    give(account, "5", "b")
    held = hold(account, "7")
    released = ledger.release(account_id=account, hold_id=held.hold_id, now=NOON)
    assert (released.status, released.balance_after) == ("released", D("8"))
    assert [grant.remaining for grant in ledger.balance(account, NOON).grants] == [D("3"), D("5")]


def test_somebody_elses_hold_is_unknown(account):
    give(account, "3")
    held = hold(account, "3")
    with pytest.raises(ledger.UnknownHold):
        ledger.release(account_id=new_account(), hold_id=held.hold_id, now=NOON)
    with pytest.raises(ledger.UnknownHold):
        ledger.release(account_id=account, hold_id=uuid.uuid4(), now=NOON)


def test_the_same_key_gives_the_same_hold_again(account):
    give(account, "10")
    assert hold(account, "4").hold_id == hold(account, "4").hold_id
    assert hold(account, "4").replayed
    assert ledger.balance(account, NOON).held == D("4")
    with pytest.raises(ledger.KeyReused):
        hold(account, "4", fingerprint=b"other")


def test_a_capture_whose_key_has_charged_returns_that_charge_and_leaves_the_hold(account):
    give(account, "10")
    first = spend(account, "2", "used")
    held = hold(account, "3")
    again = capture(account, held, "1", key="used")
    assert (again.replayed, again.charge_id) == (True, first.charge_id)
    assert ledger.balance(account, NOON).held == D("3")
    assert kinds() == ["grant", "charge", "hold"]


@pytest.mark.parametrize("used", ["4", "5"])
def test_a_capture_counts_the_quota_that_its_hold_did_not_name(account, used):
    give(account, "10")
    ledger.set_limit(
        account_id=account, kind="quota", subject="files", period="ever", maximum=D("9"), now=NOON
    )
    held = ledger.hold(
        charge_request(account, "5", "hold"), expires_at=NOON + dt.timedelta(hours=1), now=NOON
    )
    ledger.capture(
        account_id=account,
        hold_id=held.hold_id,
        credits=D(used),
        key="capture",
        detail={},
        now=NOON,
        quota=("files", 2),
    )
    assert Limit.objects.get().used == 2


@pytest.mark.fault("L16")
def test_an_account_has_a_limited_number_of_running_holds(account):
    give(account, "100")
    first = ledger.hold(charge_request(account, "1", "hold 0"), expires_at=SOON, now=NOON, most_running=3)
    for n, credits in enumerate(["0", "2"], start=1):
        ledger.hold(charge_request(account, credits, f"hold {n}"), expires_at=SOON, now=NOON, most_running=3)
    more = charge_request(account, "1", "hold 3")
    with pytest.raises(ledger.TooManyHolds) as refusal:
        ledger.hold(more, expires_at=SOON, now=NOON, most_running=3)
    assert refusal.value.most == 3
    again = charge_request(account, "1", "hold 0")
    assert ledger.hold(again, expires_at=SOON, now=NOON, most_running=3).replayed
    ledger.release(account_id=account, hold_id=first.hold_id, now=NOON)
    assert ledger.hold(more, expires_at=SOON, now=NOON, most_running=3).status == "held"
    ledger.settle([account], SOON)
    assert Wallet.objects.get().running_holds == 0
    assert broken([account]) == []


@pytest.mark.parametrize("held", ["0", "4"])
def test_a_capture_of_nothing_settles_the_hold(account, held):
    give(account, "10")
    charged = capture(account, hold(account, held), "0")
    assert (charged.credits, charged.drawn, charged.balance_after) == (0, (), D("10"))
    assert Hold.objects.get().status == "captured"
    assert Charge.objects.get().credits == 0
    assert Wallet.objects.get().running_holds == 0
    assert broken([account]) == []
