"""Calls that accounts share: the outcome of each is that of a call of its own, and none settles at length."""

import datetime as dt
import json
import uuid
from typing import Any

import pytest

from billing import ledger
from billing.ledger import charges, database, shared_calls
from billing.ledger.models import Charge
from billing.ledger.uses import USE, use_as_json, use_parameters
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, hold, new_account, owe
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)
ATTRIBUTES: dict[str, Any] = {
    "service": "veo", "covers": ("veo", "tag:video"), "action": "render", "conversation": "talk",
    "project_id": uuid.UUID(int=1), "member_id": uuid.UUID(int=2), "api_key_id": uuid.UUID(int=3),
    "quota": ("videos", 3), "detail": {"lines": ["ü", 1]}, "fingerprint": b"\x00body", "covered_by": "x",
}  # fmt: skip


def at_once(request: ledger.ChargeRequest, now=NOON) -> str:
    """The status of a call that one use has for itself, while others wait for it."""
    statement = f"select * from ledger_charge_at_once({USE}, %(now)s)"
    return str(database.row(statement, use_parameters(request) | {"now": now})["status"])


def shared(*requests: ledger.ChargeRequest, now=NOON, times: Any = None) -> list[str]:
    """The statuses of a call that several uses share."""
    rows = database.rows(
        "select (c.outcome).status as status from ledger_charge_shared(%(uses)s::jsonb, %(times)s, true) c"
        " order by c.ord",
        {
            "uses": f"[{','.join(map(use_as_json, requests))}]",
            "times": times or [now] * len(requests),
        },
    )
    return [str(row["status"]) for row in rows]


def ending(grants: int) -> uuid.UUID:
    """An account with a pack of 100 and so many grants that end in an hour."""
    account = new_account()
    give(account, "100", "pack", priority=1)
    for n in range(grants):
        give(account, "1", f"grant {n}", expires_at=NOON + HOUR)
    return account


class TestOneUse:
    @pytest.fixture
    def account(self, db):
        account = new_account()
        give(account, "10", "pack")
        return account

    def test_has_the_same_row_as_a_call_of_its_own(self, account):
        request = charge_request(account, "4", **ATTRIBUTES)
        outcome = charges.outcome_of(shared_calls.SharedCalls().charge(request, NOON), request)
        assert isinstance(outcome, ledger.Charged)
        assert (outcome.credits, outcome.balance_before, outcome.balance_after) == (D("4"), D("10"), D("6"))
        assert (outcome.detail, outcome.covered_by, outcome.replayed) == ({"lines": ["ü", 1]}, "x", False)
        assert stored(Charge.objects.get()) == ATTRIBUTES

    @pytest.mark.parametrize(
        ("case", "status"),
        [
            ("plain", "charged"), ("again", "replayed"), ("another body", "reused"),
            ("too much", "insufficient"), ("debt", "debt"), ("no wallet", "unknown"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("call", [at_once, lambda request: shared(request)[0]])
    def test_is_decided_as_alone(self, account, case, status, call):
        request = charge_request(account, "4")
        if case in {"again", "another body"}:
            assert call(request) == "charged"
        if case == "another body":
            request = charge_request(account, "4", fingerprint=b"other")
        elif case == "too much":
            request = charge_request(account, "10.000001")
        elif case == "debt":
            owe(account, "1")
        elif case == "no wallet":
            request = charge_request(uuid.uuid4(), "4")
        before = amounts(account)
        assert call(request) == status
        assert (amounts(account) == before) is (case != "plain")


def stored(row: Charge) -> dict[str, Any]:
    """The attributes of a charge, as its request names them."""
    same = ATTRIBUTES.keys() - {"covers", "fingerprint", "quota"}
    return {name: getattr(row, name) for name in same} | {
        "covers": ("veo", "tag:video"), "fingerprint": bytes(row.fingerprint),
        "quota": (row.quota, row.quota_count),
    }  # fmt: skip


def test_both_forms_of_a_use_carry_the_same_fields(db):
    account = new_account()
    give(account, "10", "pack")
    first = charge_request(account, "4", "parameters", **ATTRIBUTES)
    second = charge_request(account, "4", "json", **ATTRIBUTES)
    assert at_once(first) == "charged"
    assert shared(second) == ["charged"]
    rows = [stored(row) for row in Charge.objects.all()]
    assert rows[0] == rows[1] == ATTRIBUTES
    fields = set(json.loads(use_as_json(first)))
    assert fields == set(use_parameters(first))


class TestMuchDue:
    """More than fifty effects are not settled in a call that others wait for."""

    @pytest.mark.parametrize(("grants", "status"), [(50, "charged"), (51, "busy")])
    @pytest.mark.parametrize("call", [at_once, lambda request, now: shared(request, now=now)[0]])
    def test_fifty_are_settled_and_one_more_are_not(self, db, grants, status, call):
        account = ending(grants)
        assert call(charge_request(account, "1"), NOON + HOUR) == status
        assert amounts(account)[0] == ("99" if status == "charged" else "151")
        assert broken([account]) == []

    @pytest.mark.parametrize(("holds", "status"), [(25, "charged"), (26, "busy")])
    def test_ended_holds_count_too(self, db, holds, status):
        account = ending(25)
        for n in range(holds):
            hold(account, "1", f"hold {n}")
        assert at_once(charge_request(account, "1"), NOON + HOUR) == status

    def test_before_it_is_due_a_wallet_is_charged(self, db):
        account = ending(51)
        assert at_once(charge_request(account, "1"), NOON + HOUR - dt.timedelta(microseconds=1)) == "charged"

    def test_later_uses_of_a_busy_wallet_keep_their_order_and_others_go_on(self, db):
        """The second use comes before the wallet is due; it waits with the first."""
        busy, other = ending(51), new_account()
        give(other, "5")
        requests = [charge_request(one, "1", f"use {n}") for n, one in enumerate([busy, other, busy, other])]
        times = [NOON + HOUR, NOON + HOUR, NOON, NOON + HOUR]
        assert shared(*requests, times=times) == ["busy", "charged", "busy", "charged"]
        assert amounts(other)[0] == "3"

    @pytest.mark.parametrize("count", [3, 60])
    def test_in_a_batch_it_is_charged_after_the_others(self, db, count):
        busy, other = ending(51), new_account()
        give(other, "100")
        requests = [charge_request(one, "1", f"use {n}") for n in range(count) for one in (busy, other)]
        outcomes = ledger.charge_many(requests, NOON + DAY)
        assert {type(one) for one in outcomes} == {ledger.Charged}
        assert amounts(busy)[0] == amounts(other)[0] == str(100 - count)
