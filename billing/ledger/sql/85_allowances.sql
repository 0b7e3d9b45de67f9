-- Allowances: what an account's plan gives it per day, per month or once.
-- Invariant: replacing the allowances gives at once what the running period has not given yet. Rows of former plans stay,
-- ended, so that returning to a plan within a period gives nothing twice.

-- Inserts or updates the allowances in p_terms; one that is due now gives its credits when the wallet is settled.
create or replace function ledger_put_allowances(p_account uuid, p_terms jsonb, p_zone text, p_now timestamptz) returns void
language sql as $$
  insert into billing_allowance as a (account_id, key, kind, label, credits, period, lasts, services, priority, anchor_at,
    zone, next_at, ends_at)
  select p_account, t.key, t.kind, t.label, t.credits, t.period, t.lasts, t.services,
         coalesce(t.priority, ledger_default_priority(t.kind)), t.anchor_at, p_zone, p_now, t.ends_at
  from jsonb_to_recordset(p_terms) t(key text, kind text, label text, credits numeric(20,6), period text, lasts text,
         services text[], priority smallint, anchor_at timestamptz, ends_at timestamptz)
  on conflict (account_id, key) do update set
    kind = excluded.kind, label = excluded.label, credits = excluded.credits, period = excluded.period,
    lasts = excluded.lasts, services = excluded.services, priority = excluded.priority,
    anchor_at = excluded.anchor_at, ends_at = excluded.ends_at,
    -- an allowance that continues, or that is assigned again, is granted at most once in its period
    next_at = case
      when excluded.period = 'once' then a.next_at
      when a.period <> excluded.period or (excluded.period = 'month' and a.anchor_at <> excluded.anchor_at) then p_now
      else greatest(a.next_at, p_now) end
$$;

-- The moves that empty the grants of allowances not in p_keys: monthly credits are carried over where p_carry is true,
-- all others expire. What is carried belongs to the new plan's monthly allowance, ends with it, and is carried on like it.
create or replace function ledger_leave_allowances(
  p_account uuid, p_keys text[], p_carry boolean, p_zone text, p_now timestamptz) returns ledger_move[]
language plpgsql as $$
declare g record; moves ledger_move[] := '{}'; month_key text; month_end timestamptz; fresh uuid; reason_ text := 'plan changed';
begin
  select x.key, n.ends_at into month_key, month_end
    from billing_allowance x, lateral ledger_period(x.period, x.anchor_at, x.zone, p_zone, p_now) n
   where x.account_id = p_account and x.key = any(p_keys) and x.period = 'month' order by n.ends_at, x.key limit 1;
  for g in
    select x.*, a.period as allowance_period from billing_grant x
      join billing_allowance a on a.account_id = x.account_id and a.key = x.allowance
    where x.account_id = p_account and x.open and x.allowance <> all(p_keys) and a.lasts = 'period' and a.period <> 'once'
    order by x.created_at, x.id
  loop
    if p_carry and month_end is not null and g.allowance_period = 'month' then
      fresh := ledger_insert_grant(p_account, ledger_new_id(p_now), g.kind, g.label, g.remaining, g.priority, month_end,
        g.services, 'carry:' || g.id || ':' || ledger_micros(p_now), p_now, p_allowance => month_key, p_reason => reason_);
      moves := moves || ledger_move('carry_over', g.id, -g.remaining, p_now, reason => reason_)
        || ledger_move('carry_over', fresh, g.remaining, p_now, reason => reason_);
    else
      moves := moves || ledger_move('expire', g.id, -g.remaining, p_now, reason => reason_);
    end if;
  end loop;
  return moves;
end $$;

create or replace function ledger_set_allowances(p_account uuid, p_terms jsonb, p_carry boolean, p_now timestamptz) returns numeric
language plpgsql as $$
declare w billing_wallet; zone_ text; keys text[]; threshold numeric; was_low boolean; before_ bytea;
begin
  w := ledger_lock(p_account, p_now);
  before_ := ledger_terms_digest(p_account, w.warn_below);
  select a.zone into zone_ from accounts_account a where a.id = p_account;
  keys := array(select x->>'key' from jsonb_array_elements(p_terms) x);
  perform ledger_put_allowances(p_account, p_terms, zone_, p_now);
  -- the change as a whole may cross the threshold: no notice between the old plan's credits and the new one's
  threshold := w.warn_below; was_low := w.is_low;
  w.warn_below := null;
  w := ledger_write(w, ledger_leave_allowances(p_account, keys, p_carry, zone_, p_now), p_now);
  update billing_allowance set ends_at = p_now
   where account_id = p_account and key <> all(keys) and (ends_at is null or ends_at > p_now);
  w := ledger_write(w, ledger_terms_changed(p_account, before_, threshold, p_now), p_now);
  perform ledger_settle_locked(array[p_account], p_now);
  select * into w from billing_wallet x where x.account_id = p_account;
  w.warn_below := threshold; w.is_low := was_low;
  w := ledger_write(w, '{}', p_now);
  return w.balance;
end $$;

create or replace function ledger_set_warning(p_account uuid, p_below numeric, p_now timestamptz) returns boolean
language plpgsql as $$
declare w billing_wallet; before_ bytea;
begin
  w := ledger_lock(p_account, p_now);
  before_ := ledger_terms_digest(p_account, w.warn_below);
  w.warn_below := p_below;
  w := ledger_write(w, ledger_terms_changed(p_account, before_, p_below, p_now), p_now);
  return w.is_low;
end $$;
