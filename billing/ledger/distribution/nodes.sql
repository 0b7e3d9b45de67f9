-- What the nodes of a distributed database have besides the tables: installed by `manage.py distribute` (tables.py).
-- Invariant: a function of the ledger runs on the node that has its account's shards, and reads and writes only those.

-- What the functions read of an account; a trigger on the accounts, which stay on the coordinator, keeps it.
create table if not exists ledger_account (account_id uuid primary key, zone varchar(64) not null, external_id varchar(200));

-- Events for outgoing webhooks, in the transaction of their fact; `collecting.py` moves them to the coordinator.
create table if not exists ledger_event (
  uuid uuid not null, account_id uuid not null, type varchar(64) not null, fact varchar(300) not null, data jsonb not null,
  created_at timestamptz not null, fanned_out boolean not null default false, primary key (account_id, fact));

create or replace function ledger_copy_account() returns trigger
language plpgsql as $$
begin
  insert into ledger_account as x (account_id, zone, external_id) values (new.id, new.zone, new.external_id)
  on conflict (account_id) do update set zone = excluded.zone, external_id = excluded.external_id;
  return null;
end $$;

-- Where a call is sent on. After Citus has refused to plan a statement, it sends no more calls in that session (13.2: the
-- depth of recursive planning is not reset), so the function would call itself here again. Python opens another session.
create or replace function ledger_send_once() returns void
language plpgsql as $$
begin
  if current_setting('refill.sent', true) = 'on' then
    raise exception 'this session sends no more calls to the nodes' using errcode = 'RF503';
  end if;
  perform set_config('refill.sent', 'on', true);
end $$;

-- The rows of a statement on the account's shards, for reads that Citus cannot plan; only with the rights of the caller.
create or replace function ledger_query(p_account uuid, p_statement text) returns setof json
language plpgsql set search_path = pg_catalog as $$
declare schema_ text := public.ledger_shard(p_account);
begin
  if schema_ is null then
    perform public.ledger_send_once();
    return query execute format('select * from public.ledger_query(%L::uuid, %L::text)', p_account, p_statement);
    perform set_config('refill.sent', '', true);
  else
    perform set_config('search_path', schema_ || ', public', true);
    return query execute 'select row_to_json(x) from (' || p_statement || ') x';
  end if;
end $$;

-- The account of the charge or hold (p_table) with this id, among the accounts of the node that has p_account.
create or replace function ledger_owner(p_account uuid, p_table text, p_id uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog as $$
declare s name; found_ uuid;
begin
  if public.ledger_shard(p_account) is null then
    perform public.ledger_send_once();
    execute format('select public.ledger_owner(%L::uuid, %L::text, %L::uuid)', p_account, p_table, p_id) into found_;
    perform set_config('refill.sent', '', true);
    return found_;
  end if;
  for s in select nspname from pg_catalog.pg_namespace where nspname ~ '^ledger_[0-9]+$' loop
    execute format('select account_id from %I.%I where id = $1', s, p_table) into found_ using p_id;
    exit when found_ is not null;
  end loop;
  return found_;
end $$;

-- The schema of the account's shards; null where another node has them. A shard that is being moved to another node is
-- locked until the transaction ends, as Citus locks it for its own statements.
create or replace function ledger_shard(p_account uuid) returns text
language plpgsql security definer set search_path = pg_catalog as $$
declare shard_ bigint := pg_catalog.get_shard_id_for_distribution_column('public.billing_wallet', p_account);
begin
  perform pg_catalog.lock_shard_metadata(5, array[shard_]);  -- 5: SHARE
  if exists (select from pg_catalog.pg_dist_placement p where p.shardid = shard_
             and p.groupid = (select l.groupid from pg_catalog.pg_dist_local_group l)) then
    return 'ledger_' || shard_;
  end if;
  return null;
end $$;
