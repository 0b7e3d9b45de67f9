"""The runtime role of the database: what web, worker and beat may do, and nothing else.

The owner of the tables runs migrations. The runtime role owns nothing, so it can neither change or disable
a trigger nor create, alter or drop anything; it has no right to TRUNCATE, it updates no append-only table,
and it deletes only from the tables of DELETES. So a fault or an intrusion in the running system cannot
rewrite the ledger (https://www.postgresql.org/docs/current/ddl-priv.html).
Invariant: the statements can be repeated; they end with exactly these rights.
"""

import re
from collections.abc import Collection, Mapping

from django.core.checks import CheckMessage, Warning
from django.db import connection

# Never updated: triggers refuse it to the owner, too. (Of charges and corrections some columns change.)
APPEND_ONLY = (
    "billing_entry",
    "billing_checkpoint",
    "billing_head",
    "billing_archive",
    "billing_archivedwallet",
    "core_staffact",
)
# Written by the owner only: what a record of an archive covers may be deleted (manage.py archive_ledger), and
# a release applies the migrations that are not recorded.
OWNERS = ("billing_archive", "billing_archivedwallet", "django_migrations")
# Only in a distributed database: an event has moved from its node to the coordinator.
OF_NODES = ("ledger_event",)
# All deletions of the product, with their reasons.
DELETES = {
    "account_emailaddress": "an address is replaced",
    "account_emailconfirmation": "a confirmation expired",
    "accounts_formersecret": "a former secret of a webhook endpoint has ended, or the endpoint is deleted",
    "accounts_membership": "a member leaves",
    "accounts_providerkey": "a provider key is removed",
    "accounts_staffnote": "notes of staff are erased with an account",
    "accounts_user_groups": "staff change a user's groups",
    "accounts_user_user_permissions": "staff change a user's permissions",
    "accounts_webhookdelivery": "an old delivery is purged, or its endpoint is deleted",
    "accounts_webhookendpoint": "an endpoint is deleted",
    "accounts_webhookevent": "an old event is purged",
    "billing_auditprogress": "an audit has ended",
    "billing_limit": "a limit is lifted",
    "billing_mail": "an old e-mail is purged",
    "billing_promotion": "staff delete a promotion that was never redeemed",
    "billing_refund": "a total from Stripe is split into its refunds",
    "billing_stripeevent": "an old event is purged",
    "core_keptanswer": "an old answer is purged, where the operator has chosen so",
    "core_lease": "a lock is released",
    "core_ratewindow": "a window of a rate limit is over",
    "django_session": "a session ends",
    "mfa_authenticator": "a second factor is removed",
    "pricing_rate": "a draft of a rate card is written again",
    "pricing_ratecard": "staff delete a draft",
    "pricing_sale": "a sale that has not begun leaves the catalogue",
    "shared_cache": "an entry of the cache expires",
    "usage_usagesum": "sums of days of another zone are made again",
    "usersessions_usersession": "a session ends",
}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LIMIT = re.compile(r"\d+(ms|s|min)?")
_TABLES = """select c.relname from pg_class c
  where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') order by 1"""
_OWNED = """select rolsuper, exists (select from pg_class c where c.relowner = r.oid and c.relkind = 'r'
    and c.relnamespace = current_schema()::regnamespace), rolname
  from pg_roles r where rolname = current_user"""


def checked_name(name: str) -> str:
    """The name if it can be a role's name without quotes. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of lower-case letters, digits and underscores")
    return name


def statements(*, runtime: str, limits: Mapping[str, str] | None = None) -> list[str]:
    """The SQL that makes `runtime` the runtime role of this database, to be run by the owner of the tables.

    `limits`: settings of the role, such as lock_timeout, for connections through a pooler. Raises ValueError.
    """
    role = checked_name(runtime)
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        tables = [table for (table,) in cursor.fetchall()]
        cursor.execute("select current_schema(), to_regnamespace('pgmq') is not null")
        schema, has_broker = cursor.fetchone()
    listed = {*DELETES, *OF_NODES}
    deletes = [table for table in tables if table in listed or table.startswith("sandbox_")]
    inserts = [table for table in tables if table not in OWNERS]
    updates = [table for table in tables if table not in (*APPEND_ONLY, *OWNERS)]
    sql = [
        f"do $$ begin if to_regrole('{role}') is null then create role {role} login; end if; end $$",
        f"grant usage on schema {schema} to {role}",
        f"revoke create on schema {schema} from public, {role}",
        f"revoke all on all tables in schema {schema} from public, {role}",
        f"grant select on all tables in schema {schema} to {role}",
        f"grant insert on {_listed(inserts)} to {role}",
        f"grant update on {_listed(updates)} to {role}",
        f"grant delete on {_listed(deletes)} to {role}",
        f"grant usage, select on all sequences in schema {schema} to {role}",
    ]
    if has_broker:  # messages come and go; the queues are created by the owner (config.broker.install)
        sql += [
            f"grant usage on schema pgmq to {role}",
            f"grant select, insert, update, delete on all tables in schema pgmq to {role}",
            f"grant usage, select on all sequences in schema pgmq to {role}",
        ]
    for name, value in (limits or {}).items():
        if not _LIMIT.fullmatch(value):
            raise ValueError(f"{value!r} is not a time such as 3s")
        sql.append(f"alter role {role} set {checked_name(name)} = '{value}'")
    return sql


def apply(sql: list[str]) -> None:
    """Run the statements. Raises Django's database errors; inside a transaction all or none take effect."""
    with connection.cursor() as cursor:
        for statement in sql:
            cursor.execute(statement)


def check_role(*, databases: Collection[str] | None = None, **_: object) -> list[CheckMessage]:
    """`manage.py check --deploy --database default`: warns when the process runs as the owner."""
    if not databases:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_OWNED)
        is_superuser, owns_tables, role = cursor.fetchone()
    if not (is_superuser or owns_tables):
        return []
    what = "is a superuser" if is_superuser else "owns the tables"
    return [
        Warning(
            f"The database role {role} {what}, so it can disable the triggers that protect the ledger.",
            hint="Run web, worker and beat as the runtime role of `manage.py database_roles`.",
            id="core.W001",
        )
    ]


def _listed(tables: list[str]) -> str:
    return ", ".join(f'"{table}"' for table in tables)
