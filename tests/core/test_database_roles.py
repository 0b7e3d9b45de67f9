"""The runtime role of the database: what it may do, and the warning when a process runs as the owner."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction

from core import database_roles
from tests.billing.ledger.conftest import give, new_account, spend

ROLE = "refill_test_role"

pytestmark = [pytest.mark.django_db, pytest.mark.owner]


@pytest.fixture
def as_runtime():
    """Run the rest of the test's transaction as the runtime role."""
    account = new_account()
    give(account, "10")
    database_roles.apply(database_roles.statements(runtime=ROLE))
    with connection.cursor() as cursor:
        cursor.execute(f"set local role {ROLE}")
    return account


@pytest.mark.fault("L11", "L22")
@pytest.mark.parametrize(
    "statement",
    [
        "update billing_entry set credits = 0",
        "delete from billing_entry",
        "truncate billing_entry",
        "delete from billing_charge",
        "delete from billing_grant",
        "delete from billing_wallet",
        "truncate billing_wallet cascade",
        "update billing_checkpoint set balance = 0",
        "update core_staffact set reason = ''",
        "delete from core_staffact",
        "insert into django_migrations (app, name, applied) values ('billing', '9999_none', now())",
        "update django_migrations set name = 'none'",
        "alter table billing_entry disable trigger all",
        "drop trigger entry_append_only on billing_entry",
        "create trigger t before insert on billing_entry execute function ledger_refuse_change()",
        "create table mine (id int)",
        "create or replace function ledger_refuse_change() returns trigger language sql as ''",
        "alter table billing_entry add column x int",
        "set session_replication_role = replica",
    ],
)
def test_it_may_not_change_history_or_the_schema(as_runtime, statement):
    refused = pytest.raises(ProgrammingError, match=r"permission denied|must be owner")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_it_may_do_what_the_product_does(as_runtime):
    assert spend(as_runtime, "4").balance_after == 6


def test_every_listed_deletion_names_a_table():
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
    assert set(database_roles.DELETES) <= tables
    assert set(database_roles.APPEND_ONLY) <= tables


def test_the_command_prints_the_sql_and_applies_it_on_request():
    printed = io.StringIO()
    call_command("database_roles", "--runtime", ROLE, "--limit", "lock_timeout=3s", stdout=printed)
    assert f"create role {ROLE}" in printed.getvalue()
    assert f"alter role {ROLE} set lock_timeout = '3s'" in printed.getvalue()
    call_command("database_roles", "--runtime", ROLE, "--apply", stdout=printed)
    with connection.cursor() as cursor:
        cursor.execute("select has_table_privilege(%s, 'billing_entry', 'insert')", [ROLE])
        assert cursor.fetchone() == (True,)


def test_a_role_that_may_not_make_roles_is_told_what_to_execute_and_by_whom(as_runtime):
    with pytest.raises(CommandError, match=r"(?s)permission denied.*create role refill_other_role login"):
        call_command("database_roles", "--runtime", "refill_other_role", "--apply", stdout=io.StringIO())


@pytest.mark.parametrize("arguments", [["--runtime", "x; drop"], ["--limit", "lock_timeout=3s'; drop"]])
def test_a_wrong_name_or_limit_is_refused(arguments):
    with pytest.raises(CommandError):
        call_command("database_roles", *arguments, stdout=io.StringIO())


def test_a_process_that_runs_as_the_owner_is_warned_about(as_runtime):
    assert database_roles.check_role(databases=["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute("set local role none")
    (warning,) = database_roles.check_role(databases=["default"])
    assert warning.id == "core.W001"
    assert database_roles.check_role() == []
