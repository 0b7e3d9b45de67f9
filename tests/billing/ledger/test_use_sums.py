"""Sums of uses, from which a new limit of a long-lived wallet is counted, give what its charges give."""

import datetime as dt
import uuid

import pytest
from django.db import connection

from billing import ledger
from billing.ledger.models import UseSum, Wallet
from core.amounts import plain
from tests.billing.ledger import sizes
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    capture,
    charge_request,
    give,
    hold,
    new_account,
    spend,
)

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)
PROJECT, MEMBER, KEY = (uuid.UUID(int=n) for n in (11, 12, 13))
NAMES = {"project": "project_id", "member": "member_id", "key": "api_key_id"}
SUBJECTS = {"project": PROJECT, "member": MEMBER, "key": KEY}
OF_ALL = {NAMES[kind]: SUBJECTS[kind] for kind in NAMES}


def sum_uses(account) -> None:
    """What a charge does once in 2,000 entries."""
    with connection.cursor() as cursor:
        cursor.execute("select ledger_sum_uses(w) from billing_wallet w where account_id = %s", [account])


def seen(account, kind: str = "project", period: str = "month", now=NOON) -> str:
    """What a new limit says that its window has seen; the limit is removed again."""
    terms = {
        "account_id": account,
        "kind": kind,
        "subject": str(SUBJECTS[kind]),
        "period": period,
        "now": now,
    }
    used = ledger.set_limit(maximum=D("1000"), **terms)
    ledger.set_limit(maximum=None, **terms)
    assert used is not None
    return plain(used)


def reverse(account, charged, amount: str, now=NOON) -> None:
    terms = {"charge_id": charged.charge_id, "credits": D(amount), "key": f"back {amount}", "reason": "r"}
    ledger.reverse(account_id=account, now=now, **terms)


@pytest.fixture
def account(db: None) -> uuid.UUID:
    """Charges of 1, 2, 4, 8 and 16 on five days, of which the first three are summed, and others."""
    account = new_account()
    give(account, "1000", now=NOON - 20 * DAY)
    for n in range(5):
        now = NOON - (5 - n) * DAY
        spend(account, str(2**n), f"day {n}", now, **OF_ALL)
        spend(account, "100", f"of others {n}", now, project_id=uuid.UUID(int=99))
        if n == 3:
            sum_uses(account)  # what is dated before the newest entry: all but the fourth day
    return account


def test_sums_contain_each_subject_once_until_the_newest_entry(account):
    sums = UseSum.objects.filter(account_id=account)
    assert {(one.subject, plain(one.credits)) for one in sums} == {
        (PROJECT, "7"), (MEMBER, "7"), (KEY, "7"), (uuid.UUID(int=99), "300"),
    }  # fmt: skip
    assert {(one.since, one.until) for one in sums} == {(NOON - 5 * DAY, NOON - 2 * DAY)}
    wallet = Wallet.objects.get()
    assert (wallet.summed_at, wallet.summed_seq) == (NOON - 2 * DAY, 9)


@pytest.mark.parametrize("kind", list(NAMES))
@pytest.mark.parametrize("again", [0, 1, 2])
def test_a_window_counts_sums_and_what_is_not_summed(account, kind, again):
    for _ in range(again):
        sum_uses(account)
    assert seen(account, kind) == "31"
    assert seen(account, kind, "day") == "0"
    spend(account, "32", "today", **OF_ALL)
    sum_uses(account)
    assert (seen(account, kind), seen(account, kind, "day"), seen(account, kind, "ever")) == (
        "63",
        "32",
        "63",
    )


@pytest.mark.parametrize(
    ("day", "expected"), [(5, "31"), (4, "30"), (3, "28"), (2, "24"), (1, "16"), (0, "0")]
)
@pytest.mark.parametrize("hours", [0, -1])
def test_a_window_that_begins_inside_a_sum_counts_the_charges_of_the_sum(account, day, expected, hours):
    """An account whose zone's day begins at noon of UTC or an hour before; the limit's window is one day."""
    with connection.cursor() as cursor:
        since = NOON - day * DAY + hours * HOUR
        cursor.execute("select ledger_seen(%s, 'project', %s, %s)", [account, str(PROJECT), since])
        assert plain(cursor.fetchone()[0]) == expected


def test_a_reversal_is_subtracted_from_the_sum_that_contains_the_charge(account):
    charges = {n: ledger.charge(request(account, n), NOON) for n in (0, 3, 4)}
    assert all(one.replayed for one in charges.values())
    reverse(account, charges[0], "0.5")  # summed
    reverse(account, charges[3], "5")  # at the end of the sum, which excludes it
    reverse(account, charges[4], "6")
    assert plain(UseSum.objects.get(subject=PROJECT).credits) == "6.5"
    assert {seen(account, kind) for kind in NAMES} == {"19.5"}
    sum_uses(account)
    assert {seen(account, kind) for kind in NAMES} == {"19.5"}


def test_a_reversal_that_is_made_while_a_limit_is_set_counts_in_the_window_of_its_charge(account):
    """Of a charge before the window and one in it, after the limit has counted and before it has its lock."""
    counted = Wallet.objects.get().seq
    reverse(account, ledger.charge(request(account, 1), NOON), "0.25")
    reverse(account, ledger.charge(request(account, 3), NOON), "0.5")
    with connection.cursor() as cursor:
        terms = [account, str(PROJECT), NOON - 3 * DAY, counted]
        cursor.execute("select ledger_seen_since(%s, 'project', %s, %s, %s)", terms)
        assert plain(cursor.fetchone()[0]) == "-0.5"


def request(account, n: int) -> ledger.ChargeRequest:
    """The request of a day's charge again."""
    terms = {"key": f"day {n}", "service": "gpt-4o", "covers": ("gpt-4o", "tag:text")}
    return ledger.ChargeRequest(account_id=account, credits=D(str(2**n)), **terms)


def test_what_was_not_collected_is_not_counted(db):
    account = new_account()
    give(account, "5", now=NOON - DAY)
    held = hold(account, "5", until=NOON + DAY, now=NOON - DAY, project_id=PROJECT)
    capture(account, held, "9", now=NOON - DAY)
    give(account, "1", "later")
    sum_uses(account)
    assert plain(UseSum.objects.get().credits) == "5"
    assert seen(account) == "5"


def test_sums_of_another_account_are_its_own(account):
    other = new_account()
    give(other, "1000", now=NOON - DAY)
    spend(other, "3", "day 0", NOON - DAY, **OF_ALL)
    give(other, "1", "later")
    sum_uses(other)
    assert (seen(other), seen(account)) == ("3", "31")
    assert UseSum.objects.filter(account_id=other).count() == 3


@pytest.mark.parametrize("way", ["charge", "capture", "batch"])
def test_uses_are_summed_again_after_as_many_entries(db, way):
    sizes.make_small()  # three entries
    account = new_account()
    give(account, "1000")
    held = [hold(account, "1", f"hold {n}") for n in range(8)] if way == "capture" else []
    summed_at = 0
    for n in range(8):
        before = Wallet.objects.get(account_id=account).seq
        if held:
            capture(account, held[n], "1", f"{n}")
        elif way == "charge":
            spend(account, "1", f"{n}")
        else:
            ledger.charge_many([charge_request(account, "1", f"{n} {m}") for m in range(2)], NOON)
        summed_at = before if before - summed_at >= 3 else summed_at
        assert Wallet.objects.get(account_id=account).summed_seq == summed_at
    assert summed_at > 3


def test_a_wallet_without_charges_has_nothing_to_sum(db):
    account = new_account()
    give(account, "5")
    sum_uses(account)
    assert not UseSum.objects.exists()
    assert (Wallet.objects.get().summed_at, Wallet.objects.get().summed_seq) == (NOON, 1)
    assert seen(account) == "0"
