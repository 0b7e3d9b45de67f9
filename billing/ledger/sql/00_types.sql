-- The composite types that the ledger's functions exchange, and the function that installs triggers.
-- Invariant: installing again takes no lock on a table. A type is created once and never dropped, so running calls
-- are not disturbed. To change a type, write a migration that uses `alter type ... cascade`.

-- Creates a trigger, or replaces it if it is disabled or differs. `p_definition` is written as pg_get_triggerdef
-- prints it. A trigger that is as defined is left alone: `create trigger` takes a SHARE ROW EXCLUSIVE lock, which waits
-- for every open transaction that has written to the table, and all later writes wait behind it
-- (https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES).
create or replace function ledger_ensure_trigger(p_table regclass, p_definition text) returns void
language plpgsql as $$
declare name_ text := substring(p_definition from ' trigger (\w+) '); distributed_ boolean;
begin
  -- a distributed table has its triggers on its shards (billing/ledger/distribution)
  if to_regclass('pg_catalog.pg_dist_partition') is not null then
    execute 'select exists (select from pg_dist_partition where logicalrelid = $1)' into distributed_ using p_table;
    if distributed_ then return; end if;
  end if;
  if not exists (select from pg_trigger where tgrelid = p_table and tgenabled = 'O'
                 and lower(pg_get_triggerdef(oid, true)) = lower(p_definition)) then
    if p_definition like 'create constraint trigger %' then  -- it cannot be replaced
      if exists (select from pg_trigger where tgrelid = p_table and tgname = name_) then
        execute format('drop trigger %I on %s', name_, p_table);
      end if;
      execute p_definition;
    else
      execute regexp_replace(p_definition, '^create', 'create or replace', 'i');
    end if;
  end if;
end $$;

do $$
begin
  -- One use to charge or to hold. Built with ledger_new_use (named arguments) or jsonb_populate_recordset.
  if to_regtype('ledger_use') is null then
    create type ledger_use as (
      account_id uuid, id uuid, key text, fingerprint bytea, credits numeric(20,6), service text, covers text[],
      action text, project_id uuid, member_id uuid, api_key_id uuid, conversation text, covered_by text,
      quota text, quota_count numeric(20,6), detail jsonb);
  end if;
  -- One change of one grant, or the introduction of a record, which becomes one entry. Built with ledger_move. Only
  -- ledger_write_set reads account_id and grant_after; ledger_write takes them from the wallet and from the grant.
  if to_regtype('ledger_move') is null then
    create type ledger_move as (
      account_id uuid, kind text, grant_id uuid, credits numeric(20,6), debt numeric(20,6),
      grant_after numeric(20,6), charge_id uuid, hold_id uuid, reason text, actor text, at timestamptz, digest bytea);
  end if;
  if not exists (select from pg_attribute where attrelid = 'ledger_move'::regclass and attname = 'digest') then
    alter type ledger_move add attribute digest bytea cascade;
  end if;
  -- Results: of a charge or capture, of a hold or release, of a correction.
  if to_regtype('ledger_outcome') is null then
    create type ledger_outcome as (
      status text, charge_id uuid, credits numeric(20,6), uncollected numeric(20,6), balance_before numeric(20,6),
      balance_after numeric(20,6), drawn jsonb, detail jsonb, covered_by text, created_at timestamptz, refusal jsonb);
  end if;
  if to_regtype('ledger_held') is null then
    create type ledger_held as (
      status text, hold_id uuid, hold_status text, credits numeric(20,6), drawn jsonb, detail jsonb,
      expires_at timestamptz, created_at timestamptz, charge_id uuid, balance_after numeric(20,6), refusal jsonb);
  end if;
  if to_regtype('ledger_corrected') is null then
    create type ledger_corrected as (
      status text, correction_id uuid, credits numeric(20,6), debt numeric(20,6), balance_after numeric(20,6),
      detail jsonb, created_at timestamptz, refusal jsonb);
  end if;
end $$;

-- Columns that the functions read and that migration 0023 states: an earlier migration that installs the functions needs
-- them before. Once they are there, no lock is taken.
do $$
begin
  if not exists (select from pg_attribute where attrelid = 'billing_hold'::regclass and attname = 'parent_id') then
    alter table billing_hold add column parent_id uuid, add column depth smallint not null default 1,
      add column reserved jsonb, add column at_expiry varchar(16) not null default 'release', add column reported jsonb;
  end if;
end $$;

-- Every argument is named by the caller; the order of the fields is defined by the type and written only here.
-- (Measured: as cheap as a row constructor; jsonb_populate_record costs 9 us more, a twenty-fifth of a charge.)
create or replace function ledger_new_use(
  account_id uuid, id uuid default null, key text default null, fingerprint bytea default null,
  credits numeric default null, service text default null, covers text[] default null, action text default null,
  project_id uuid default null, member_id uuid default null, api_key_id uuid default null,
  conversation text default null, covered_by text default null, quota text default null,
  quota_count numeric default null, detail jsonb default null) returns ledger_use
language sql immutable as $$
  select row(account_id, id, key, fingerprint, credits, service, covers, action, project_id, member_id, api_key_id,
    conversation, covered_by, quota, quota_count, detail)::ledger_use
$$;

create or replace function ledger_new_outcome(
  status text, charge_id uuid, credits numeric, uncollected numeric, balance_before numeric, balance_after numeric,
  drawn jsonb, detail jsonb, covered_by text, created_at timestamptz) returns ledger_outcome
language sql immutable as $$
  select row(status, charge_id, credits, uncollected, balance_before, balance_after, drawn, detail, covered_by,
    created_at, null)::ledger_outcome
$$;

create or replace function ledger_new_held(
  status text, hold_id uuid, hold_status text, credits numeric, drawn jsonb, detail jsonb, expires_at timestamptz,
  created_at timestamptz, balance_after numeric, charge_id uuid default null) returns ledger_held
language sql immutable as $$
  select row(status, hold_id, hold_status, credits, drawn, detail, expires_at, created_at, charge_id, balance_after,
    null)::ledger_held
$$;

create or replace function ledger_move(
  kind text, grant_id uuid, credits numeric, at timestamptz, charge_id uuid default null, hold_id uuid default null,
  debt numeric default 0, reason text default '', actor text default '', account_id uuid default null,
  grant_after numeric default null, digest bytea default null) returns ledger_move
language sql immutable as $$
  select row(account_id, kind, grant_id, credits, debt, grant_after, charge_id, hold_id, reason, actor, at,
    digest)::ledger_move
$$;
