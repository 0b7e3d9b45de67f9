"""The limit of the whole account counts every use, whatever its project, member and key."""

import datetime as dt
import uuid

import pytest

from billing import ledger
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    capture,
    charge_request,
    give,
    hold,
    new_account,
    release,
    spend,
)
from tests.billing.ledger.statement import used

PROJECT, MEMBER, KEY = (uuid.UUID(int=n) for n in (11, 12, 13))
APRIL = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)


def limit(account, maximum: str | None, now=NOON):
    amount = None if maximum is None else D(maximum)
    terms = {"kind": "account", "subject": "account", "period": "month", "maximum": amount}
    return ledger.set_limit(account_id=account, now=now, **terms)


@pytest.fixture
def account(db: None) -> uuid.UUID:
    account = new_account()
    give(account, "1000", now=NOON - 60 * DAY)
    return account


def test_it_is_exact_and_counts_every_use(account):
    limit(account, "6")
    spend(account, "2", "of nobody")
    spend(account, "2", "of a project", project_id=PROJECT)
    spend(account, "2", "of a member", member_id=MEMBER, api_key_id=KEY)
    with pytest.raises(ledger.LimitReached) as refusal:
        spend(account, "0.000001", "more", project_id=PROJECT)
    assert (refusal.value.limit, refusal.value.maximum, refusal.value.used) == ("account", D("6"), D("6"))
    assert refusal.value.resets_at == APRIL
    assert refusal.value.detail() == "The account's monthly budget of 6 credits is reached. Used: 6 credits."
    spend(account, "0", "covered", covered_by="own_key")
    spend(account, "6", "next month", now=APRIL)


def test_a_new_one_counts_what_the_month_has_seen_and_what_is_held(account):
    spend(account, "7", "last month", now=NOON - 20 * DAY)
    spend(account, "3", "this month", now=NOON - DAY)
    hold(account, "2")
    assert limit(account, "10") == D("5")
    assert limit(account, "20") == D("5"), "a change keeps the count"
    assert limit(account, None) is None
    spend(account, "500")


def test_a_new_one_counts_the_month_from_its_first_instant_and_what_was_collected(account):
    spend(account, "995", "last month", now=NOON - 20 * DAY)
    spend(account, "1", "at its beginning", now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
    capture(account, hold(account, "4"), "9")
    assert limit(account, "10") == D("5"), "of the capture, 5 were not collected"


def test_holds_count_with_their_children_once_and_give_back(account):
    limit(account, "10")
    root = hold(account, "8", "root", api_key_id=KEY)
    child = ledger.hold(
        charge_request(account, "5", "child", member_id=MEMBER),
        expires_at=NOON + DAY / 24,
        now=NOON,
        parent=root.hold_id,
    )
    assert used(account) == {"account": "8"}
    with pytest.raises(ledger.LimitReached):
        hold(account, "2.000001", "other")
    capture(account, child, "4", now=NOON)
    assert used(account) == {"account": "8"}
    capture(account, root, "1", "rest", now=NOON)
    assert used(account) == {"account": "5"}
    release(account, hold(account, "5", "last"))
    assert used(account) == {"account": "5"}


def test_a_reversal_gives_back(account):
    limit(account, "10")
    charged = spend(account, "10")
    ledger.reverse(
        account_id=account, charge_id=charged.charge_id, credits=D("4"), key="r", reason="r", now=NOON
    )
    assert used(account) == {"account": "6"}


@pytest.mark.parametrize(("maximum", "charged"), [("60", 60), ("59.999999", 59), ("0", 0)])
def test_it_is_exact_in_a_batch_that_one_statement_charges(account, maximum, charged):
    limit(account, maximum)
    requests = [
        charge_request(account, "1", f"use {n}", project_id=PROJECT if n % 2 else None) for n in range(60)
    ]
    outcomes = ledger.charge_many(requests, NOON)
    assert [type(one).__name__ for one in outcomes].count("Charged") == charged
    assert used(account) == {"account": str(charged)}


def test_a_quota_of_the_same_name_is_counted_apart(account):
    limit(account, "10")
    ledger.set_limit(
        account_id=account, kind="quota", subject="account", period="month", maximum=D("3"), now=NOON
    )
    spend(account, "4", quota=("account", 2))
    assert used(account) == {"account": "4", "quota": "2"}


def test_the_audit_counts_it_too(account):
    limit(account, "100")
    spend(account, "5")
    hold(account, "3")
    assert ledger.audit.run(now=NOON + DAY).findings == []
