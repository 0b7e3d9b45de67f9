"""The functions that send a call to the node of its account.

Each has the name, arguments and result of a function in `billing/ledger/sql`. On the node that has the
account it runs that function in the schema of the account's shards; elsewhere it calls itself there.
Invariant: what Python calls on a distributed database is one of these; its first argument is the account.
"""

from dataclasses import dataclass

from django.db import connection

CALLS = (
    "ledger_adjust",
    "ledger_archived_seq",
    "ledger_balance",
    "ledger_capture",
    "ledger_charge",
    "ledger_charge_account",
    "ledger_claw_back",
    "ledger_grant",
    "ledger_hold",
    "ledger_hold_child",
    "ledger_open_wallet",
    "ledger_release",
    "ledger_report_usage",
    "ledger_restore",
    "ledger_reverse",
    "ledger_seq_before",
    "ledger_set_allowances",
    "ledger_set_limit",
    "ledger_set_warning",
    "ledger_settle_for_read",
    "ledger_settle_one",
)
_READS = ("public.ledger_query(uuid, text)", "public.ledger_owner(uuid, text, uuid)")
_FUNCTIONS = """
select p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.proretset,
       p.proargnames, coalesce(p.proargmodes::text[], '{}'),
       array(select case t.typnamespace when 'pg_catalog'::regnamespace then '' else 'public.' end
                    || format_type(t.oid, null)
             from unnest(p.proargtypes) with ordinality a(type, place) join pg_type t on t.oid = a.type
             order by a.place),
       case r.typnamespace when 'pg_catalog'::regnamespace then '' else 'public.' end
         || format_type(r.oid, null)
  from pg_proc p join pg_type r on r.oid = p.prorettype
 where p.pronamespace = 'public'::regnamespace and p.proname = any(%s) and p.proargnames[1] = 'p_account'
 order by 1"""
_SEND = """select create_distributed_function(%s::regprocedure, 'p_account',
  colocate_with => 'billing_wallet', force_delegation => true)"""
# (An error ends the transaction or savepoint, and with it the settings made here.)
_BODY = """create or replace function public.{name}({arguments}) returns {result}
language plpgsql security definer set search_path = pg_catalog as $dispatch$
declare schema_ text := public.ledger_shard(p_account); {declare}
begin
  if schema_ is null then
    perform public.ledger_send_once();
    {begin} execute format('select * from public.{name}({literals})', {inputs}) {into};
    perform set_config('refill.sent', '', true);
  else
    perform set_config('search_path', schema_ || ', public', true),
            set_config('citus.enable_manual_changes_to_shards', 'on', true);
    {begin} execute format('select * from %I.{name}({places})', schema_) {into} using {inputs};
  end if;
  {end}
end $dispatch$"""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A function that is called from outside, as the catalogue of PostgreSQL describes it."""

    name: str
    arguments: str
    result: str
    is_set: bool
    inputs: list[str]
    outputs: list[str]
    types: list[str]
    result_type: str

    @property
    def definition(self) -> str:
        """The statement that creates the function in place of the one with its name."""
        declare, begin, into, end = "", "", "", ""
        if self.is_set:
            begin = "return query"
        elif self.outputs:
            into = "into " + ", ".join(self.outputs)
        elif self.result_type != "void":
            declare, into, end = f"result_ {self.result_type};", "into result_", "return result_;"
        return _BODY.format(
            name=self.name,
            arguments=self.arguments,
            result=self.result,
            declare=declare,
            begin=begin,
            into=into,
            end=end,
            inputs=", ".join(self.inputs),
            literals=", ".join(f"%L::{kind}" for kind in self.types),
            places=", ".join(f"${place}" for place in range(1, len(self.types) + 1)),
        )


def found() -> list[Call]:
    """The functions of `CALLS` in the schema of the tables. Raises LookupError where one is missing."""
    with connection.cursor() as cursor:
        cursor.execute(_FUNCTIONS, [list(CALLS)])
        calls = [
            Call(
                name=name,
                arguments=arguments,
                result=result,
                is_set=is_set,
                inputs=names[: len(types)],
                outputs=[one for one, mode in zip(names, modes, strict=False) if mode in {"o", "t"}],
                types=types,
                result_type=result_type,
            )
            for name, arguments, result, is_set, names, modes, types, result_type in cursor.fetchall()
        ]
    if missing := set(CALLS) - {call.name for call in calls}:
        raise LookupError(f"not installed: {', '.join(sorted(missing))}")
    return calls


def install() -> None:
    """Replace the functions on all nodes, and have Citus send their calls to the node of the account."""
    with connection.cursor() as cursor:
        for name in ("ledger_shard", "ledger_send_once", "ledger_new_use"):
            cursor.execute(
                "select create_distributed_function(oid::regprocedure) from pg_proc"
                " where proname = %s and pronamespace = 'public'::regnamespace",
                [name],
            )
        for call in found():
            cursor.execute(call.definition)
            cursor.execute(_SEND, [f"public.{call.name}({', '.join(call.types)})"])
        for function in _READS:
            cursor.execute(_SEND, [function])
