"""What `manage.py distribute` says is missing."""

import os
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing.ledger.distribution import requirements

pytestmark = pytest.mark.skipif("CITUS_URL" in os.environ, reason="the database is distributed")
COMPLETE: dict[str, Any] = {
    "loaded": True,
    "version": "13.2-1",
    "available": "13.2-1",
    "creates": True,
    "transactions": 100,
    "sessions": 100,
}


def test_a_node_that_has_everything_misses_nothing():
    assert list(requirements.of_node("db1", COMPLETE)) == []
    assert list(requirements.of_node("db1", COMPLETE | {"version": "14.0-1", "available": "14.0-1"})) == []


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            {"loaded": False},
            "PostgreSQL has to be started with shared_preload_libraries = 'citus' on db1.",
        ),
        ({"version": None}, "The extension is missing on db1: CREATE EXTENSION citus"),
        ({"version": "12.1-1", "available": "12.1-1"}, "Citus 12.1-1 on db1 is too old: 13.0 or newer"),
        (
            {"version": "13.1-1"},
            "The extension on db1 is of release 13.1-1, its library of 13.2-1: ALTER",
        ),
        (
            {"transactions": 99},
            "max_prepared_transactions on db1 is 99: it has to be max_connections (100)",
        ),
        ({"creates": False}, "This role may not create schemas on db1: GRANT CREATE ON DATABASE"),
    ],
)
def test_each_thing_that_a_node_misses_is_one_sentence(found, sentence):
    [said] = requirements.of_node("db1", COMPLETE | found)
    assert said.startswith(sentence)


def test_everything_that_a_node_misses_is_said_at_once():
    found = COMPLETE | {"version": "11.3-1", "creates": False, "transactions": 0}
    assert len(list(requirements.of_node("db1", found))) == 3


@pytest.mark.django_db
def test_a_role_without_rights_learns_what_to_start():
    with connection.cursor() as cursor:
        cursor.execute("create role without_rights")
        cursor.execute("set local role without_rights")
    with pytest.raises(
        CommandError, match="shared_preload_libraries = 'citus' on the coordinator"
    ) as refusal:
        call_command("distribute", stdout=StringIO())
    assert "This role may not create schemas on the coordinator" in str(refusal.value)
