"""The schemas of the shards: for each group of shards, on its node, views of them and the ledger's functions.

Invariant: a schema refers to the shards of one group only, so that its functions cannot read or write others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connection

from billing.ledger.distribution import tables
from billing.ledger.installation import OF_COORDINATOR, SQL

_WEBHOOKS = Path(settings.BASE_DIR) / "accounts" / "webhook_events.sql"
_GROUPS = """
select w.shardid, n.nodename, n.nodeport, s.logicalrelid::text, s.shardid
  from pg_dist_shard w
  join pg_dist_partition p on p.colocationid = (
    select x.colocationid from pg_dist_partition x where x.logicalrelid = 'billing_wallet'::regclass)
  join pg_dist_shard s on s.logicalrelid = p.logicalrelid and s.shardminvalue = w.shardminvalue
  join pg_dist_placement l on l.shardid = w.shardid
  join pg_dist_node n on n.groupid = l.groupid and n.noderole = 'primary'
 where w.logicalrelid = 'billing_wallet'::regclass and s.logicalrelid::text = any(%s) order by 1, 4"""
# The trigger of a view's table is a trigger of its shard; a table that the node does not have has none.
_TRIGGERS = r"""
create function ledger_ensure_trigger(p_table text, p_definition text) returns void language plpgsql as $$
declare shard_ text := (
  select d.refobjid::regclass::text from pg_class v join pg_rewrite r on r.ev_class = v.oid
    join pg_depend d on d.objid = r.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
   where v.relnamespace = current_schema()::regnamespace and v.relname = p_table limit 1);
begin
  if shard_ is not null then
    execute format('drop trigger if exists %I on %s', substring(p_definition from ' trigger (\w+) '), shard_);
    execute regexp_replace(p_definition, ' on ' || p_table || '\M', ' on ' || shard_);
  end if;
end $$;"""
# Whether an endpoint wants an event is decided where the endpoints are.
_EVERY_EVENT = """
create view accounts_webhookendpoint as select null::uuid as account_id, null::timestamptz as disabled_at,
  array['credits.granted', 'balance.low', 'balance.depleted', 'limit.reached']::text[] as events;"""
# Triggers also run for statements of Citus, and at the commit, with another search path and role.
_TRIGGER_PATHS = """
do $$
declare f regprocedure;
begin
  for f in select oid from pg_proc
            where pronamespace = current_schema()::regnamespace and prorettype = 'trigger'::regtype loop
    execute format('alter function %s security definer set search_path = {schema}, public', f);
  end loop;
end $$;"""
_BEGIN = """
set local citus.enable_ddl_propagation to off; set local citus.enable_manual_changes_to_shards to on;
set local client_min_messages to warning; """
_SCHEMAS = "select string_agg(nspname, ' ') from pg_namespace where nspname ~ '^ledger_[0-9]+$'"
_DROP = """do $drop$
declare s name;
begin
  set local citus.enable_ddl_propagation to off; set local client_min_messages to warning;
  for s in select nspname from pg_namespace where nspname ~ '^ledger_[0-9]+$' loop
    execute format('drop schema %I cascade', s);
  end loop;
end $drop$"""


@dataclass(kw_only=True)
class Group:
    """The shards of some accounts: one of each table, on one node."""

    wallet: int
    host: str
    port: int
    shards: dict[str, int] = field(default_factory=dict)

    @property
    def schema(self) -> str:
        return f"ledger_{self.wallet}"


def groups() -> list[Group]:
    """The groups of shards, with their nodes."""
    found: dict[int, Group] = {}
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, [list(tables.TABLES)])
        for wallet, host, port, table, shard in cursor.fetchall():
            group = found.setdefault(wallet, Group(wallet=wallet, host=host, port=port))
            group.shards[table] = shard
    return list(found.values())


def install(group: Group) -> None:
    """Make the group's schema anew. Raises RuntimeError with the node's answer."""
    text = "\n".join(script(group))
    _run(group.host, group.port, f"do $install$ begin execute $script${text}$script$; end $install$")


def are_installed() -> bool:
    """Whether each group has its schema. Raises RuntimeError with a node's answer."""
    installed = set[str]()
    for host, port in _nodes():
        installed.update(_run(host, port, _SCHEMAS).split())
    return {group.schema for group in groups()} <= installed


def drop() -> None:
    """Drop the schemas on all nodes, and the shards' triggers: migrations may change any table then."""
    for host, port in _nodes():
        _run(host, port, _DROP)


def _nodes() -> list[tuple[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute("select nodename, nodeport from pg_dist_node where noderole = 'primary' and isactive")
        return list(cursor.fetchall())


def _run(host: str, port: int, command: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "select success, result from master_run_on_worker(array[%s], array[%s], array[%s], false)",
            [host, port, command],
        )
        success, result = cursor.fetchone()
    if not success:
        raise RuntimeError(f"{host}:{port}: {result}")
    return str(result)


def script(group: Group) -> Iterator[str]:
    """The statements that make the group's schema."""
    yield f"{_BEGIN} drop schema if exists {group.schema} cascade; create schema {group.schema};"
    yield f"set local search_path to {group.schema}, public;"
    numbered = tables.identity_tables()
    for table, shard in group.shards.items():
        name = f"public.{table}_{shard}"
        if table == tables.ACCOUNTS:
            yield f"create view accounts_account as select account_id as id, zone, external_id from {name};"
        elif table == tables.EVENTS:
            yield f"create view accounts_webhookevent as select * from {name};"
        else:
            yield f"create view {table} as select * from {name};"
        if table in numbered:
            sequence = f"pg_get_serial_sequence('public.{table}', 'id')"
            yield f"alter view {table} alter column id set default nextval({sequence});"
    yield _EVERY_EVENT
    yield _TRIGGERS
    for file in (_WEBHOOKS, *sorted(SQL.glob("*.sql"))):
        if file.name not in OF_COORDINATOR:
            yield file.read_text(encoding="utf-8")
    yield _TRIGGER_PATHS.format(schema=group.schema)
    for role in tables.readers():  # for ledger_query, which has the rights of its caller
        yield f"grant usage on schema {group.schema} to {role};"
        yield f"grant select on all tables in schema {group.schema} to {role};"
