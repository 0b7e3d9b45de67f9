-- The ledger's one way to write: lock a wallet, post entries on it, save it.
-- Invariants: a wallet's row is locked before anything of it is read for a decision; each entry carries the
-- next number and the hash of the one before; entries can be added and never changed, removed or truncated.

create or replace function ledger_new_id(p_now timestamptz) returns uuid
language sql volatile parallel safe as $$
  -- version 7 (RFC 9562), by hand: PostgreSQL has its own only from 18 on
  select encode(
    set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from p_now) * 1000)::bigint) from 3) from 1 for 6),
      52, 1), 53, 1), 'hex')::uuid
$$;

create or replace function ledger_micros(p_at timestamptz) returns text
language sql stable as $$ select (extract(epoch from p_at) * 1000000)::bigint::text $$;

-- What an entry's hash covers, in this order. The audit computes it again.
create or replace function ledger_payload(
  p_account uuid, p_seq bigint, p_kind text, p_grant uuid, p_credits numeric, p_debt numeric,
  p_grant_after numeric, p_balance_after numeric, p_charge uuid, p_hold uuid, p_reason text, p_actor text,
  p_now timestamptz) returns text
language sql stable as $$
  select concat_ws('|', p_account, p_seq, p_kind, p_grant,
    p_credits::numeric(20,6), p_debt::numeric(20,6), p_grant_after::numeric(20,6), p_balance_after::numeric(20,6),
    coalesce(p_charge::text, ''), coalesce(p_hold::text, ''), p_reason, p_actor, ledger_micros(p_now))
$$;

create or replace function ledger_refuse_change() returns trigger
language plpgsql as $$
begin
  raise exception 'ledger entries are append-only: % refused', tg_op using errcode = 'restrict_violation';
end $$;

drop trigger if exists entry_append_only on billing_entry;
create trigger entry_append_only before update or delete on billing_entry
  for each row execute function ledger_refuse_change();
drop trigger if exists entry_no_truncate on billing_entry;
create trigger entry_no_truncate before truncate on billing_entry
  for each statement execute function ledger_refuse_change();

-- The window function that chains hashes over many rows of one wallet in a single statement.
create or replace function ledger_chain_step(p_state bytea, p_head bytea, p_payload text) returns bytea
language plpgsql immutable as $$
begin
  return sha256(coalesce(p_state, p_head) || convert_to(p_payload, 'UTF8'));
end $$;
do $$
begin
  if not exists (select from pg_proc where proname = 'ledger_chain') then
    create aggregate ledger_chain(bytea, text) (sfunc = ledger_chain_step, stype = bytea);
  end if;
end $$;

create or replace function ledger_default_priority(p_kind text) returns smallint
language sql immutable as $$
  select (case p_kind when 'daily' then 10 when 'plan' then 20 when 'adjustment' then 35
          when 'top_up' then 40 else 30 end)::smallint
$$;

create or replace function ledger_open_wallet(p_account uuid, p_now timestamptz) returns boolean
language plpgsql as $$
begin
  insert into billing_wallet(account_id, balance, held, debt, seq, head, limited, is_low, created_at)
  values (p_account, 0, 0, 0, 0, sha256(uuid_send(p_account)), false, false, p_now)
  on conflict (account_id) do nothing;
  return found;
end $$;

-- Locks the wallet and brings it up to the present. Every single move begins here. The advisory lock is
-- only a queue: waiting there is cheaper than waiting on a hot row; what makes moves exact is the row lock,
-- which batches take too.
create or replace function ledger_lock(p_account uuid, p_now timestamptz) returns billing_wallet
language plpgsql as $$
declare w billing_wallet;
begin
  perform pg_advisory_xact_lock(hashtextextended(p_account::text, 0));
  select * into w from billing_wallet where account_id = p_account for no key update;
  if not found then
    raise exception 'no wallet for account %', p_account using errcode = 'RF404';
  end if;
  if w.next_due_at <= p_now then
    perform ledger_settle_locked(array[p_account], p_now);
    select * into w from billing_wallet where account_id = p_account;
  end if;
  return w;
end $$;

-- Posts one entry: changes the grant, numbers and chains the entry, returns the wallet as it now is in
-- memory. The caller saves it, once, with ledger_save.
create or replace function ledger_post(
  w billing_wallet, p_kind text, p_grant uuid, p_credits numeric, p_now timestamptz,
  p_charge uuid default null, p_hold uuid default null, p_debt numeric default 0,
  p_reason text default '', p_actor text default '') returns billing_wallet
language plpgsql as $$
declare aside numeric(20,6) := 0; after_ numeric(20,6);
begin
  if p_kind = 'hold' or p_kind = 'release' then aside := -p_credits; end if;
  update billing_grant x
     set remaining = x.remaining + p_credits, held = x.held + aside, open = x.remaining + p_credits > 0
   where x.id = p_grant and x.account_id = w.account_id
  returning x.remaining into strict after_;
  w.seq := w.seq + 1;
  w.balance := w.balance + p_credits;
  w.held := w.held + aside;
  w.debt := w.debt + p_debt;
  w.head := sha256(w.head || convert_to(ledger_payload(w.account_id, w.seq, p_kind, p_grant, p_credits, p_debt,
    after_, w.balance, p_charge, p_hold, p_reason, p_actor, p_now), 'UTF8'));
  insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after,
    charge_id, hold_id, reason, actor, created_at, hash)
  values (w.account_id, w.seq, p_kind, p_grant, p_credits, p_debt, after_, w.balance,
    p_charge, p_hold, p_reason, p_actor, p_now, w.head);
  return w;
end $$;

-- Writes the wallet back, and notes a crossing of the user's threshold: once, until the balance is above it again.
create or replace function ledger_save(w billing_wallet, p_now timestamptz) returns billing_wallet
language plpgsql as $$
declare low boolean := w.warn_below is not null and w.balance < w.warn_below;
begin
  if low and not w.is_low then
    insert into billing_notice(account_id, kind, detail, created_at)
    values (w.account_id, case when w.balance > 0 then 'low' else 'depleted' end,
            jsonb_build_object('balance', w.balance::text, 'warn_below', w.warn_below::text), p_now);
  end if;
  w.is_low := low;
  update billing_wallet x
     set balance = w.balance, held = w.held, debt = w.debt, seq = w.seq, head = w.head,
         is_low = w.is_low, next_due_at = w.next_due_at, limited = w.limited, warn_below = w.warn_below
   where x.account_id = w.account_id;
  return w;
end $$;

-- Credits that just came into a grant repay the account's debt before anything else may have them.
create or replace function ledger_repay(w billing_wallet, p_grant uuid, p_credits numeric, p_now timestamptz)
returns billing_wallet
language plpgsql as $$
declare pay numeric(20,6) := least(w.debt, p_credits);
begin
  if pay > 0 then
    w := ledger_post(w, 'repay', p_grant, -pay, p_now, p_debt => -pay);
  end if;
  return w;
end $$;
