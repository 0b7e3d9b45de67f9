-- Batches and shared calls: many uses in one call.
-- Invariants: the outcome is the same, use by use, as charging them one after the other. A call that several accounts
-- share waits for no wallet and settles none at length: the uses of a wallet that another transaction has locked, or
-- with more than ledger_most_due() effects due, come back with the status 'busy' and are charged by a call of their own
-- (billing/ledger/charges.py, batches.py).
-- In a batch, wallets whose uses are plain (credits and limits suffice for all of them, no debt, no grants for some services
-- only, no repeated key) are charged together; the others one by one, in order. Below 48 uses charging one by one is faster.

create or replace function ledger_most_due() returns int language sql immutable as $$ select 50 $$;

-- Whether more effects are due in a wallet than a shared call may settle: ended holds and ended grants.
create or replace function ledger_much_due(p_account uuid, p_now timestamptz) returns boolean
language plpgsql stable as $$
begin
  return (select count(*) from (select from billing_hold x where x.account_id = p_account and x.status = 'held'
                                 and x.expires_at <= p_now limit ledger_most_due() + 1) x)
       + (select count(*) from (select from billing_grant x where x.account_id = p_account and x.open
                                 and x.expires_at <= p_now limit ledger_most_due() + 1) x) > ledger_most_due();
end $$;

-- Charges the uses with these numbers one by one, in order, each at its own time, and settles their wallets up to that
-- time. p_wallets: the wallets that the caller has locked; a use of another one is 'busy'. `slow`: the use took more
-- than 10 ms.
create or replace function ledger_charge_each(
  p_uses ledger_use[], p_ords int[], p_times timestamptz[], p_wallets uuid[], p_shared boolean)
returns table(ord int, outcome ledger_outcome, slow boolean)
language plpgsql as $$
declare i int; w billing_wallet; u ledger_use; at_ timestamptz; began timestamptz := clock_timestamp(); ended timestamptz;
begin
  foreach i in array p_ords loop
    u := p_uses[i];
    ord := i; outcome := null;
    select * into w from billing_wallet x where x.account_id = u.account_id;
    at_ := greatest(p_times[i], w.moved_at);
    if w.account_id is null then
      outcome.status := 'unknown';
    elsif w.account_id <> all(p_wallets) then
      outcome.status := 'busy';
    elsif w.next_due_at <= at_ and p_shared and ledger_much_due(u.account_id, at_) then
      outcome.status := 'busy';
      p_wallets := array_remove(p_wallets, u.account_id);  -- its later uses too: they keep their order
    else
      if w.next_due_at <= at_ then
        perform ledger_settle_locked(array[u.account_id], at_);
        select * into w from billing_wallet x where x.account_id = u.account_id;
      end if;
      outcome := ledger_charge_locked(w, u, at_);
    end if;
    ended := clock_timestamp();
    slow := ended - began > interval '10 ms';
    began := ended;
    return next;
  end loop;
end $$;

-- Charges up to a few dozen uses in order, each at its own time. Shared by several accounts it waits for no wallet; the
-- call for one account (p_shared false) waits for its wallet and settles whatever is due.
create or replace function ledger_charge_shared(p_uses jsonb, p_times timestamptz[], p_shared boolean)
returns table(ord int, outcome ledger_outcome, slow boolean)
language plpgsql as $$
declare uses ledger_use[]; wallets uuid[];
begin
  uses := array(select u from jsonb_populate_recordset(null::ledger_use, p_uses) u);
  if p_shared then
    perform set_config('lock_timeout', '25ms', true);  -- for locks other than those of wallets: rows of accounts
    wallets := array(select w.account_id from billing_wallet w
                     where w.account_id = any(array(select (u).account_id from unnest(uses) u)) for no key update skip locked);
  else
    wallets := array[(ledger_lock((uses[1]).account_id, p_times[1])).account_id];
  end if;
  return query select * from ledger_charge_each(uses, array(select generate_series(1, cardinality(uses))), p_times, wallets, p_shared);
end $$;

-- Charges uses of one account in order, each at its own time. It waits for the wallet, as long as p_lock_timeout says (a
-- lock_timeout) or as the session does.
create or replace function ledger_charge_account(
  p_account uuid, p_uses jsonb, p_times timestamptz[], p_lock_timeout text default null)
returns table(ord int, outcome ledger_outcome, slow boolean)
language plpgsql as $$
declare uses ledger_use[];
begin
  if p_lock_timeout is not null then perform set_config('lock_timeout', p_lock_timeout, true); end if;
  uses := array(select u from jsonb_populate_recordset(null::ledger_use, p_uses) u);
  perform ledger_lock(p_account, p_times[1]);
  return query select * from ledger_charge_each(
    uses, array(select generate_series(1, cardinality(uses))), p_times, array[p_account], false);
end $$;

-- Charges one use as ledger_charge does, in a call that others wait for: 'busy' instead of a wait or a large settling.
create or replace function ledger_charge_at_once(u ledger_use, p_now timestamptz) returns ledger_outcome
language plpgsql as $$
declare w billing_wallet; o ledger_outcome; at_ timestamptz;
begin
  if exists (select from billing_charge x where x.account_id = u.account_id and x.idempotency_key = u.key) then
    return ledger_replay(u.account_id, u.key, u.fingerprint);
  end if;
  perform set_config('lock_timeout', '25ms', true);
  select * into w from billing_wallet x where x.account_id = u.account_id for no key update skip locked;
  if not found then
    o.status := case when exists (select from billing_wallet x where x.account_id = u.account_id) then 'busy' else 'unknown' end;
    return o;
  end if;
  at_ := greatest(p_now, w.moved_at);
  if w.next_due_at <= at_ then
    if ledger_much_due(u.account_id, at_) then o.status := 'busy'; return o; end if;
    perform ledger_settle_locked(array[u.account_id], at_);
    select * into w from billing_wallet x where x.account_id = u.account_id;
  end if;
  return ledger_charge_locked(w, u, at_);
end $$;

-- How each use can be charged: 'together' with the others of its wallet, 'replay' where its key has charged already, or
-- 'singly'. The caller has locked the wallets p_wallets. Their limits are rolled into their present windows first.
create or replace function ledger_sort_uses(p_uses ledger_use[], p_wallets uuid[], p_now timestamptz)
returns table(ord int, verdict text)
language plpgsql set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare a record;
begin
  for a in
    with ended as (
      select distinct l.account_id, greatest(p_now, w.moved_at) as at
      from billing_limit l join billing_wallet w on w.account_id = l.account_id
      where l.account_id = any(p_wallets) and l.window_end <= greatest(p_now, w.moved_at)
    )
    select u.account_id, e.at, array_agg(distinct s) as subjects
    from unnest(p_uses) u join ended e on e.account_id = u.account_id,
         unnest(ledger_limit_subjects(u.project_id, u.member_id, u.api_key_id, u.quota)) s
    where s is not null group by u.account_id, e.at
  loop
    perform ledger_roll_limits(a.account_id, a.at, a.subjects);
  end loop;
  return query
  with uses as materialized (
    select u.account_id, u.credits, u.project_id, u.member_id, u.api_key_id, u.quota, u.quota_count, u.ordinality::int as ord,
           c.id is not null as is_replay, count(*) over (partition by u.account_id, u.key) > 1 as repeated
    from unnest(p_uses) with ordinality u
    -- offset 0 keeps this a look-up for each use; folded into a join it was planned as a scan of every key
    left join lateral (select x.id from billing_charge x
                       where x.account_id = u.account_id and x.idempotency_key = u.key offset 0) c on true
  ), asked as (
    select account_id, coalesce(sum(credits) filter (where not is_replay), 0) as total, bool_or(repeated) as repeated
    from uses group by account_id
  ), narrow as (
    -- with grants for some services only; or with many: laying uses along grants takes the product of their numbers
    select account_id from billing_grant where account_id = any(p_wallets) and open
    group by account_id having bool_or(services is not null) or count(*) > 100
  ), able as materialized (
    select w.account_id from asked a join unnest(p_wallets) p(id) on p.id = a.account_id
      join billing_wallet w on w.account_id = a.account_id
    where w.debt = 0 and not a.repeated and a.total <= w.balance and coalesce(w.next_due_at > greatest(p_now, w.moved_at), true)
      and not exists (select from narrow n where n.account_id = w.account_id)
  ), stopped as (
    select l.account_id from billing_limit l join able a on a.account_id = l.account_id
      join uses u on u.account_id = l.account_id and not u.is_replay
       and l.subject = any(ledger_limit_subjects(u.project_id, u.member_id, u.api_key_id, u.quota))
       and l.subject = ledger_limit_subject(l.kind, u.project_id, u.member_id, u.api_key_id, u.quota)
    group by l.account_id, l.id, l.kind, l.used, l.maximum
    having l.used + sum(ledger_limit_amount(l.kind, u.credits, u.quota_count)) > l.maximum
  )
  select u.ord, case when a.account_id is null or exists (select from stopped s where s.account_id = u.account_id) then 'singly'
                     when u.is_replay then 'replay' else 'together' end
  from uses u left join able a on a.account_id = u.account_id;
end $$;

-- Charges the uses with these numbers together: their wallets are plain, their keys new. (The charges are inserted by
-- one statement and not by ledger_insert_charge: a call for each makes a batch of 1,000 45 % slower.)
create or replace function ledger_charge_set(p_uses ledger_use[], p_ords int[], p_now timestamptz)
returns table(ord int, outcome ledger_outcome)
language plpgsql set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare r record; moves ledger_move[] := '{}'; accounts uuid[] := array(select distinct (p_uses[i]).account_id from unnest(p_ords) i);
begin
  perform ledger_sum_uses(w) from billing_wallet w where w.account_id = any(accounts) and w.seq - w.summed_seq >= 2000;
  for r in
  with lined as materialized (
    select u.*, u.ordinality::int as ord, w.balance, greatest(p_now, w.moved_at) as at,
           sum(u.credits) over (partition by u.account_id order by u.ordinality) as upto
    from unnest(p_uses) with ordinality u join unnest(p_ords) o(ord) on o.ord = u.ordinality
    join billing_wallet w on w.account_id = u.account_id
  ), grants as materialized (
    select a.id as account_id, g.id, g.kind, g.remaining, g.place,
           sum(g.remaining) over (partition by a.id order by g.place) as upto
    from unnest(accounts) a(id), lateral ledger_spendable(a.id, null, p_now) g
  ), parts as (
    -- uses and grants laid along one line of credits: a use takes from a grant where their stretches overlap
    select l.ord, array_agg(ledger_move('charge', g.id, greatest(l.upto - l.credits, g.upto - g.remaining) - least(l.upto, g.upto),
             l.at, l.id, account_id => l.account_id, grant_after => g.upto - least(l.upto, g.upto)) order by g.place) as moves,
           jsonb_agg(ledger_drawn(g.id, g.kind, least(l.upto, g.upto) - greatest(l.upto - l.credits, g.upto - g.remaining))
             order by g.place) as drawn
    from lined l join grants g on g.account_id = l.account_id
     and l.upto - l.credits < g.upto and g.upto - g.remaining < l.upto and l.credits > 0
    group by l.ord
  ), done as materialized (
    select l.*, coalesce(p.drawn, '[]'::jsonb) as drawn, coalesce(p.moves, '{}') as moves,
           (l.balance - l.upto + l.credits)::numeric(20,6) as balance_before, (l.balance - l.upto)::numeric(20,6) as balance_after
    from lined l left join parts p on p.ord = l.ord
  ), charges as (
    insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id, member_id,
      api_key_id, conversation, detail, drawn, created_at, covered_by, uncollected, returned, balance_before, balance_after,
      quota, quota_count)
    select id, account_id, key, fingerprint, credits, service, action, project_id, member_id, api_key_id, conversation,
      detail, drawn, at, covered_by, 0, 0, balance_before, balance_after, quota, quota_count from done
    returning id, ledger_charge_digest(billing_charge) as digest
  ), counted as (
    update billing_limit l set used = l.used + x.adds
      from (select l.account_id, l.id, sum(ledger_limit_amount(l.kind, u.credits, u.quota_count)) as adds from billing_limit l
            join lined u on u.account_id = l.account_id
             and l.subject = any(ledger_limit_subjects(u.project_id, u.member_id, u.api_key_id, u.quota))
             and l.subject = ledger_limit_subject(l.kind, u.project_id, u.member_id, u.api_key_id, u.quota)
            group by l.account_id, l.id) x
     where l.account_id = x.account_id and l.id = x.id
  )
  select d.*, c.digest from done d join charges c on c.id = d.id order by d.ord
  loop
    if r.credits > 0 then r.moves[1].digest := r.digest;
    else r.moves := array[ledger_move('charge', null, 0, r.at, r.id, account_id => r.account_id, digest => r.digest)]; end if;
    moves := moves || r.moves;
    ord := r.ord; outcome := null;
    outcome.status := 'charged'; outcome.charge_id := r.id; outcome.credits := r.credits; outcome.uncollected := 0;
    outcome.balance_before := r.balance_before; outcome.balance_after := r.balance_after; outcome.drawn := r.drawn;
    outcome.detail := r.detail; outcome.covered_by := r.covered_by; outcome.created_at := r.at;
    return next;
  end loop;
  perform ledger_write_set(accounts, moves, p_now);
end $$;

-- A batch: uses of any accounts, all at the same time.
create or replace function ledger_charge_many(p_uses jsonb, p_now timestamptz)
returns table(ord int, outcome ledger_outcome)
language plpgsql as $$
declare uses ledger_use[]; times timestamptz[]; wallets uuid[]; due uuid[]; much uuid[]; n int;
  together int[]; replays int[]; singly int[];
begin
  uses := array(select u from jsonb_populate_recordset(null::ledger_use, p_uses) u);
  n := cardinality(uses);
  times := array_fill(p_now, array[n]);
  -- What is due is picked by FILTER: the planner would move a WHERE below the lock, and only due wallets would be locked.
  select coalesce(array_agg(account_id), '{}'), array_agg(account_id) filter (where next_due_at <= greatest(p_now, moved_at))
    into wallets, due
    from (select w.account_id, w.next_due_at, w.moved_at from billing_wallet w
          where w.account_id = any(array(select (u).account_id from unnest(uses) u)) for no key update skip locked) locked;
  if cardinality(due) > 0 then
    much := array(select a from unnest(due) a where ledger_much_due(a, p_now));
    wallets := array(select unnest(wallets) except select unnest(much));
    perform ledger_settle_locked(array(select unnest(due) except select unnest(much)), p_now);
  end if;
  if n < 48 then
    return query select x.ord, x.outcome
      from ledger_charge_each(uses, array(select generate_series(1, n)), times, wallets, true) x;
    return;
  end if;
  select coalesce(array_agg(x.ord) filter (where x.verdict = 'together'), '{}'),
         coalesce(array_agg(x.ord) filter (where x.verdict = 'replay'), '{}'),
         coalesce(array_agg(x.ord order by x.ord) filter (where x.verdict = 'singly'), '{}')
    into together, replays, singly from ledger_sort_uses(uses, wallets, p_now) x;
  return query select * from ledger_charge_set(uses, together, p_now);
  return query select i, ledger_replay((uses[i]).account_id, (uses[i]).key, (uses[i]).fingerprint) from unnest(replays) i;
  return query select x.ord, x.outcome from ledger_charge_each(uses, singly, times, wallets, true) x;
end $$;
