"""The distributed tables: each has the account in its primary key, and shares the nodes of its account.

Invariant: an id is unique over all accounts, although the database checks it only within one: ids are UUIDs,
or numbers of a sequence of which each node has a range of its own.
"""

from pathlib import Path

from django.db import connection

SQL = Path(__file__).parent / "nodes.sql"
WALLET = "billing_wallet"
# The copy of what the functions read of accounts, and the events for webhooks.
ACCOUNTS, EVENTS = "ledger_account", "ledger_event"
# Tables with identity columns first: Citus refuses them after it has created shards in parallel.
TABLES = (
    WALLET,
    "billing_entry",
    "billing_limit",
    "billing_allowance",
    "billing_notice",
    "billing_grant",
    "billing_charge",
    "billing_hold",
    "billing_correction",
    "billing_usesum",
    "billing_archivedwallet",
    "billing_head",
    ACCOUNTS,
    EVENTS,
)
# A platform key may name these without their account (database.owner).
FOUND_BY_ID = ("billing_charge", "billing_hold")
_COPY_ACCOUNTS = f"""insert into {ACCOUNTS} (account_id, zone, external_id)
  select id, zone, external_id from accounts_account"""
_COPY_CHANGES = """create or replace trigger account_copied after insert or update of zone, external_id
  on accounts_account for each row execute function ledger_copy_account()"""


def left_to_distribute() -> list[str]:
    """The tables that are not distributed."""
    return [table for table in TABLES if table not in _distributed()]


def distribute(*, shards: int) -> None:
    """Distribute the tables that are not, with their rows. The caller opens the transaction."""
    distributed = _distributed()
    with connection.cursor() as cursor:
        cursor.execute(SQL.read_text(encoding="utf-8"))
        cursor.execute("select set_config('citus.shard_count', %s, true)", [str(shards)])
        for table in TABLES:
            if table not in distributed:
                _prepare(table)
                beside = "none" if table == WALLET else WALLET
                cursor.execute(
                    "select create_distributed_table(%s::regclass, 'account_id', colocate_with => %s)",
                    [table, beside],
                )
        if ACCOUNTS not in distributed:
            cursor.execute(_COPY_ACCOUNTS)
        cursor.execute(_COPY_CHANGES)
        for table in FOUND_BY_ID:
            cursor.execute(f"create index if not exists {table}_by_id on {table} (id)")
        for role in readers():
            cursor.execute(f"grant select, insert, update on {ACCOUNTS}, {EVENTS} to {role}")
            cursor.execute(f"grant delete on {EVENTS} to {role}")


def identity_tables() -> list[str]:
    """Those tables whose `id` the database numbers."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select attrelid::regclass::text from pg_attribute where attidentity <> ''"
            " and attrelid in (select to_regclass(x) from unnest(%s::text[]) x) order by 1",
            [list(TABLES)],
        )
        return [table for (table,) in cursor.fetchall()]


def readers() -> list[str]:
    """The roles that may read the ledger and do not own it: the runtime role."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select distinct a.grantee::regrole::text from pg_class c, aclexplode(c.relacl) a where c.oid ="
            " %s::regclass and a.privilege_type = 'SELECT' and a.grantee not in (0, c.relowner)",
            [WALLET],
        )
        return [role for (role,) in cursor.fetchall()]


def _prepare(table: str) -> None:
    """Put the account into the primary key, and drop the triggers: the shards get them (shards.py)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select tgname from pg_trigger where tgrelid = %s::regclass and not tgisinternal", [table]
        )
        for (trigger,) in cursor.fetchall():
            cursor.execute(f'drop trigger "{trigger}" on {table}')
        cursor.execute(
            "select conname, pg_get_constraintdef(oid) from pg_constraint"
            " where conrelid = %s::regclass and contype = 'p'",
            [table],
        )
        name, definition = cursor.fetchone()
        if "account_id" not in definition:
            cursor.execute(f'alter table {table} drop constraint "{name}", add primary key (account_id, id)')


def _distributed() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("select logicalrelid::regclass::text from pg_dist_partition")
        return {table for (table,) in cursor.fetchall()}
