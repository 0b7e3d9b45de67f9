-- What an account is given by its plan. Replacing the allowances gives at once what the running period has not
-- given yet. Rows of plans that were left stay (ended), so that coming back within a period gives nothing twice.

create or replace function ledger_set_allowances(p_account uuid, p_terms jsonb, p_carry boolean, p_now timestamptz) returns numeric
language plpgsql as $$
declare w billing_wallet; zone_ text; keys text[]; g record; month_key text; month_end timestamptz; fresh uuid; carried numeric;
  below numeric; was_low boolean;
begin
  w := ledger_lock(p_account, p_now);
  select a.zone into zone_ from accounts_account a where a.id = p_account;
  keys := array(select x->>'key' from jsonb_array_elements(p_terms) x);

  insert into billing_allowance as a (account_id, key, kind, label, credits, period, lasts, services, priority, anchor_at, zone, next_at, ends_at)
  select p_account, t.key, t.kind, t.label, t.credits, t.period, t.lasts, t.services,
         coalesce(t.priority, ledger_default_priority(t.kind)), t.anchor_at, zone_, p_now, t.ends_at
  from jsonb_to_recordset(p_terms) t(key text, kind text, label text, credits numeric(20,6), period text, lasts text,
         services text[], priority smallint, anchor_at timestamptz, ends_at timestamptz)
  on conflict (account_id, key) do update set
    kind = excluded.kind, label = excluded.label, credits = excluded.credits, period = excluded.period,
    lasts = excluded.lasts, services = excluded.services, priority = excluded.priority,
    anchor_at = excluded.anchor_at, ends_at = excluded.ends_at,
    -- still running, or left and come back: what this period gave is not given again
    next_at = case
      when excluded.period = 'once' then a.next_at
      when a.period <> excluded.period or (excluded.period = 'month' and a.anchor_at <> excluded.anchor_at) then p_now
      else greatest(a.next_at, p_now) end;

  -- what is carried belongs to the new plan's monthly credits: it ends with them and is carried on like them
  select x.key, n.ends_at into month_key, month_end
    from billing_allowance x, lateral ledger_period(x.period, x.anchor_at, x.zone, zone_, p_now) n
   where x.account_id = p_account and x.key = any(keys) and x.period = 'month' order by n.ends_at, x.key limit 1;
  for g in
    select x.*, a.period as allowance_period from billing_grant x
      join billing_allowance a on a.account_id = x.account_id and a.key = x.allowance
    where x.account_id = p_account and x.open and x.allowance <> all(keys) and a.lasts = 'period' and a.period <> 'once'
    order by x.created_at, x.id
  loop
    carried := g.remaining;
    if p_carry and month_end is not null and g.allowance_period = 'month' then
      w := ledger_post(w, 'carry_over', g.id, -carried, p_now, p_reason => 'plan changed');
      fresh := ledger_fresh_grant(p_account, g.kind, g.label, carried, g.priority, month_end, g.services,
        'carry:' || g.id || ':' || ledger_micros(p_now), month_key, null, 'plan changed', '', p_now);
      w := ledger_post(w, 'carry_over', fresh, carried, p_now, p_reason => 'plan changed');
    else
      w := ledger_post(w, 'expire', g.id, -carried, p_now, p_reason => 'plan changed');
    end if;
  end loop;
  update billing_allowance set ends_at = p_now
   where account_id = p_account and key <> all(keys) and (ends_at is null or ends_at > p_now);
  -- between the old plan's credits and the new one's nobody is warned: the change as a whole is what counts
  below := w.warn_below; was_low := w.is_low;
  w.warn_below := null;
  perform ledger_save(w, p_now);
  perform ledger_settle_locked(array[p_account], p_now);
  select * into w from billing_wallet x where x.account_id = p_account;
  w.warn_below := below; w.is_low := was_low;
  w := ledger_save(w, p_now);
  return w.balance;
end $$;

create or replace function ledger_set_warning(p_account uuid, p_below numeric, p_now timestamptz) returns boolean
language plpgsql as $$
declare w billing_wallet;
begin
  w := ledger_lock(p_account, p_now);
  w.warn_below := p_below;
  w := ledger_save(w, p_now);
  return w.is_low;
end $$;
