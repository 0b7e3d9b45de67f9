"""Calls of the ledger's functions: prepared where the connection is direct, and not behind a pooler."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, transaction

from billing.ledger import charges, database, installation
from config import pooler
from tests.billing.ledger.conftest import NOON, charge_request, give, new_account


def prepared() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("select statement from pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


def test_a_charge_is_prepared_at_its_first_call(account):
    give(account, "10")
    charges.charge_alone(charge_request(account, "1", "a"), NOON)
    assert [text for text in prepared() if "ledger_charge(" in text]


def test_nothing_is_prepared_behind_a_pooler():
    database = {"OPTIONS": {"sslmode": "require"}}
    pooler.configure(database, "transaction")
    assert database == {
        "OPTIONS": {"sslmode": "require", "prepare_threshold": None},
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }


def test_an_unknown_pooler_is_refused():
    with pytest.raises(ImproperlyConfigured, match="DATABASE_POOLER"):
        pooler.configure({}, "session")


@pytest.mark.fault("O11")
@pytest.mark.owner
@pytest.mark.django_db(transaction=True)
def test_a_prepared_charge_goes_on_when_a_release_adds_an_attribute_to_its_result():
    account = new_account()
    give(account, "10")
    charges.charge_alone(charge_request(account, "1", "before"), NOON)
    with connection.cursor() as cursor:
        cursor.execute("alter type ledger_outcome add attribute later text cascade")
    try:
        for key in ("after", "again"):
            assert not charges.charge_alone(charge_request(account, "1", key), NOON).replayed
    finally:
        with connection.cursor() as cursor:
            cursor.execute("alter type ledger_outcome drop attribute later cascade")
        connection.close()


@pytest.mark.owner
@pytest.mark.django_db(transaction=True)
def test_a_call_is_made_again_in_a_new_session_unless_it_is_in_a_transaction():
    spent = "set application_name = 'spent'"  # as a session that sends no more calls to the nodes
    with connection.cursor() as cursor:
        cursor.execute(
            "create function answer() returns int language plpgsql as $$ begin"
            " if current_setting('application_name') <> 'spent' then return 7; end if;"
            " raise exception 'no more' using errcode = 'RF503'; end $$"
        )
        cursor.execute(spent)
    try:
        assert database.rows("select answer() as found", {}) == [{"found": 7}]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(spent)
            with pytest.raises(DatabaseError, match="no more"), transaction.atomic():
                database.rows("select answer() as found", {})
            cursor.execute("select 1")
        assert connection.close_at == 0, "closed at the end of the request"
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("drop function answer")


def test_a_type_of_an_earlier_release_gets_the_attribute_that_it_lacks(db):
    with connection.cursor() as cursor:
        cursor.execute("alter type ledger_move drop attribute digest cascade")
        cursor.execute((installation.SQL / "00_types.sql").read_text())
        cursor.execute("select (null::ledger_move).digest")
        assert cursor.fetchone() == (None,)
