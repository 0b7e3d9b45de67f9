-- Entries: ids, the hash that chains a wallet's entries, and the triggers that keep entries append-only.
-- Invariants: each entry carries the next number of its wallet and a hash over its content and the entry before;
-- entries can be added and never changed, removed or truncated.

create or replace function ledger_new_id(p_now timestamptz) returns uuid
language sql volatile parallel safe as $$
  -- UUID version 7 (RFC 9562); PostgreSQL has a function for it only from version 18 on
  select encode(
    set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from p_now) * 1000)::bigint) from 3) from 1 for 6),
      52, 1), 53, 1), 'hex')::uuid
$$;

create or replace function ledger_micros(p_at timestamptz) returns text
language sql stable as $$ select (extract(epoch from p_at) * 1000000)::bigint::text $$;

-- What an entry's hash covers, in this order. The audit and readers of statements compute it again. Only reason and
-- actor can contain the separator; they are last, and the length of the reason, in characters, stands before them.
create or replace function ledger_payload(
  p_account uuid, p_seq bigint, p_kind text, p_grant uuid, p_credits numeric, p_debt numeric,
  p_grant_after numeric, p_balance_after numeric, p_charge uuid, p_hold uuid, p_reason text, p_actor text,
  p_now timestamptz, p_digest bytea) returns text
language sql stable as $$
  select concat_ws('|', p_account, p_seq, p_kind, coalesce(p_grant::text, ''),
    p_credits::numeric(20,6), p_debt::numeric(20,6), p_grant_after::numeric(20,6), p_balance_after::numeric(20,6),
    coalesce(p_charge::text, ''), coalesce(p_hold::text, ''), ledger_micros(p_now),
    coalesce(encode(p_digest, 'hex'), ''), length(p_reason), p_reason, p_actor)
$$;

-- Refuses every change of a row, except of the column that the trigger names (charge.returned grows with reversals).
create or replace function ledger_refuse_change() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' and tg_nargs = 1 then
    if to_jsonb(new) - tg_argv[0] = to_jsonb(old) - tg_argv[0] then return new; end if;
  end if;
  raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;

-- Archived entries may be deleted, by a session that says so (manage.py archive_ledger).
create or replace function ledger_refuse_entry_change() returns trigger
language plpgsql as $$
begin
  if tg_op = 'DELETE' and current_setting('refill.archiving', true) = 'on' then
    if exists (select from billing_archivedwallet a where a.account_id = old.account_id and a.seq >= old.seq) then
      return old;
    end if;
  end if;
  raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;

select ledger_ensure_trigger('billing_entry', 'create trigger entry_append_only before delete or update on billing_entry'
  ' for each row execute function ledger_refuse_entry_change()');
select ledger_ensure_trigger('billing_entry', 'create trigger entry_no_truncate before truncate on billing_entry'
  ' for each statement execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_charge', 'create trigger charge_append_only before delete or update on billing_charge'
  ' for each row execute function ledger_refuse_change(''returned'')');
select ledger_ensure_trigger('billing_charge', 'create trigger charge_no_truncate before truncate on billing_charge'
  ' for each statement execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_correction', 'create trigger correction_append_only before delete or update on billing_correction'
  ' for each row execute function ledger_refuse_change(''undone_by_id'')');
select ledger_ensure_trigger('billing_correction', 'create trigger correction_no_truncate before truncate on billing_correction'
  ' for each statement execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_audit', 'create trigger audit_append_only before delete or update on billing_audit'
  ' for each row execute function ledger_refuse_change()');
select ledger_ensure_trigger('billing_audit', 'create trigger audit_no_truncate before truncate on billing_audit'
  ' for each statement execute function ledger_refuse_change()');

-- Aggregate used as a window function: chains the hashes of many entries of one wallet in a single statement.
create or replace function ledger_chain_step(p_state bytea, p_head bytea, p_payload text) returns bytea
language plpgsql immutable as $$
begin
  return sha256(coalesce(p_state, p_head) || convert_to(p_payload, 'UTF8'));
end $$;
do $$
begin
  if to_regprocedure('ledger_chain(bytea, text)') is null then
    create aggregate ledger_chain(bytea, text) (sfunc = ledger_chain_step, stype = bytea);
  end if;
end $$;
