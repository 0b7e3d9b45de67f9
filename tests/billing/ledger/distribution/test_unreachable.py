"""A node that does not answer, on one PostgreSQL: the calls of some accounts fail as if it had them."""

import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, OperationalError

from billing import ledger
from billing.ledger import database
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("CITUS_URL" in os.environ, reason="the database is distributed"),
]
UP, DOWN, ALSO_UP = (uuid.UUID(int=number) for number in (1, 2, 3))
Answer = Callable[[uuid.UUID], list[dict[str, Any]]]


def refuse() -> OperationalError:
    error = OperationalError("connection to the remote node failed")
    error.__cause__ = psycopg.errors.ConnectionFailure()
    return error


@pytest.fixture
def answers(monkeypatch) -> Callable[[Answer], None]:
    """Three nodes with a group each; the one of DOWN is down, the others answer with what the test says."""

    def use(answer: Answer) -> None:
        def rows(_statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
            if parameters["account_id"] == DOWN:
                raise refuse()
            return answer(parameters["account_id"])

        monkeypatch.setattr(database, "is_distributed", lambda: True)
        monkeypatch.setattr(database, "accounts_of_nodes", lambda: ((UP,), (DOWN,), (ALSO_UP,)))
        monkeypatch.setattr(database, "rows", rows)

    return use


def test_work_in_the_background_reads_the_accounts_of_the_other_nodes(answers):
    answers(lambda group: [{"found": {"account_id": str(group)}}])
    found = ledger.read_reachable("select account_id from billing_wallet", {})
    assert found == [{"account_id": str(UP)}, {"account_id": str(ALSO_UP)}]


def test_the_account_of_a_move_is_found_past_a_node_that_is_down(answers):
    owner = uuid.uuid4()
    answers(lambda group: [{"owner": owner if group == ALSO_UP else None}])
    assert ledger.owner("billing_hold", uuid.uuid4()) == owner


def test_a_move_that_the_node_that_is_down_may_have_is_not_said_to_be_unknown(answers):
    answers(lambda _group: [{"owner": None}])
    with pytest.raises(OperationalError, match="remote node"):
        ledger.owner("billing_hold", uuid.uuid4())


def test_a_session_that_sends_no_more_calls_ends_and_the_call_is_repeated_once():
    session = "select pg_backend_pid() as pid"
    before = database.rows(session, {})[0]["pid"]
    refused = "do $$ begin raise exception 'sends no more' using errcode = 'RF503'; end $$"
    with pytest.raises(DatabaseError, match="sends no more"):
        database.rows(refused, {})
    there = "select count(*) as number from pg_stat_activity where pid = %(pid)s"
    assert database.rows(session, {})[0]["pid"] != before
    assert database.rows(there, {"pid": before})[0]["number"] == 0


def test_a_batch_charges_the_accounts_of_the_other_nodes(monkeypatch):
    up, down = new_account(), new_account()
    for account in (up, down):
        give(account, "10")
    call = database.rows

    def rows(statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        if parameters.get("account_id") == down:
            raise refuse()
        return call(statement, parameters)

    monkeypatch.setattr(database, "rows", rows)
    monkeypatch.setattr(database, "is_distributed", lambda: True)
    batch = [charge_request(account, "1", key) for account, key in ((up, "a"), (down, "b"), (up, "c"))]
    first, second, third = ledger.charge_many(batch, NOON)
    assert isinstance(second, ledger.WalletUnreachable) and second.status == 503
    assert isinstance(first, ledger.Charged) and isinstance(third, ledger.Charged)
    assert third.balance_after == D("8")
