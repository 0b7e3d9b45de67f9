"""The kinds of change to the ledger's functions, triggers and tables that the audit must name."""

# ruff: noqa: E501 - a table of SQL

from tests.billing.ledger.corruptions import Corruption

INSTALLATION = [
    Corruption(
        "the payload's function is replaced",
        "create or replace function ledger_payload(p_account uuid, p_seq bigint, p_kind text, p_grant uuid, p_credits numeric,"
        " p_debt numeric, p_grant_after numeric, p_balance_after numeric, p_charge uuid, p_hold uuid, p_reason text, p_actor text,"
        " p_now timestamptz, p_digest bytea) returns text language sql stable as $$ select 'x' $$",
        "function ledger_payload",
    ),
    Corruption(
        "the function of the triggers is replaced",
        "create or replace function ledger_refuse_change() returns trigger language plpgsql as $$ begin return new; end $$",
        "function ledger_refuse_change",
    ),
    Corruption(
        "a digest's function is replaced",
        "create or replace function ledger_grant_digest(g billing_grant) returns bytea language sql stable"
        " as $$ select sha256('x') $$",
        "function ledger_grant_digest",
    ),
    Corruption(
        "a function is added",
        "create function ledger_micros(p_at date) returns text language sql as $$ select '' $$",
        "function ledger_micros",
    ),
    Corruption(
        "the triggers are disabled",
        "alter table billing_entry disable trigger user",
        "trigger entry_append_only of billing_entry",
    ),
    Corruption(
        "a trigger is dropped",
        "drop trigger charge_append_only on billing_charge",
        "trigger charge_append_only of billing_charge",
    ),
    Corruption(
        "a trigger is added",
        "create trigger more before insert on billing_entry for each row execute function ledger_refuse_change()",
        "trigger more of billing_entry",
    ),
    Corruption(
        "a trigger never fires",
        "drop trigger charge_append_only on billing_charge;"
        "create trigger charge_append_only before delete or update on billing_charge for each row when (false)"
        " execute function ledger_refuse_change('returned')",
        "trigger charge_append_only of billing_charge",
    ),
    Corruption(
        "a trigger lets another column change",
        "drop trigger charge_append_only on billing_charge;"
        "create trigger charge_append_only before delete or update on billing_charge for each row"
        " execute function ledger_refuse_change('detail')",
        "trigger charge_append_only of billing_charge",
    ),
    Corruption(
        "a trigger fires for deletions only",
        "drop trigger entry_append_only on billing_entry;"
        "create trigger entry_append_only before delete on billing_entry for each row"
        " execute function ledger_refuse_entry_change()",
        "trigger entry_append_only of billing_entry",
    ),
    Corruption(
        "a rule replaces deletions",
        "create rule kept as on delete to billing_charge do instead nothing",
        "table billing_charge: it has a rule",
    ),
    Corruption(
        "row security hides rows",
        "alter table billing_entry enable row level security",
        "table billing_entry: it has row security",
    ),
    Corruption(
        "another table adds rows",
        "create table more() inherits (billing_entry)",
        "table billing_entry: it shares rows with another table",
    ),
    Corruption(
        "a function gets another search path",
        "alter function ledger_refuse_change() set search_path = pg_temp",
        "function ledger_refuse_change",
    ),
    Corruption(
        "a function returns null for null",
        "alter function ledger_charge_digest(billing_charge) strict",
        "function ledger_charge_digest",
    ),
    Corruption(
        "the chain's aggregate gets another step",
        "create function step(bytea, bytea, text) returns bytea language sql as 'select $1';"
        "drop aggregate ledger_chain(bytea, text);"
        "create aggregate ledger_chain(bytea, text) (sfunc = step, stype = bytea)",
        "aggregate ledger_chain",
    ),
    Corruption(
        "a constraint is dropped",
        "alter table billing_grant drop constraint grant_gives_something",
        "constraint grant_gives_something of billing_grant",
    ),
]
