"""What a distributed database needs, and the functions that send calls to its nodes, on one PostgreSQL."""

import os
import re
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from billing import ledger
from billing.ledger import database, distribution
from billing.ledger.distribution import calls, shards, tables
from core.amounts import plain
from tests.billing.ledger.conftest import DAY, NOON, charge_request, give, new_account

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("CITUS_URL" in os.environ, reason="the database is distributed"),
]
LEDGER = settings.BASE_DIR / "billing/ledger"
# One statement for several accounts: not used on a distributed database, where each account has a call.
OF_SEVERAL = {
    "ledger_charge_at_once",
    "ledger_charge_many",
    "ledger_charge_shared",
    "ledger_settle",
    "ledger_settle_due",
}
# Parts of statements that run beside the shards (database.read), and of archives, which are refused.
BESIDE_SHARDS = {"ledger_hold_amount", "ledger_audit_hash", "ledger_archived_leaf"}
OF_ARCHIVES = {"ledger_purchase_sums", "ledger_records_hash"}


def test_without_citus_the_command_says_what_to_start_and_changes_nothing():
    output = StringIO()
    with pytest.raises(CommandError, match="shared_preload_libraries = 'citus'"):
        call_command("distribute", stdout=output)
    assert output.getvalue() == ""
    assert not ledger.is_distributed()


def test_every_function_that_python_calls_is_sent_or_not_used_on_several_nodes():
    used = {
        name
        for file in LEDGER.rglob("*.py")
        if "distribution" not in file.parts
        for name in re.findall(r"\b(ledger_[a-z_]+)\(", file.read_text())
    }
    of_nodes = {"ledger_new_use", "ledger_owner", "ledger_query"}
    assert used - set(calls.CALLS) - OF_SEVERAL - BESIDE_SHARDS - OF_ARCHIVES - of_nodes == set()


def test_on_several_nodes_each_account_has_a_call_and_its_usual_outcome(db, monkeypatch):
    monkeypatch.setattr(database, "is_distributed", lambda: True)
    monkeypatch.setattr(database, "read_reachable", database.rows)  # there are no nodes to read from
    statements = []

    def record(execute, sql, parameters, many, context):
        statements.append(sql)
        return execute(sql, parameters, many, context)

    accounts = [new_account() for _ in range(3)]
    with connection.execute_wrapper(record):
        for account in accounts:
            give(account, "10", expires_at=NOON + DAY)
        uses = [charge_request(accounts[n % 2], "1", f"use {n}") for n in range(5)]
        charged = ledger.charge_many(uses, NOON)
        assert [plain(one.balance_after) for one in charged] == ["9", "9", "8", "8", "7"]
        balances = ledger.balances(accounts, NOON)
        assert [plain(balances[one].total) for one in accounts] == ["7", "8", "10"]
        assert ledger.balances(accounts, NOON + DAY) == {}, "they are due"
        assert ledger.settle(accounts[:2], NOON + DAY) == 2
        ledger.settle_due(NOON + DAY)
        settled = ledger.balances(accounts, NOON + DAY)
        assert [plain(settled[one].total) for one in accounts] == ["0", "0", "0"]
    used = {name for name in OF_SEVERAL for sql in statements if f"{name}(" in sql}
    assert (used, len(statements) > 10) == (set(), True)


def test_a_call_keeps_the_name_arguments_and_result_of_its_function():
    found = {call.name: call for call in calls.found()}
    assert set(found) == set(calls.CALLS)
    charge, balance = found["ledger_charge"].definition, found["ledger_balance"].definition
    assert "ledger_charge(p_account uuid, u ledger_use, p_now timestamp with time zone)" in charge
    assert "result_ public.ledger_outcome" in charge
    assert "into result_ using p_account, u, p_now" in charge
    assert "into due, balance, held, debt, is_low, warn_below, seq, grants, allowances" in balance
    assert "result_ boolean" in found["ledger_open_wallet"].definition
    assert "return query" in found["ledger_charge_account"].definition
    assert " into " not in found["ledger_settle_for_read"].definition


def test_each_definition_replaces_its_function(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "create function ledger_shard(uuid) returns text language sql as $$ select null::text $$"
        )
        for call in calls.found():
            cursor.execute(call.definition)
        cursor.execute("select count(*) from pg_proc where prosrc like '%ledger_shard(p_account)%'")
        assert cursor.fetchone() == (len(calls.CALLS),)


def test_the_schema_of_shards_has_every_file_of_the_ledger_but_those_of_the_coordinator():
    group = shards.Group(wallet=7, host="db", port=5432, shards={name: 7 for name in tables.TABLES})
    script = "\n".join(shards.script(group))
    assert "create schema ledger_7;" in script
    assert "select account_id as id, zone, external_id from public.ledger_account_7" in script
    for table in ("billing_entry", "billing_limit", "billing_allowance", "billing_notice"):
        assert f"alter view {table} alter column id set default nextval" in script
    left_out = {file.name for file in (LEDGER / "sql").glob("*.sql") if file.read_text() not in script}
    assert left_out == {"14_audits.sql", "98_purchases.sql"}


def test_every_table_of_an_account_that_the_functions_write_is_distributed():
    written = {
        name
        for file in (LEDGER / "sql").glob("*.sql")
        for name in re.findall(r"(?:insert into|update|delete from) (billing_[a-z]+)", file.read_text())
    }
    assert written <= set(tables.TABLES)
    assert distribution.collect_events() == 0, "one PostgreSQL has no events elsewhere"
