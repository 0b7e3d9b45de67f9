"""On the nodes of Citus whose coordinator CITUS_URL names (`make test-citus`)."""

import datetime as dt
import os

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import Account, WebhookEndpoint, WebhookEvent
from billing import ledger
from billing.ledger import audit, distribution
from billing.ledger.models import Charge, Entry
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, give, hold, new_account, spend

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("CITUS_URL" not in os.environ, reason="CITUS_URL names no database of Citus"),
]


def nodes_of(accounts: list[object]) -> set[object]:
    with connection.cursor() as cursor:
        cursor.execute(
            "select distinct p.groupid from unnest(%s::uuid[]) a join pg_dist_placement p"
            " on p.shardid = get_shard_id_for_distribution_column('billing_wallet', a)",
            [accounts],
        )
        return {group for (group,) in cursor.fetchall()}


@pytest.fixture
def accounts() -> list[object]:
    """Accounts on both workers."""
    found = [new_account() for _ in range(20)]
    assert len(nodes_of(found)) == 2
    return found


def test_ids_are_unique_over_the_nodes(accounts):
    for account in accounts:
        give(account, "10")
        for number in range(3):
            spend(account, "1", f"use {number}")
    entries = Entry.objects.values_list("pk", flat=True)
    assert len(entries) == len(set(entries)) == 80
    assert len({pk >> 48 for pk in entries}) == 2, "each node has a range"
    assert Charge.objects.values("pk").distinct().count() == 60


def test_a_transaction_over_both_nodes_is_kept_or_undone_as_a_whole(accounts):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        for account in accounts:
            give(account, "10")
        Account.objects.filter(pk=accounts[0]).update(name="Renamed")
        raise ZeroDivisionError
    assert Entry.objects.count() == 0
    assert Account.objects.get(pk=accounts[0]).name == "Test"


def test_a_change_of_zone_reaches_the_node(accounts):
    account = accounts[0]
    ledger.set_allowances(account_id=account, allowances=[allowance("day", "5")], now=NOON)
    changed = Account.objects.get(pk=account)
    changed.zone = "Pacific/Auckland"
    changed.save()
    ledger.settle([account], timezone.now() + 2 * DAY)
    with connection.cursor() as cursor:
        cursor.execute("select zone from ledger_account where account_id = %s", [account])
        assert cursor.fetchone() == ("Pacific/Auckland",)
        cursor.execute("select zone from billing_allowance where account_id = %s", [account])
        assert cursor.fetchone() == ("Pacific/Auckland",)


def test_settling_and_the_audit_reach_every_node(accounts):
    for account in accounts:
        give(account, "10", expires_at=NOON + dt.timedelta(hours=1))
        hold(account, "4", until=NOON + dt.timedelta(hours=2), key="hold")
    assert ledger.settle_due(NOON + DAY) == len(accounts)
    assert {one.total for one in ledger.balances(accounts, NOON + DAY).values()} == {D("0")}
    ledger.checkpoints.take(NOON + DAY)
    outcome = audit.run(now=NOON + DAY, is_full=True)
    assert (outcome.wallets, outcome.findings) == (len(accounts), [])


def test_a_changed_amount_is_found_on_its_node(accounts):
    give(accounts[3], "10")
    with connection.cursor() as cursor:
        cursor.execute("update billing_wallet set balance = 11 where account_id = %s", [accounts[3]])
    found = audit.run(now=NOON, is_full=True).findings
    assert found and any(str(accounts[3]) in one["subject"] for one in found)


def test_an_entry_cannot_be_changed(accounts):
    give(accounts[0], "10")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Entry.objects.filter(account_id=accounts[0]).update(credits=1)


def test_events_of_the_nodes_are_collected_once_for_an_endpoint_that_wants_them(accounts):
    WebhookEndpoint.objects.create(url="https://example.org", events=["credits.granted"], secret=b"")
    for account in accounts:
        give(account, "10")
    assert not WebhookEvent.objects.exists()
    assert distribution.collect_events() == len(accounts)
    assert set(WebhookEvent.objects.values_list("account_id", flat=True)) == set(accounts)
    assert distribution.collect_events() == 0


@pytest.mark.django_db(transaction=True)
def test_after_a_migration_calls_are_sent_again():
    account = new_account()
    distribution.drop_shard_schemas()
    call_command("migrate", verbosity=0)
    give(account, "10")
    assert spend(account, "4").balance_after == D("6")
    distribution.distribute(shard_count=8)
    assert spend(account, "1", "again").balance_after == D("5")


def test_the_account_of_a_charge_or_hold_is_found_on_its_node(accounts):
    for account in accounts:
        give(account, "10")
        charge, held = spend(account, "1"), hold(account, "4", key="hold")
        assert ledger.owner("billing_charge", charge.charge_id) == account
        assert ledger.owner("billing_hold", held.hold_id) == account
    assert ledger.owner("billing_charge", held.hold_id) is None


def test_the_pages_of_an_account_ask_its_node_only(alice, staff, signed_in, account_of):
    account = account_of(alice)
    give(account.pk, "10")
    spend(account.pk, "1")
    with connection.cursor() as cursor:
        cursor.execute("set local citus.multi_task_query_log_level = 'error'")
    pages = ["/", "/history/", "/history/?q=gpt-4o", "/usage/", "/api/v1/transactions", "/api/v1/balance"]
    of_customer = [f"/admin/accounts/account/{account.pk}/{page}/" for page in ("change", "customer")]
    answers = [signed_in(alice).get(page).status_code for page in pages]
    answers += [signed_in(staff).get(page).status_code for page in of_customer]
    assert answers == [200] * 8


@pytest.mark.django_db(transaction=True)
def test_a_trigger_that_is_disabled_beside_a_shard_is_found(accounts):
    with connection.cursor() as cursor:
        cursor.execute(
            "select n.nodename, n.nodeport, s.shardid from pg_dist_shard s join pg_dist_placement p"
            " on p.shardid = s.shardid join pg_dist_node n on n.groupid = p.groupid"
            " where s.logicalrelid = 'billing_entry'::regclass order by s.shardid limit 1"
        )
        host, port, shard = cursor.fetchone()
        command = (
            "do $$ begin set local citus.enable_manual_changes_to_shards to on;"
            f" alter table billing_entry_{shard} disable trigger entry_append_only; end $$"
        )
        cursor.execute(
            "select success, result from master_run_on_worker(array[%s], array[%s], array[%s], false)",
            [host, port, command],
        )
        assert cursor.fetchone()[0]
    try:
        found = audit.run(now=NOON, is_full=True).findings
    finally:
        distribution.distribute(shard_count=8)
    assert [one["subject"] for one in found] == ["trigger entry_append_only of billing_entry"]
    assert audit.run(now=NOON + DAY, is_full=True).findings == []
