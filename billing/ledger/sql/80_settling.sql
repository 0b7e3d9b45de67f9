-- Settling: bringing wallets up to p_now. The same mechanism for one wallet (every move settles it first once its
-- next_due_at has come) and for thousands (Celery beat): ended holds are returned, ended grants expire, allowances
-- renew for the period that contains p_now (missed periods do not add up), and next_due_at is computed again.
-- Invariant: effects are dated at the instant they were due, and settling twice changes nothing the second time.

-- Inserts the grants that due allowances give and moves the allowances to their next period. Returns the moves of these
-- grants and of the ones that have ended, in order. (The grants are inserted by one statement with what they give.
-- Measured: ledger_insert_grant, a call and an update for each, takes 121 us per account instead of 76.)
create or replace function ledger_due_moves(p_accounts uuid[], p_now timestamptz) returns ledger_move[]
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare moves ledger_move[];
begin
  with gone as (
    select x.account_id, x.expires_at as at, 1 as phase, x.priority, x.id, 'expire' as kind, -x.remaining as credits,
           0::numeric as after
    from billing_grant x where x.account_id = any(p_accounts) and x.open and x.expires_at <= p_now
  ), renewed as materialized (
    select a.*, acc.zone as new_zone, p.starts_at, p.ends_at as next_start, greatest(p.starts_at, a.next_at) as given_at,
           ledger_expiry(a.lasts, p.starts_at, p.ends_at) as expires_at,
           'allowance:' || a.key || ':' || ledger_micros(p.starts_at) as grant_key
    from billing_allowance a join accounts_account acc on acc.id = a.account_id,
         lateral ledger_period(a.period, a.anchor_at, a.zone, acc.zone, p_now) p
    where a.account_id = any(p_accounts) and a.next_at <= p_now and (a.ends_at is null or a.next_at < a.ends_at)
  ), eligible as (
    select account_id, given_at as at, 2 as phase, priority, ledger_new_id(p_now) as id, 'grant' as kind, credits,
           credits as after, key, label, r.kind as grant_kind, services, expires_at, grant_key
    from renewed r
    where (r.ends_at is null or r.starts_at < r.ends_at) and coalesce(r.expires_at > p_now, true)
      and not exists (select from billing_grant x where x.account_id = r.account_id and x.idempotency_key = r.grant_key)
  ), numbered as materialized (
    select x.*, w.seq + row_number() over (partition by x.account_id order by x.at, x.phase, x.priority, x.id) as seq
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
    from numbered n where n.phase = 2
  )
  select array_agg(ledger_move(kind, id, credits, at, account_id => account_id, grant_after => after)
                   order by account_id, seq)
    into moves from numbered;
  return coalesce(moves, '{}');
end $$;

-- When each of the wallets is due next: the first end of a grant or of a hold, or the first renewal, after p_now.
create or replace function ledger_next_due(p_accounts uuid[], p_now timestamptz)
returns table(account_id uuid, next_due_at timestamptz)
language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
  return query select a.id, min(x.at) from unnest(p_accounts) a(id) left join (
    select g.account_id, g.expires_at as at from billing_grant g
     where g.account_id = any(p_accounts) and g.open and g.expires_at > p_now
    union all select l.account_id, l.next_at from billing_allowance l
     where l.account_id = any(p_accounts) and l.next_at > p_now and (l.ends_at is null or l.next_at < l.ends_at)
    union all select h.account_id, h.expires_at from billing_hold h
     where h.account_id = any(p_accounts) and h.status = 'held' and h.expires_at > p_now
  ) x on x.account_id = a.id group by a.id;
end $$;

-- Settles wallets that the caller has locked.
create or replace function ledger_settle_locked(p_accounts uuid[], p_now timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare h billing_hold; w billing_wallet; m ledger_move; moves ledger_move[]; accounts uuid[]; due timestamptz[]; debtors uuid[];
begin
  for h in select * from billing_hold x where x.account_id = any(p_accounts) and x.status = 'held' and x.expires_at <= p_now
            order by x.account_id, x.expires_at, x.id loop
    select * into w from billing_wallet x where x.account_id = h.account_id;
    w := ledger_return_hold(w, h, 'expired', h.expires_at, p_now);
  end loop;
  moves := ledger_due_moves(p_accounts, p_now);
  select array_agg(x.account_id), array_agg(x.next_due_at) into accounts, due from ledger_next_due(p_accounts, p_now) x;
  perform ledger_write_set(accounts, moves, p_now, due);
  -- debtors are few: what they were just given repays first (what they had before does not)
  debtors := array(select x.account_id from billing_wallet x where x.account_id = any(p_accounts) and x.debt > 0);
  if cardinality(debtors) = 0 then return; end if;
  foreach m in array moves loop
    if m.kind = 'grant' and m.account_id = any(debtors) then
      select * into w from billing_wallet x where x.account_id = m.account_id;
      w := ledger_write(w, ledger_repay(w.debt, m.grant_id, m.credits, p_now), p_now);
    end if;
  end loop;
end $$;

-- Settles those of the accounts that are due, locked in id order; returns how many were.
create or replace function ledger_settle(p_accounts uuid[], p_now timestamptz) returns int
language plpgsql as $$
declare due uuid[];
begin
  due := array(select account_id from billing_wallet where account_id = any(p_accounts) and next_due_at <= p_now
               order by account_id for no key update);
  if cardinality(due) > 0 then perform ledger_settle_locked(due, p_now); end if;
  return cardinality(due);
end $$;

-- Settles up to p_limit due wallets that no other transaction has locked; returns how many. p_except names the
-- wallets that the caller could not settle before.
create or replace function ledger_settle_due(p_now timestamptz, p_limit int, p_except uuid[] default '{}') returns int
language plpgsql as $$
declare due uuid[];
begin
  due := array(select account_id from billing_wallet where next_due_at <= p_now and account_id <> all(p_except)
               order by next_due_at limit p_limit for no key update skip locked);
  if cardinality(due) > 0 then perform ledger_settle_locked(due, p_now); end if;
  return cardinality(due);
end $$;
