"""Batches that one statement charges, stated in full, and fixed examples of batches of every kind."""

import datetime as dt
import uuid
from dataclasses import replace

import pytest

from billing import ledger
from billing.ledger.models import Charge, Grant, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    charge_request,
    give,
    hold,
    new_account,
    owe,
    spend,
)
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, entries, grants
from tests.billing.ledger.test_batch import GrantTerms, Use, WalletState, compare

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)
TEXT = ("gpt-4o", "tag:text")
PLAIN = WalletState(grants=(GrantTerms(credits="500"),))


def uses(count: int = 5, credits: str = "8", first: int = 10, **terms) -> list[Use]:
    values = {"wallet": 0, "credits": credits, "covers": TEXT} | terms
    return [Use(key=first + n, **values) for n in range(count)]


class TestOneStatement:
    """Fifty uses over a daily grant of 2, a plan's of 3 and a pack of 100."""

    @pytest.fixture
    def account(self, db):
        account = new_account()
        give(account, "100", "pack", label="pack")
        give(account, "2", "day", label="day", kind="daily")
        give(account, "3", "plan", label="plan", kind="plan")
        return account

    def batch(self, account):
        """0.5 each: four empty the day exactly, six the plan; 1.25 of which a part is left; free ones."""
        costs = ["0.5"] * 3 + ["0"] + ["0.75"] + ["0.5"] * 5 + ["1.25"] + ["0.125"] * 38 + ["0"]
        return [
            charge_request(
                account, cost, f"use {n}", detail={"n": n}, covered_by="own" if cost == "0" else None
            )
            for n, cost in enumerate(costs)
        ]

    def test_the_parts_of_each_use_the_balances_and_the_entries(self, account):
        outcomes = ledger.charge_many(self.batch(account), NOON + HOUR)
        parts = [[(part.kind, plain(part.credits)) for part in one.drawn] for one in outcomes]
        assert parts[:11] == [
            [("daily", "0.5")], [("daily", "0.5")], [("daily", "0.5")], [],
            [("daily", "0.5"), ("plan", "0.25")],
            [("plan", "0.5")], [("plan", "0.5")], [("plan", "0.5")], [("plan", "0.5")], [("plan", "0.5")],
            [("plan", "0.25"), ("top_up", "1")],
        ]  # fmt: skip
        assert parts[11:] == [[("top_up", "0.125")]] * 38 + [[]]
        left = D("105")
        for n, one in enumerate(outcomes):
            assert (one.balance_before, one.balance_after) == (left, left - one.credits)
            assert (one.uncollected, one.detail, one.replayed) == (0, {"n": n}, False)
            assert (one.covered_by, one.created_at) == ("own" if one.credits == 0 else None, NOON + HOUR)
            left -= one.credits
        assert amounts(account) == (plain(left), "0", "0")
        assert grants(account) == {
            "day": ("0", "0", "2", False), "plan": ("0", "0", "3", False),
            "pack": ("94.25", "0", "5.75", True),
        }  # fmt: skip
        assert entries(account, after=3)[:14] == [
            "60 charge day -0.5 = 1.5 / 104.5 charge use 0",
            "60 charge day -0.5 = 1 / 104 charge use 1",
            "60 charge day -0.5 = 0.5 / 103.5 charge use 2",
            "60 charge - 0 = 0 / 103.5 charge use 3",
            "60 charge day -0.5 = 0 / 103 charge use 4",
            "60 charge plan -0.25 = 2.75 / 102.75 charge use 4",
            "60 charge plan -0.5 = 2.25 / 102.25 charge use 5",
            "60 charge plan -0.5 = 1.75 / 101.75 charge use 6",
            "60 charge plan -0.5 = 1.25 / 101.25 charge use 7",
            "60 charge plan -0.5 = 0.75 / 100.75 charge use 8",
            "60 charge plan -0.5 = 0.25 / 100.25 charge use 9",
            "60 charge plan -0.25 = 0 / 100 charge use 10",
            "60 charge pack -1 = 99 / 99 charge use 10",
            "60 charge pack -0.125 = 98.875 / 98.875 charge use 11",
        ]
        assert len(entries(account)) == 3 + 52
        assert broken([account]) == []
        wallet = Wallet.objects.get()
        assert (wallet.seq, wallet.moved_at, wallet.next_due_at) == (55, NOON + HOUR, None)
        assert set(Grant.objects.values_list("label", "first_seq", "last_seq")) == {
            ("day", 2, 8), ("plan", 3, 15), ("pack", 1, 54),
        }  # fmt: skip

    def test_every_column_of_a_charge(self, account):
        terms = {
            "service": "veo", "covers": ("veo",), "action": "render", "conversation": "talk",
            "project_id": uuid.UUID(int=1), "member_id": uuid.UUID(int=2), "api_key_id": uuid.UUID(int=3),
            "quota": ("videos", 3), "fingerprint": b"body",
        }  # fmt: skip
        request = charge_request(account, "4", "whole", detail={"n": 1}, covered_by="x", **terms)
        outcome = ledger.charge_many([request, *self.batch(account)], NOON)[0]
        row = Charge.objects.get(idempotency_key="whole")
        assert (row.pk, row.account_id, outcome.charge_id) == (request.id, account, request.id)
        assert (row.service, row.action, row.conversation, row.detail, row.covered_by) == (
            "veo", "render", "talk", {"n": 1}, "x",
        )  # fmt: skip
        assert (row.project_id, row.member_id, row.api_key_id) == tuple(uuid.UUID(int=n) for n in (1, 2, 3))
        assert (row.quota, row.quota_count, bytes(row.fingerprint)) == ("videos", 3, b"body")
        assert (row.credits, row.uncollected, row.returned, row.hold_id) == (D("4"), 0, 0, None)
        assert (row.balance_before, row.balance_after, row.created_at) == (D("105"), D("101"), NOON)
        assert [part["kind"] for part in row.drawn] == ["daily", "plan"]

    def test_a_batch_that_takes_all_credits_and_one_of_a_little_more(self, account):
        requests = [charge_request(account, "2.1", f"use {n}") for n in range(50)]
        one_more = charge_request(account, "0.000001", "one more")
        outcomes = ledger.charge_many(requests, NOON)
        assert {type(one) for one in outcomes} == {ledger.Charged}
        assert amounts(account) == ("0", "0", "0")
        assert not Grant.objects.filter(open=True).exists()
        refused = ledger.charge_many([*requests, one_more], NOON)[50]
        assert (refused.needed, refused.available) == (D("0.000001"), 0)

    def test_the_first_uses_are_charged_and_the_others_refused_where_credits_do_not_suffice(self, account):
        requests = [charge_request(account, "2.5", f"use {n}") for n in range(50)]
        outcomes = ledger.charge_many(requests, NOON)
        assert [type(one).__name__ for one in outcomes] == ["Charged"] * 42 + ["InsufficientCredits"] * 8
        assert (outcomes[42].needed, outcomes[42].available) == (D("2.5"), 0)

    def test_replays_answer_the_first_outcome_and_other_bodies_are_refused(self, account):
        requests = self.batch(account)
        first = ledger.charge_many(requests, NOON)
        changed = [
            replace(one, fingerprint=b"other") if n % 5 == 0 else one for n, one in enumerate(requests)
        ]
        again = ledger.charge_many(changed, NOON + HOUR)
        for n, (one, other) in enumerate(zip(first, again, strict=True)):
            if n % 5 == 0:
                assert isinstance(other, ledger.KeyReused), n
            else:
                assert other == replace(one, replayed=True), n
        assert Charge.objects.count() == 50

    def test_credits_that_ended_are_not_spent(self, account):
        give(account, "9", "ends", label="ends", priority=1, expires_at=NOON + HOUR)
        ledger.charge_many(self.batch(account), NOON + HOUR)
        assert grants(account)["ends"] == ("0", "0", "0", False)
        assert entries(account, after=4)[0] == "60 expire ends -9 = 0 / 105"

    def test_held_credits_are_not_spent_and_debt_refuses_all_but_free_uses(self, account):
        hold(account, "100", until=NOON + DAY)
        outcomes = ledger.charge_many([charge_request(account, "0.2", f"use {n}") for n in range(50)], NOON)
        assert sum(isinstance(one, ledger.Charged) for one in outcomes) == 25
        assert amounts(account) == ("0", "100", "0")
        other = new_account()
        owe(other, "1")
        give(other, "0.5", "repays")
        outcomes = ledger.charge_many(
            [charge_request(other, "0.1" if n % 2 else "0", f"use {n}") for n in range(50)], NOON
        )
        assert [type(one).__name__ for one in outcomes] == ["Charged", "InDebt"] * 25
        assert outcomes[1].debt == D("0.5")


WALLETS = {
    "one grant": PLAIN,
    "many grants that end": WalletState(
        grants=tuple(GrantTerms(credits=str(40 - n), expires=n or None) for n in (2, 1, 0))
    ),
    "grants for some services": WalletState(
        grants=(
            GrantTerms(credits="10", services=("tag:image",)),
            GrantTerms(credits="10", services=("gpt-4o",)),
            GrantTerms(credits="40"),
        )
    ),
    "too little": WalletState(grants=(GrantTerms(credits="10"),)),
    "nothing": WalletState(grants=()),
    "debt": replace(PLAIN, has_debt=True),
    "limit": replace(PLAIN, limit="30"),
    "quota": replace(PLAIN, files=3),
    "threshold": replace(PLAIN, warn_below="470"),
    "threshold already crossed": replace(PLAIN, warn_below="501"),
    "day that is due": replace(PLAIN, daily="5"),
    "no wallet": replace(PLAIN, exists=False),
    "spent before": replace(PLAIN, spent=("3", "1")),
}
BATCHES = {
    "plain": uses(),
    "free": uses(credits="0"),
    "in a project": uses(in_project=True),
    "with files": uses(files=2),
    "used keys": [*uses(), *uses(2, first=0)],
    "used keys with another body": [*uses(), *uses(2, first=0, fingerprint=b"other")],
    "a key twice": [*uses(), *uses(2, credits="2")],
    "a key twice with another body": [*uses(), *uses(2, fingerprint=b"other")],
    "images": uses(covers=("flux", "tag:image")),
}


@pytest.mark.parametrize("batch", list(BATCHES))
def test_a_batch_on_wallets_of_every_kind_has_the_same_result_as_one_after_the_other(batch, db):
    turns = [replace(use, wallet=n) for use in BATCHES[batch] for n in range(len(WALLETS))]
    assert len(turns) >= 48, "fewer are charged one by one"
    compare(list(WALLETS.values()), turns)


def test_a_wallet_with_more_than_a_hundred_grants_is_charged_too(account):
    for n in range(101):
        give(account, "1", f"grant {n}", label=f"{n}")
    outcomes = ledger.charge_many([charge_request(account, "2", f"use {n}") for n in range(50)], NOON)
    assert {type(one) for one in outcomes} == {ledger.Charged}
    assert amounts(account) == ("1", "0", "0")
    assert broken([account]) == []


def test_a_batch_settles_the_wallets_that_are_due_and_no_others(db):
    due, later = new_account(), new_account()
    for account, ends in (due, NOON + HOUR), (later, NOON + HOUR + dt.timedelta(microseconds=1)):
        give(account, "100", "pack")
        give(account, "7", "ends", label="ends", priority=1, expires_at=ends)
    requests = [charge_request(one, "0.1", f"use {n}") for n in range(30) for one in (due, later)]
    ledger.charge_many(requests, NOON + HOUR)
    assert grants(due)["ends"][0] == "0"
    assert grants(later)["ends"][0] == "4"
    assert amounts(due) == ("97", "0", "0")


def test_spending_before_the_batch_is_not_charged_again(account):
    give(account, "10", "pack")
    first = spend(account, "2", "use 0")
    outcomes = ledger.charge_many([charge_request(account, "2", f"use {n}") for n in range(3)], NOON)
    assert [one.replayed for one in outcomes] == [True, False, False]
    assert outcomes[0].charge_id == first.charge_id
    assert amounts(account) == ("4", "0", "0")


@pytest.mark.parametrize("exact", [0, 5, 49])
def test_a_use_that_empties_a_grant_exactly_draws_nothing_from_the_next(account, exact):
    give(account, str(exact + 1), "first", label="first")
    give(account, "100", "second", label="second")
    outcomes = ledger.charge_many([charge_request(account, "1", f"use {n}") for n in range(50)], NOON)
    assert [len(one.drawn) for one in outcomes] == [1] * 50
    written = entries(account, after=2)
    assert len(written) == 50
    assert [" first " in entry for entry in written] == [n <= exact for n in range(50)]
