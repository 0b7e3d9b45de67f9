-- Limits and quotas: counted in the same transaction and under the same lock as the charge, so they hold
-- exactly. A limit's row is its current window; changing the maximum leaves what was counted as it is.

-- Moves a limit's row into the window that holds p_now, if it is not there yet.
create or replace function ledger_roll_limits(p_account uuid, p_now timestamptz) returns void
language plpgsql as $$
declare zone_ text;
begin
  if exists (select from billing_limit where account_id = p_account and window_end <= p_now) then
    select a.zone into zone_ from accounts_account a where a.id = p_account;
    update billing_limit l set used = 0, window_start = n.starts_at, window_end = n.ends_at
      from billing_limit x, lateral ledger_window(x.period, zone_, p_now) n
     where x.account_id = p_account and x.window_end <= p_now and l.id = x.id and l.account_id = p_account;
  end if;
end $$;

-- Whether a limit's row speaks of this use.
create or replace function ledger_limit_matches(l billing_limit, u ledger_use) returns boolean
language sql immutable as $$
  select case l.kind
    when 'project' then l.subject = u.project_id::text
    when 'member' then l.subject = u.member_id::text
    when 'key' then l.subject = u.api_key_id::text
    else l.subject = u.quota end
$$;

-- The limit that this use would exceed, as the refusal to give; null when there is none.
create or replace function ledger_over_limit(u ledger_use, p_now timestamptz) returns jsonb
language plpgsql as $$
declare l billing_limit; adds numeric;
begin
  -- nearly always nothing stands in the way: no window is over and no maximum would be passed
  if not exists (select from billing_limit x where x.account_id = u.account_id and ledger_limit_matches(x, u)
      and (x.window_end <= p_now
           or x.used + case when x.kind = 'quota' then coalesce(u.quota_count, 0) else u.credits end > x.maximum)) then
    return null;
  end if;
  for l in select * from billing_limit x where x.account_id = u.account_id and ledger_limit_matches(x, u)
            order by x.kind, x.subject loop
    if l.window_end <= p_now then
      perform ledger_roll_limits(u.account_id, p_now);
      select * into l from billing_limit x where x.account_id = u.account_id and x.id = l.id;
    end if;
    adds := case when l.kind = 'quota' then coalesce(u.quota_count, 0) else u.credits end;
    if adds > 0 and l.used + adds > l.maximum then
      return jsonb_build_object('limit', l.kind, 'subject', l.subject, 'maximum', l.maximum::text,
        'used', l.used::text, 'resets_at', l.window_end);
    end if;
  end loop;
  return null;
end $$;

-- Counts (or, negative, uncounts) a use in every limit that speaks of it.
create or replace function ledger_count(u ledger_use, p_credits numeric, p_count numeric, p_now timestamptz) returns void
language plpgsql as $$
begin
  update billing_limit l
     set used = l.used + case when l.kind = 'quota' then coalesce(p_count, 0) else p_credits end
   where l.account_id = u.account_id and ledger_limit_matches(l, u);
end $$;

-- Gives a use back to its windows, as far as they are still the windows it was counted in.
create or replace function ledger_uncount(
  u ledger_use, p_credits numeric, p_count numeric, p_counted_at timestamptz, p_now timestamptz) returns void
language plpgsql as $$
begin
  perform ledger_roll_limits(u.account_id, p_now);
  update billing_limit l
     set used = greatest(0, l.used - case when l.kind = 'quota' then coalesce(p_count, 0) else p_credits end)
   where l.account_id = u.account_id and ledger_limit_matches(l, u) and p_counted_at >= l.window_start;
end $$;

-- A capture: what was held is uncounted in its own window, what was used is counted in the present one.
create or replace function ledger_recount(
  u ledger_use, h billing_hold, p_used numeric, p_now timestamptz) returns void
language plpgsql as $$
begin
  perform ledger_roll_limits(u.account_id, p_now);
  update billing_limit l
     set used = greatest(0, l.used - case when h.created_at < l.window_start then 0
                                          when l.kind = 'quota' then coalesce(h.quota_count, 0) else h.credits end)
                + case when l.kind = 'quota' then coalesce(u.quota_count, h.quota_count, 0) else p_used end
   where l.account_id = u.account_id and ledger_limit_matches(l, u);
end $$;

-- Sets, changes or (maximum null) lifts a limit. A new limit starts with what its window has already seen,
-- running holds included.
create or replace function ledger_set_limit(
  p_account uuid, p_kind text, p_subject text, p_period text, p_maximum numeric, p_now timestamptz) returns numeric
language plpgsql as $$
declare w billing_wallet; n record; seen numeric := 0; zone_ text;
begin
  w := ledger_lock(p_account, p_now);
  if p_maximum is null then
    delete from billing_limit where account_id = p_account and kind = p_kind and subject = p_subject;
  else
    perform ledger_roll_limits(p_account, p_now);
    select a.zone into zone_ from accounts_account a where a.id = p_account;
    n := ledger_window(p_period, zone_, p_now);
    if p_kind <> 'quota' then
      select coalesce(sum(c.credits - c.uncollected - c.returned), 0) into seen from billing_charge c
       where c.account_id = p_account and c.created_at >= n.starts_at
         and p_subject = case p_kind when 'project' then c.project_id when 'member' then c.member_id else c.api_key_id end::text;
      seen := seen + coalesce((select sum(h.credits) from billing_hold h
       where h.account_id = p_account and h.status = 'held' and h.created_at >= n.starts_at
         and p_subject = case p_kind when 'project' then h.project_id when 'member' then h.member_id else h.api_key_id end::text), 0);
    end if;
    insert into billing_limit(account_id, kind, subject, period, maximum, used, window_start, window_end)
    values (p_account, p_kind, p_subject, p_period, p_maximum, seen, n.starts_at, n.ends_at)
    on conflict (account_id, kind, subject) do update
      set maximum = excluded.maximum, period = excluded.period,
          used = case when billing_limit.period = excluded.period then billing_limit.used else excluded.used end,
          window_start = case when billing_limit.period = excluded.period then billing_limit.window_start else excluded.window_start end,
          window_end = case when billing_limit.period = excluded.period then billing_limit.window_end else excluded.window_end end;
  end if;
  w.limited := exists (select from billing_limit where account_id = p_account);
  perform ledger_save(w, p_now);
  select used into seen from billing_limit where account_id = p_account and kind = p_kind and subject = p_subject;
  return seen;
end $$;
