-- Settling: bringing wallets up to p_now. The same mechanism for one wallet (every move settles it first once its
-- next_due_at has come) and for thousands (Celery beat). Due effects are the ends of holds, the ends of grants and the
-- renewals of allowances. One statement computes all of them in the order of their instants; at one instant grants
-- expire first, then holds end, then allowances are granted.
-- Invariants: effects are dated at the instant they were due, and balances, debt and grants are the same at whatever
-- times a wallet is settled; settling twice changes nothing the second time. Missed periods of an allowance do not add
-- up: a period's credits that would have expired by now are written only as far as they repay debt, or where a hold of a tree,
-- or one that is captured at its end, ended while they were in force (ledger_settle_in_order).
--
-- A wallet with more than ledger_portion() due effects is settled in portions, the earliest effects first; next_due_at
-- is then the instant of the first effect that is left. ledger_due_is_large tells such a wallet, and ledger_lock
-- refuses it with the error RF425: the caller settles it with ledger_settle, portion by portion, each in a transaction
-- of its own, and repeats its move. A shared call (90_batches.sql) must leave such a wallet out.

-- The most effects that are settled in one transaction.
create or replace function ledger_portion() returns int language sql immutable as $$ select 500 $$;

-- Where a wallet has more than ledger_portion() due effects: the instant up to which the first of them extend. Else null.
create or replace function ledger_portion_end(p_account uuid, p_now timestamptz) returns timestamptz
language sql stable as $$
  select least(
    (select x.expires_at from billing_hold x where x.account_id = p_account and x.status = 'held' and x.expires_at <= p_now
      order by x.expires_at offset ledger_portion() limit 1),
    (select x.expires_at from billing_grant x where x.account_id = p_account and x.open and x.expires_at <= p_now
      order by x.expires_at offset ledger_portion() limit 1),
    (select min(x.next_at) + make_interval(days => ledger_portion()) from billing_allowance x
       join billing_wallet w on w.account_id = x.account_id and (w.debt > 0 or x.lasts <> 'period')
      where x.account_id = p_account and x.next_at + make_interval(days => ledger_portion()) < least(p_now, x.ends_at)))
$$;

create or replace function ledger_due_is_large(p_account uuid, p_now timestamptz) returns boolean
language sql stable as $$ select ledger_portion_end(p_account, p_now) is not null $$;

-- Closes the holds that have ended and subtracts them from the limits that counted them (a window that has ended may keep
-- what it has; it begins again at zero). Returns the moves of everything that is due up to p_until, in order. Allowances
-- are due up to p_renew; p_most, where it is not null, is the most holds and the most grants to end. New grants are
-- inserted with what they give; p_seen is the time up to which missed periods are left out. Holds of trees, and those that
-- are captured at their end, are left to ledger_settle_in_order.
--
-- Credits that come in repay debt in their order: those of new grants and of holds that return to a grant in force. Held
-- credits that return to an ended grant expire at once, except for the part that a claw-back has booked as debt (the
-- grant has then more booked than spent and held): it repays that debt, because expired credits are never owed.
create or replace function ledger_due_moves(
  p_accounts uuid[], p_until timestamptz, p_renew timestamptz, p_most int, p_seen timestamptz) returns ledger_move[]
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare moves ledger_move[];
begin
  with wallets as materialized (
    select x.account_id, x.debt, x.seq from billing_wallet x where x.account_id = any(p_accounts)
  ), ended as (
    update billing_hold h set status = 'expired', closed_at = h.expires_at
      from (select x.account_id, x.id from billing_hold x
             where x.account_id = any(p_accounts) and x.status = 'held' and x.expires_at <= p_until
               and not ledger_ends_alone(x)
             order by x.expires_at, x.id limit p_most) d
     where h.account_id = d.account_id and h.id = d.id
    returning h.*
  ), closed as (
    update billing_wallet w set running_holds = w.running_holds - e.n
      from (select account_id, count(*) as n from ended group by account_id) e where w.account_id = e.account_id
  ), counted as (
    update billing_limit l set used = greatest(0, l.used - x.back)
      from (select l.account_id, l.id, sum(ledger_limit_amount(l.kind, e.credits, e.quota_count)) as back
              from ended e join billing_limit l on l.account_id = e.account_id and e.created_at >= l.window_start
               and l.subject = any(ledger_limit_subjects(e.project_id, e.member_id, e.api_key_id, e.quota))
               and l.subject = ledger_limit_subject(l.kind, e.project_id, e.member_id, e.api_key_id, e.quota)
             group by l.account_id, l.id) x
     where l.account_id = x.account_id and l.id = x.id
  ), returned as (
    select e.account_id, e.expires_at as at, e.id as hold_id, d.n, (d.part->>'credits')::numeric(20,6) as credits, g.id as grant_id,
           g.remaining, g.priority, g.expires_at, coalesce(g.expires_at > e.expires_at, true) as lands, g.held + g.spent as consumed
    from ended e cross join lateral jsonb_array_elements(e.drawn) with ordinality d(part, n)
    join billing_grant g on g.account_id = e.account_id and g.id = (d.part->>'grant')::uuid
  ), renewed as materialized (
    select a.account_id, a.id, a.key, a.kind, a.label, a.credits, a.period, a.lasts, a.services, a.priority, a.anchor_at, a.next_at,
           a.ends_at as stops_at, z.zone as new_zone, p.starts_at, p.ends_at, least(p_renew, a.ends_at - interval '1 microsecond') as upto,
           a.lasts <> 'period' or w.debt > 0 as every
    from billing_allowance a join wallets w on w.account_id = a.account_id join accounts_account z on z.id = a.account_id,
         lateral ledger_period(a.period, a.anchor_at, a.zone, z.zone, a.next_at) p
    where a.account_id = any(p_accounts) and a.next_at <= p_renew and (a.ends_at is null or a.next_at < a.ends_at)
  ), periods as materialized (
    select r.account_id, r.id, r.starts_at, r.ends_at from renewed r where r.every or coalesce(r.ends_at > r.upto, true)
    union all
    select r.account_id, r.id, p.starts_at, p.ends_at from renewed r,
           lateral ledger_later_periods(r.period, r.anchor_at, r.new_zone, r.ends_at, r.upto, r.every) p
     where r.ends_at <= r.upto
  ), moved as (
    update billing_allowance x set next_at = p.next_at, zone = r.new_zone
      from renewed r join (select account_id, id, max(ends_at) as next_at from periods group by account_id, id) p
        on p.account_id = r.account_id and p.id = r.id
     where x.account_id = r.account_id and x.id = r.id
  ), fresh as materialized (
    select r.account_id, r.kind, r.label, r.credits, r.services, r.priority, r.key, greatest(p.starts_at, r.next_at) as at,
           ledger_expiry(r.lasts, p.starts_at, p.ends_at) as expires_at, ledger_new_id(p_until) as grant_id,
           'allowance:' || r.key || ':' || ledger_micros(p.starts_at) as grant_key
    from renewed r join periods p on p.account_id = r.account_id and p.id = r.id
    where r.stops_at is null or p.starts_at < r.stops_at
  ), inflows as (
    select x.account_id, x.at, 2 as phase, 0 as priority, x.hold_id::text as tie, x.n, 'release' as kind, x.grant_id, x.hold_id,
           x.credits, x.remaining, x.priority as grant_priority, x.expires_at, x.lands,
           case when x.lands then x.credits else x.booked - lag(x.booked, 1, 0.0) over (partition by x.account_id, x.grant_id, x.lands
             order by x.at, x.hold_id) end as repays
    from (select y.*, greatest(0, sum(y.credits) over (partition by y.account_id, y.grant_id, y.lands order by y.at, y.hold_id)
                                  - greatest(y.consumed, 0)) as booked from returned y) x
    union all
    select x.account_id, x.at, 3, x.priority, x.key, 1, 'grant', x.grant_id, null, x.credits, 0, x.priority, x.expires_at, true, x.credits
    from fresh x
    where x.credits > 0 and coalesce(x.expires_at > x.at, true)
      and not exists (select from billing_grant g where g.account_id = x.account_id and g.idempotency_key = x.grant_key)
  ), repaid as (
    select i.*, least(w.debt, i.upto) - least(w.debt, i.upto - i.repays) as repay
    from (select y.*, sum(y.repays) over (partition by y.account_id order by y.at, y.phase, y.priority, y.tie collate "C", y.n) as upto
          from inflows y) i join wallets w on w.account_id = i.account_id
  ), written as materialized (
    select * from repaid where kind = 'release' or repay > 0 or coalesce(expires_at > p_seen, true)
  ), gone as (
    select account_id, id, expires_at, priority, max(remaining) as remaining, sum(credits) as credits from (
      (select x.account_id, x.id, x.expires_at, x.priority, x.remaining, x.remaining as credits from billing_grant x
        where x.account_id = any(p_accounts) and x.open and x.expires_at <= p_until order by x.expires_at, x.id
        -- all before p_until, from which the wallet is due next: the ends of holds in a tree may have filled more than p_most
        limit greatest(p_most, case when p_most is not null then
          (select count(*) from billing_grant y where y.account_id = any(p_accounts) and y.open and y.expires_at < p_until) end))
      union all
      select account_id, grant_id, expires_at, grant_priority, remaining, credits - repay from written
       where lands and expires_at <= p_until) y
    group by account_id, id, expires_at, priority having sum(credits) > 0
  ), events as (
    select account_id, at, phase, priority, tie, n, 1 as step, kind, grant_id, hold_id, credits, 0 as debt, remaining from written
    union all
    select account_id, at, phase, priority, tie, n, 2, 'repay', grant_id, null, -repay, -repay, remaining from written where repay > 0
    union all
    select account_id, at, phase, priority, tie, n, 3, 'expire', grant_id, null, repay - credits, 0, remaining from written
     where not lands and credits > repay
    union all
    select account_id, expires_at, 1, priority, id::text, 1, 1, 'expire', id, null, -credits, 0, remaining from gone
    union all
    select account_id, expires_at, 2, 0, id::text, 1, 1, 'release', null, id, 0, 0, 0 from ended where credits = 0
  ), numbered as materialized (
    select e.*, w.seq + row_number() over (partition by e.account_id order by e.at, e.phase, e.priority, e.tie collate "C", e.n, e.step) as seq,
           e.remaining + sum(e.credits) over (partition by e.account_id, e.grant_id
                               order by e.at, e.phase, e.priority, e.tie collate "C", e.n, e.step) as after
    from events e join wallets w on w.account_id = e.account_id
  ), given as (
    insert into billing_grant(id, account_id, kind, label, credits, remaining, held, priority, expires_at, services,
      open, idempotency_key, fingerprint, allowance, reason, actor, created_at, first_seq, last_seq)
    select x.grant_id, x.account_id, x.kind, x.label, x.credits, x.credits, 0, x.priority, x.expires_at, x.services,
      true, x.grant_key, '', x.key, '', '', x.at, n.seq, n.seq
    from fresh x join numbered n on n.account_id = x.account_id and n.grant_id = x.grant_id and n.kind = 'grant'
  )
  select array_agg(ledger_move(n.kind, n.grant_id, n.credits, n.at, hold_id => n.hold_id, debt => n.debt,
                               account_id => n.account_id, grant_after => n.after) order by n.account_id, n.seq)
    into moves from numbered n;
  return coalesce(moves, '{}');
end $$;

-- Whether plain effects are all that can be due: no hold has ended, no wallet has debt, and no allowance missed a period
-- whose credits outlast it.
create or replace function ledger_due_is_plain(p_accounts uuid[], p_now timestamptz) returns boolean
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
begin
  return not exists (select from billing_hold x where x.account_id = any(p_accounts) and x.status = 'held' and x.expires_at <= p_now)
     and not exists (select from billing_wallet x where x.account_id = any(p_accounts) and x.debt > 0)
     and not exists (select from billing_allowance x join accounts_account z on z.id = x.account_id,
                       lateral ledger_period(x.period, x.anchor_at, x.zone, z.zone, x.next_at) p
                     where x.account_id = any(p_accounts) and x.lasts <> 'period' and x.next_at <= p_now
                       and (x.ends_at is null or x.next_at < x.ends_at) and p.ends_at <= p_now);
end $$;

-- The same as ledger_due_moves where ledger_due_is_plain. (Measured: planning and running the general statement takes
-- twice as long, and nearly every settling is plain.)
create or replace function ledger_plain_moves(p_accounts uuid[], p_now timestamptz) returns ledger_move[]
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare moves ledger_move[];
begin
  with gone as (
    select x.account_id, x.expires_at as at, 1 as phase, x.priority, x.id::text as tie, x.id, 'expire' as kind, -x.remaining as credits,
           0::numeric as after
    from billing_grant x where x.account_id = any(p_accounts) and x.open and x.expires_at <= p_now
  ), renewed as materialized (
    select a.*, z.zone as new_zone, p.starts_at, p.ends_at as next_start, greatest(p.starts_at, a.next_at) as given_at,
           ledger_expiry(a.lasts, p.starts_at, p.ends_at) as expires_at,
           'allowance:' || a.key || ':' || ledger_micros(p.starts_at) as grant_key
    from billing_allowance a join accounts_account z on z.id = a.account_id,
         lateral (select least(p_now, a.ends_at - interval '1 microsecond') as upto) t,
         lateral ledger_period(a.period, a.anchor_at, a.zone, z.zone, a.next_at) f,
         lateral (  -- the first period that is due, or the present one where that has ended
           select f.starts_at, f.ends_at where coalesce(f.ends_at > t.upto, true)
           union all select x.starts_at, x.ends_at from ledger_period(a.period, a.anchor_at, z.zone, z.zone, t.upto) x
            where f.ends_at <= t.upto) p
    where a.account_id = any(p_accounts) and a.next_at <= p_now and (a.ends_at is null or a.next_at < a.ends_at)
  ), eligible as (
    select account_id, given_at as at, 3 as phase, priority, key as tie, ledger_new_id(p_now) as id, 'grant' as kind, credits,
           credits as after, key, label, r.kind as grant_kind, services, expires_at, grant_key
    from renewed r
    where credits > 0 and coalesce(r.expires_at > p_now, true)
      and not exists (select from billing_grant x where x.account_id = r.account_id and x.idempotency_key = r.grant_key)
  ), numbered as materialized (
    select x.*, w.seq + row_number() over (partition by x.account_id order by x.at, x.phase, x.priority, x.tie collate "C") as seq
    from (select gone.*, null as key, null as label, null as grant_kind, null::text[] as services,
                 null::timestamptz as expires_at, null as grant_key from gone
          union all select * from eligible) x join billing_wallet w on w.account_id = x.account_id
  ), moved as (
    update billing_allowance x set next_at = r.next_start, zone = r.new_zone
      from renewed r where x.account_id = r.account_id and x.id = r.id
  ), given as (
    insert into billing_grant(id, account_id, kind, label, credits, remaining, held, priority, expires_at, services,
      open, idempotency_key, fingerprint, allowance, reason, actor, created_at, first_seq, last_seq)
    select n.id, n.account_id, n.grant_kind, n.label, n.credits, n.credits, 0, n.priority, n.expires_at, n.services,
      true, n.grant_key, '', n.key, '', '', n.at, n.seq, n.seq
    from numbered n where n.phase = 3
  )
  select array_agg(ledger_move(kind, id, credits, at, account_id => account_id, grant_after => after) order by account_id, seq)
    into moves from numbered;
  return coalesce(moves, '{}');
end $$;

-- When each of the wallets is due next: the first end of a grant or of a hold, or the first renewal, from p_from on.
create or replace function ledger_next_due(p_accounts uuid[], p_from timestamptz)
returns table(account_id uuid, next_due_at timestamptz)
language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
  return query select a.id, min(x.at) from unnest(p_accounts) a(id) left join (
    select g.account_id, g.expires_at as at from billing_grant g
     where g.account_id = any(p_accounts) and g.open and g.expires_at >= p_from
    union all select l.account_id, l.next_at from billing_allowance l
     where l.account_id = any(p_accounts) and l.next_at >= p_from and (l.ends_at is null or l.next_at < l.ends_at)
    union all select h.account_id, h.expires_at from billing_hold h
     where h.account_id = any(p_accounts) and h.status = 'held' and h.expires_at >= p_from
  ) x on x.account_id = a.id group by a.id;
end $$;

-- Settles wallets that the caller has locked: all that is due.
create or replace function ledger_settle_locked(p_accounts uuid[], p_now timestamptz) returns void
language plpgsql as $$
declare accounts uuid[] := p_accounts; account uuid; plain boolean := ledger_due_is_plain(p_accounts, p_now);
begin
  if not plain then
    foreach account in array ledger_due_alone(p_accounts, p_now) loop
      perform ledger_settle_in_order(account, p_now, p_now, null, p_now + interval '1 microsecond', p_now);
      accounts := array_remove(accounts, account);
    end loop;
  end if;
  perform ledger_write_due(accounts,
    case when plain then ledger_plain_moves(accounts, p_now) else ledger_due_moves(accounts, p_now, p_now, null, p_now) end,
    p_now + interval '1 microsecond', p_now);
end $$;

-- Writes the moves of what was due before p_from.
create or replace function ledger_write_due(
  p_accounts uuid[], p_moves ledger_move[], p_from timestamptz, p_now timestamptz) returns void
language plpgsql as $$
declare accounts uuid[]; due timestamptz[];
begin
  -- a grant to which a hold returns credits may have been empty, and is not open yet
  select array_agg(y.account_id), array_agg(y.next_due_at) into accounts, due from (
    select x.account_id, min(x.next_due_at) as next_due_at from (
      select d.account_id, d.next_due_at from ledger_next_due(p_accounts, p_from) d
      union all
      select m.account_id, g.expires_at from unnest(p_moves) m join billing_grant g on g.account_id = m.account_id and g.id = m.grant_id
       where m.kind = 'release' and g.expires_at >= p_from) x
    group by x.account_id) y;
  perform ledger_write_set(accounts, p_moves, p_now, due);
end $$;

-- Settles the first portion of locked wallets: the first of them that have no more than about ledger_portion() effects due
-- together, or a part of what is due for the first alone. Returns how many wallets it settled.
create or replace function ledger_settle_portion(p_accounts uuid[], p_now timestamptz) returns int
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare accounts uuid[] := p_accounts; until timestamptz; holds int; grants int;
begin
  if cardinality(p_accounts) = 0 then return 0; end if;
  select count(*) into holds from (select from billing_hold x where x.account_id = any(p_accounts) and x.status = 'held'
    and x.expires_at <= p_now limit ledger_portion() + 1) y;
  select count(*) into grants from (select from billing_grant x where x.account_id = any(p_accounts) and x.open
    and x.expires_at <= p_now limit 2 * ledger_portion() + 1) y;
  if holds > ledger_portion() or grants > 2 * ledger_portion() then
    accounts := array(
      select c.id from (
        select a.id, a.place, sum(h.n + g.n) over (order by a.place) as upto
        from unnest(p_accounts) with ordinality a(id, place),
          lateral (select count(*) as n from (select from billing_hold x where x.account_id = a.id and x.status = 'held'
                    and x.expires_at <= p_now limit ledger_portion() + 1) y) h,
          lateral (select count(*) as n from (select from billing_grant x where x.account_id = a.id and x.open
                    and x.expires_at <= p_now limit ledger_portion() + 1) y) g) c
      where c.upto <= ledger_portion() or c.place = 1 order by c.place);
  end if;
  if cardinality(accounts) = 1 then until := ledger_portion_end(accounts[1], p_now); end if;
  if until is null then
    perform ledger_settle_locked(accounts, p_now);
  else
    -- a hold that ends at `until` may be left, and what is granted at that instant comes after it
    if ledger_due_alone(accounts, until) <> '{}' then
      perform ledger_settle_in_order(accounts[1], until, until - interval '1 microsecond', ledger_portion(), until, p_now);
    else
      perform ledger_write_due(accounts,
        ledger_due_moves(accounts, until, until - interval '1 microsecond', ledger_portion(), until), until, p_now);
    end if;
  end if;
  return cardinality(accounts);
end $$;

-- Settles those of the accounts that are due, locked in id order, or the first portion of what is due. Returns how many
-- wallets it settled; the caller repeats the call until it returns 0.
create or replace function ledger_settle(p_accounts uuid[], p_now timestamptz) returns int
language plpgsql as $$
begin
  return ledger_settle_portion(array(
    select account_id from billing_wallet where account_id = any(p_accounts) and next_due_at <= p_now
    order by account_id for no key update), p_now);
end $$;

-- The same for one account.
create or replace function ledger_settle_one(p_account uuid, p_now timestamptz) returns int
language plpgsql as $$
begin
  return ledger_settle(array[p_account], p_now);
end $$;

-- Settles up to p_limit due wallets that no other transaction has locked, or the first portion of what is due; returns how
-- many. p_except names the wallets that the caller could not settle before.
create or replace function ledger_settle_due(p_now timestamptz, p_limit int, p_except uuid[] default '{}') returns int
language plpgsql as $$
begin
  return ledger_settle_portion(array(
    select account_id from billing_wallet where next_due_at <= p_now and account_id <> all(p_except)
    order by next_due_at limit p_limit for no key update skip locked), p_now);
end $$;
