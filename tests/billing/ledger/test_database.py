"""Calls of the ledger's functions: prepared where the connection is direct, and not behind a pooler."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from billing.ledger import charges, installation
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


def test_a_type_of_an_earlier_release_gets_the_attribute_that_it_lacks(db):
    with connection.cursor() as cursor:
        cursor.execute("alter type ledger_move drop attribute digest cascade")
        cursor.execute((installation.SQL / "00_types.sql").read_text())
        cursor.execute("select (null::ledger_move).digest")
        assert cursor.fetchone() == (None,)
