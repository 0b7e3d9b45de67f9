-- Settling: bringing wallets up to the present. One mechanism for one wallet (whatever touches it after its
-- next_due_at) and for thousands (Celery beat). Ended holds give back, due grants expire, allowances renew for
-- the period that holds p_now (missed ones do not add up), and the wallet learns when it is due next.

create or replace function ledger_settle_locked(p_accounts uuid[], p_now timestamptz) returns void
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare h billing_hold; w billing_wallet; g record; debtors uuid[]; seqs bigint[];
begin
  for h in select * from billing_hold x where x.account_id = any(p_accounts) and x.status = 'held' and x.expires_at <= p_now
            order by x.account_id, x.expires_at, x.id loop
    select * into w from billing_wallet x where x.account_id = h.account_id;
    -- a grant that ended before the hold did has to be known as ended when the hold gives back
    perform ledger_save(ledger_give_back(w, h, 'expired', h.expires_at, p_now), p_now);
  end loop;
  select array_agg(x.account_id), array_agg(x.seq) into debtors, seqs
    from billing_wallet x where x.account_id = any(p_accounts) and x.debt > 0;

  with due as materialized (
    select x.account_id, x.balance, x.seq, x.head, x.warn_below, x.is_low, a.zone
    from billing_wallet x join accounts_account a on a.id = x.account_id
    where x.account_id = any(p_accounts)
  ), gone as materialized (
    select x.id, x.account_id, x.remaining, x.expires_at, x.priority from billing_grant x
    where x.account_id = any(p_accounts) and x.open and x.expires_at <= p_now
  ), renewed as materialized (
    select a.id, a.account_id, a.key, a.kind, a.label, a.credits, a.services, a.priority, a.lasts, d.zone,
           p.starts_at, p.ends_at, greatest(p.starts_at, a.next_at) as given_at,
           a.ends_at is null or p.starts_at < a.ends_at as alive, a.ends_at as over_at, p.ends_at as next_at
    from billing_allowance a join due d on d.account_id = a.account_id,
         lateral ledger_period(a.period, a.anchor_at, a.zone, d.zone, p_now) p
    where a.account_id = any(p_accounts) and a.next_at <= p_now and (a.ends_at is null or a.next_at < a.ends_at)
  ), fresh as materialized (
    select r.*, ledger_new_id(p_now) as grant_id, ledger_expiry(r.lasts, r.starts_at, r.ends_at) as expires_at,
           'allowance:' || r.key || ':' || ledger_micros(r.starts_at) as grant_key
    from renewed r
    where r.alive and coalesce(ledger_expiry(r.lasts, r.starts_at, r.ends_at) > p_now, true)
      and not exists (select from billing_grant x where x.account_id = r.account_id
                      and x.idempotency_key = 'allowance:' || r.key || ':' || ledger_micros(r.starts_at))
  ), moves as (
    select account_id, 1 as phase, expires_at as at, id as grant_id, 'expire' as kind, -remaining as credits, 0::numeric as after, priority
    from gone
    union all
    select account_id, 2, given_at, grant_id, 'grant', credits, credits, priority from fresh
  ), numbered as (
    select m.*, row_number() over o as n, sum(m.credits) over o as moved
    from moves m window o as (partition by m.account_id order by m.at, m.phase, m.priority, m.grant_id)
  ), chained as materialized (
    select n.*, d.balance + n.moved as balance_after, d.seq + n.n as seq,
      ledger_chain(d.head, ledger_payload(n.account_id, d.seq + n.n, n.kind, n.grant_id, n.credits, 0, n.after,
        d.balance + n.moved, null, null, '', '', n.at)) over (partition by n.account_id order by n.n) as hash
    from numbered n join due d on d.account_id = n.account_id
  ), last as (
    select distinct on (account_id) account_id, balance_after, seq, hash from chained order by account_id, n desc
  ), horizon as (
    select account_id, min(at) as next_due_at from (
      select account_id, min(expires_at) as at from billing_grant
       where account_id = any(p_accounts) and open and expires_at > p_now group by account_id
      union all select account_id, expires_at from fresh
      union all select account_id, next_at from renewed where over_at is null or next_at < over_at
      union all select account_id, next_at from billing_allowance
       where account_id = any(p_accounts) and next_at > p_now and (ends_at is null or next_at < ends_at)
      union all select account_id, min(expires_at) from billing_hold
       where account_id = any(p_accounts) and status = 'held' and expires_at > p_now group by account_id
    ) x group by account_id
  ), add_entries as (
    insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, reason, actor, created_at, hash)
    select account_id, seq, kind, grant_id, credits, 0, after, balance_after, '', '', at, hash from chained
  ), add_grants as (
    insert into billing_grant(id, account_id, kind, label, credits, remaining, held, priority, expires_at, services, open,
      idempotency_key, fingerprint, allowance, reason, actor, created_at)
    select grant_id, account_id, kind, label, credits, credits, 0, priority, expires_at, services, true,
      grant_key, '', key, '', '', given_at from fresh
  ), close_grants as (
    update billing_grant x set remaining = 0, open = false from gone where x.account_id = gone.account_id and x.id = gone.id
  ), move_allowances as (
    update billing_allowance x set next_at = r.next_at, zone = r.zone from renewed r where x.account_id = r.account_id and x.id = r.id
  ), notices as (
    insert into billing_notice(account_id, kind, detail, created_at)
    select d.account_id, case when l.balance_after > 0 then 'low' else 'depleted' end,
           jsonb_build_object('balance', l.balance_after::numeric(20,6)::text, 'warn_below', d.warn_below::text), p_now
    from due d join last l on l.account_id = d.account_id where l.balance_after < d.warn_below and not d.is_low
  )
  update billing_wallet x
     set balance = coalesce(l.balance_after, d.balance), seq = coalesce(l.seq, d.seq), head = coalesce(l.hash, d.head),
         next_due_at = z.next_due_at, is_low = coalesce(coalesce(l.balance_after, d.balance) < d.warn_below, false)
  from due d left join last l on l.account_id = d.account_id left join horizon z on z.account_id = d.account_id
  where x.account_id = d.account_id;

  -- debtors are few: what they were just given repays first (what they had before does not: it waits)
  for g in select x.id, x.account_id, x.remaining from unnest(debtors, seqs) d(account_id, seq)
             join billing_entry e on e.account_id = d.account_id and e.seq > d.seq and e.kind = 'grant'
             join billing_grant x on x.account_id = e.account_id and x.id = e.grant_id
            order by e.account_id, e.seq loop
    select * into w from billing_wallet x where x.account_id = g.account_id;
    perform ledger_save(ledger_repay(w, g.id, g.remaining, p_now), p_now);
  end loop;
end $$;

-- Settles those of the accounts that are due; returns how many were. Locks in id order.
create or replace function ledger_settle(p_accounts uuid[], p_now timestamptz) returns int
language plpgsql as $$
declare due uuid[];
begin
  due := array(select account_id from billing_wallet where account_id = any(p_accounts) and next_due_at <= p_now
               order by account_id for no key update);
  if cardinality(due) > 0 then perform ledger_settle_locked(due, p_now); end if;
  return cardinality(due);
end $$;

-- Settles up to p_limit due wallets that nobody else is working on; returns how many. The chunk of a beat job,
-- which names the wallets that it has found to be impossible to settle.
drop function if exists ledger_settle_due(timestamptz, int);
create or replace function ledger_settle_due(p_now timestamptz, p_limit int, p_except uuid[] default '{}') returns int
language plpgsql as $$
declare due uuid[];
begin
  due := array(select account_id from billing_wallet where next_due_at <= p_now and account_id <> all(p_except)
               order by next_due_at limit p_limit for no key update skip locked);
  if cardinality(due) > 0 then perform ledger_settle_locked(due, p_now); end if;
  return cardinality(due);
end $$;
