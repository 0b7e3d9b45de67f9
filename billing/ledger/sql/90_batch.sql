-- Many uses in one call: the same outcome, item by item, as charging them one after the other. Wallets whose
-- uses are plain (credits and limits that suffice for all of them, no debt, no narrow grants, no repeated key) are
-- charged by one set-based statement; the others one by one, in order. Below 48 uses the loop is faster.

create or replace function ledger_charge_each(p_uses ledger_use[], p_ords int[], p_now timestamptz)
returns table(ord int, outcome ledger_outcome)
language plpgsql as $$
declare i int; w billing_wallet; u ledger_use;
begin
  foreach i in array p_ords loop
    u := p_uses[i];
    select * into w from billing_wallet x where x.account_id = u.account_id;
    ord := i; outcome := null;
    if found then outcome := ledger_charge_locked(w, u, p_now); else outcome.status := 'unknown'; end if;
    return next;
  end loop;
end $$;

create or replace function ledger_charge_set(p_uses ledger_use[], p_now timestamptz)
returns table(ord int, outcome ledger_outcome)
language plpgsql set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare r record; accounts uuid[]; slow int[] := '{}';
begin
  accounts := array(select distinct (u).account_id from unnest(p_uses) u);
  for r in select distinct account_id from billing_limit where account_id = any(accounts) and window_end <= p_now loop
    perform ledger_roll_limits(r.account_id, p_now);
  end loop;
  for r in
  with uses as materialized (
    select u.*, u.ord_::int as ord, c.id is not null as known,
           count(*) over (partition by u.account_id, u.key) > 1 as repeated
    from unnest(p_uses) with ordinality u(account_id, id, key, fingerprint, credits, service, covers, action, project_id,
      member_id, api_key_id, conversation, covered_by, quota, quota_count, detail, ord_)
    -- offset 0 keeps this a look-up for each use; folded into a join it was planned as a scan of every key
    left join lateral (select x.id from billing_charge x
                       where x.account_id = u.account_id and x.idempotency_key = u.key offset 0) c on true
  ), grants as materialized (
    select g.id, g.account_id, g.kind, g.remaining, g.services is not null as narrow,
           sum(g.remaining) over o as hi, row_number() over o as rn
    from billing_grant g
    where g.account_id = any(accounts) and g.open and (g.expires_at is null or g.expires_at > p_now)
    window o as (partition by g.account_id order by g.priority, g.expires_at, g.created_at, g.id)
  ), funds as (
    select account_id, sum(remaining) as total, bool_or(narrow) as narrow from grants group by account_id
  ), asked as (
    select account_id, sum(credits) filter (where not known) as total, bool_or(repeated) as odd from uses group by account_id
  ), able as materialized (
    select w.account_id, w.balance, w.seq, w.head, w.warn_below, w.is_low
    from billing_wallet w join asked a on a.account_id = w.account_id left join funds f on f.account_id = w.account_id
    where w.account_id = any(accounts) and w.debt = 0 and not a.odd and not coalesce(f.narrow, false)
      and coalesce(a.total, 0) <= coalesce(f.total, 0)
  ), counted as materialized (
    select c.*, bool_or(c.used + c.adds > c.maximum) over (partition by c.account_id) as over
    from (
      select l.id, l.account_id, l.used, l.maximum,
             sum(case when l.kind = 'quota' then coalesce(u.quota_count, 0) else u.credits end) as adds
      from billing_limit l join able a on a.account_id = l.account_id
      join uses u on u.account_id = l.account_id and not u.known
       and l.subject = case l.kind when 'project' then u.project_id::text when 'member' then u.member_id::text
                       when 'key' then u.api_key_id::text else u.quota end
      group by l.id, l.account_id, l.used, l.maximum) c
  ), plain as materialized (
    select w.* from able w where not exists (select from counted x where x.account_id = w.account_id and x.over)
  ), lined as materialized (
    select u.*, w.balance, w.seq, sum(u.credits) over (partition by u.account_id order by u.ord) as hi
    from uses u join plain w on w.account_id = u.account_id where not u.known
  ), parts as materialized (
    select l.id, l.account_id, l.ord, g.id as grant_id, g.kind, g.rn,
           least(l.hi, g.hi) - greatest(l.hi - l.credits, g.hi - g.remaining) as take,
           g.hi - least(l.hi, g.hi) as after, l.balance - least(l.hi, g.hi) as balance_after,
           l.seq + row_number() over (partition by l.account_id order by l.ord, g.rn) as seq
    from lined l join grants g on g.account_id = l.account_id
     and l.hi - l.credits < g.hi and g.hi - g.remaining < l.hi and l.credits > 0
  ), chained as materialized (
    select p.*, ledger_chain(w.head, ledger_payload(p.account_id, p.seq, 'charge', p.grant_id, -p.take, 0, p.after,
             p.balance_after, p.id, null, '', '', p_now)) over (partition by p.account_id order by p.seq) as hash
    from parts p join plain w on w.account_id = p.account_id
  ), drawn as (
    select id, jsonb_agg(jsonb_build_object('grant', grant_id, 'kind', kind, 'credits', take::numeric(20,6)::text) order by rn) as drawn
    from parts group by id
  ), done as materialized (
    select l.*, coalesce(d.drawn, '[]'::jsonb) as drawn, (l.balance - l.hi + l.credits)::numeric(20,6) as balance_before,
           (l.balance - l.hi)::numeric(20,6) as balance_after
    from lined l left join drawn d on d.id = l.id
  ), add_charges as (
    insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id, member_id,
      api_key_id, conversation, detail, drawn, created_at, covered_by, uncollected, returned, balance_before, balance_after)
    select id, account_id, key, fingerprint, credits, service, action, project_id, member_id, api_key_id, conversation,
      detail, drawn, p_now, covered_by, 0, 0, balance_before, balance_after from done
  ), add_entries as (
    insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id,
      reason, actor, created_at, hash)
    select account_id, seq, 'charge', grant_id, -take, 0, after, balance_after, id, '', '', p_now, hash from chained
  ), move_grants as (
    update billing_grant g set remaining = t.after, open = t.after > 0
      from (select account_id, grant_id, min(after) as after from parts group by account_id, grant_id) t
     where g.account_id = t.account_id and g.id = t.grant_id
  ), count_limits as (
    update billing_limit l set used = l.used + x.adds from counted x
     where not x.over and l.account_id = x.account_id and l.id = x.id
  ), last as (
    select distinct on (account_id) account_id, balance_after, seq, hash from chained order by account_id, seq desc
  ), crossed as (
    -- told at the charge that crosses the threshold, with the balance that it left
    select distinct on (w.account_id) w.account_id, w.warn_below, d.balance_after
    from plain w join done d on d.account_id = w.account_id
    where d.balance_after < w.warn_below and not w.is_low and d.credits > 0 order by w.account_id, d.ord
  ), notices as (
    insert into billing_notice(account_id, kind, detail, created_at)
    select account_id, case when balance_after > 0 then 'low' else 'depleted' end,
           jsonb_build_object('balance', balance_after::text, 'warn_below', warn_below::text), p_now
    from crossed
  ), move_wallets as (
    update billing_wallet w
       set balance = l.balance_after, seq = l.seq, head = l.hash, is_low = coalesce(l.balance_after < w.warn_below, false)
      from last l where w.account_id = l.account_id
  )
  select u.ord, d.id, d.credits, d.balance_before, d.balance_after, d.drawn, d.detail, d.covered_by,
         u.known and p.account_id is not null as known, d.id is null and not (u.known and p.account_id is not null) as slow,
         u.account_id, u.key, u.fingerprint
  from uses u left join done d on d.ord = u.ord left join plain p on p.account_id = u.account_id
  order by u.ord
  loop
    if r.slow then
      slow := slow || r.ord;
    else
      ord := r.ord;
      if r.known then
        outcome := ledger_replay(r.account_id, r.key, r.fingerprint);
      else
        outcome := row('charged', r.id, r.credits, 0, r.balance_before, r.balance_after, r.drawn, r.detail,
          r.covered_by, p_now, null)::ledger_outcome;
      end if;
      return next;
    end if;
  end loop;
  return query select * from ledger_charge_each(p_uses, slow, p_now);
end $$;

create or replace function ledger_charge_many(p_uses jsonb, p_now timestamptz)
returns table(ord int, outcome ledger_outcome)
language plpgsql as $$
declare uses ledger_use[]; due uuid[]; n int;
begin
  uses := array(select u from jsonb_populate_recordset(null::ledger_use, p_uses) u);
  -- in id order, always: two batches over the same wallets cannot wait for each other in a circle. What is due
  -- is picked by FILTER: a WHERE would be moved below the lock by the planner, and only due wallets be locked.
  due := (
    select array_agg(account_id) filter (where next_due_at <= p_now) from (
      select w.account_id, w.next_due_at from billing_wallet w
      where w.account_id = any(array(select (u).account_id from unnest(uses) u))
      order by w.account_id for no key update) locked);
  if cardinality(due) > 0 then perform ledger_settle_locked(due, p_now); end if;
  n := cardinality(uses);
  if n < 48 then
    return query select * from ledger_charge_each(uses, array(select generate_series(1, n)), p_now);
  else
    return query select * from ledger_charge_set(uses, p_now);
  end if;
end $$;
