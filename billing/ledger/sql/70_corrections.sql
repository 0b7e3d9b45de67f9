-- Corrections: reversals, claw-backs with debt, their restoration, adjustments by staff. Each once for its kind and key.
-- Invariant: a correction undoes or takes no more than there is; what was spent before it was taken back is debt.
--
-- grant.spent is the sum of what a grant's credits were consumed for, less what claw-backs have booked as debt. It may be
-- below zero: a charge was reversed after its credits had been booked as debt. The audit compares it with the entries:
--
--   select g.id, coalesce(sum(case
--       when e.kind in ('charge', 'repay', 'reverse') then -e.credits
--       when e.kind in ('claw_back', 'restore') then -e.debt else 0 end), 0) as spent
--   from billing_grant g left join lateral (
--     select e.kind, e.credits, e.debt from billing_entry e
--      where e.account_id = g.account_id and e.grant_id = g.id
--        and not (e.kind = 'reverse' and e.seq = g.first_seq and g.idempotency_key like 'return:%')
--     union all  -- a reversal that landed in a new grant, because the grant it was charged to had ended
--     select e.kind, e.credits, e.debt from billing_grant r
--       join billing_entry e on e.account_id = r.account_id and e.grant_id = r.id and e.seq = r.first_seq and e.kind = 'reverse'
--      where r.account_id = g.account_id and r.idempotency_key like 'return:%' and right(r.idempotency_key, 36) = g.id::text
--   ) e on true
--   group by g.id
--
-- A purchase has granted = remaining + held + spent + taken back + owed + expired + adjusted, summed over its grants (a grant of
-- returned credits counts with what it holds, not as granted). So remaining + held + spent is the most that a claw-back may
-- still take or book.

-- The correction of this kind that the key has made before: 'replayed', or 'reused' where the body differs. Null when it
-- is new.
create or replace function ledger_correction(p_account uuid, p_kind text, p_key text, p_fingerprint bytea)
returns ledger_corrected
language plpgsql stable as $$
declare c billing_correction; o ledger_corrected;
begin
  select * into c from billing_correction x
   where x.account_id = p_account and x.kind = p_kind and x.idempotency_key = p_key;
  if not found then return null; end if;
  o.status := case when c.fingerprint = p_fingerprint then 'replayed' else 'reused' end;
  o.correction_id := c.id; o.credits := c.credits; o.debt := c.debt; o.balance_after := c.balance_after;
  o.detail := c.detail; o.created_at := c.created_at;
  return o;
end $$;

create or replace function ledger_refused(p_status text, p_refusal jsonb default null) returns ledger_corrected
language plpgsql immutable as $$
declare o ledger_corrected;
begin
  o.status := p_status; o.refusal := p_refusal;
  return o;
end $$;

-- Inserts the correction whose moves the caller has written, and the entry that carries its digest.
create or replace function ledger_insert_correction(
  p_account uuid, p_id uuid, p_kind text, p_key text, p_fingerprint bytea, p_credits numeric, p_debt numeric,
  p_detail jsonb, p_balance numeric, p_now timestamptz, p_charge uuid default null, p_purchase uuid default null,
  p_reason text default '', p_actor text default '') returns ledger_corrected
language plpgsql as $$
declare o ledger_corrected; w billing_wallet; digest_ bytea;
begin
  insert into billing_correction(id, account_id, kind, idempotency_key, fingerprint, credits, debt, charge_id,
    purchase_id, detail, balance_after, reason, actor, created_at)
  values (p_id, p_account, p_kind, p_key, p_fingerprint, p_credits, p_debt, p_charge, p_purchase, p_detail,
    p_balance, p_reason, p_actor, p_now) returning ledger_correction_digest(billing_correction) into digest_;
  select * into w from billing_wallet x where x.account_id = p_account;
  w := ledger_write(w, array[ledger_move('correct', null, 0, p_now, p_charge, reason => p_reason, actor => p_actor,
    digest => digest_)], p_now);
  o.status := 'done'; o.correction_id := p_id; o.credits := p_credits; o.debt := p_debt;
  o.balance_after := p_balance; o.detail := p_detail; o.created_at := p_now;
  return o;
end $$;

-- One line of a correction's detail.
create or replace function ledger_line(p_grant uuid, p_credits numeric, p_debt numeric) returns jsonb
language sql stable as $$
  select jsonb_build_object('grant', p_grant, 'credits', p_credits::text, 'debt', p_debt::text)
$$;

-- The moves that return credits to the grants they were taken from, part by part. Where such a grant has ended, they become a
-- new adjustment grant for the same services, valid for 30 days. All repay debt first. `landed` are the grants that receive
-- the parts, `due_at` is the first end of one of them. p_key, with the number of the part, makes the new grants' keys.
create or replace function ledger_give_back(
  p_account uuid, p_kind text, p_grants uuid[], p_credits numeric[], p_debt numeric, p_key text, p_charge uuid,
  p_reason text, p_actor text, p_now timestamptz,
  out moves ledger_move[], out landed uuid[], out due_at timestamptz)
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare
  -- the longest key that a caller may send would not fit with what is put before and behind it
  key_ text := p_kind || ':' || case when length(p_key) <= 200 then p_key else encode(sha256(convert_to(p_key, 'UTF8')), 'hex') end;
begin
  with parts as materialized (
    select a.n, a.grant_id, a.credits, sum(a.credits) over (order by a.n) - a.credits as before, g.services, g.purchase_id,
           coalesce(g.expires_at <= p_now, false) as ended, ledger_new_id(p_now) as fresh,
           case when g.expires_at <= p_now then p_now + interval '30 days' else g.expires_at end as expires_at
    from unnest(p_grants, p_credits) with ordinality a(grant_id, credits, n)
    join billing_grant g on g.account_id = p_account and g.id = a.grant_id
  ), opened as materialized (
    select p.n, case when p.ended then ledger_insert_grant(p_account, p.fresh, 'adjustment', 'Returned credits', p.credits,
             null, p.expires_at, p.services, 'return:' || key_ || ':' || p.n || ':' || p.grant_id, p_now,
             p_purchase => p.purchase_id, p_reason => p_reason, p_actor => p_actor)
           else p.grant_id end as landed
    from parts p
  )
  select array_agg(m.move order by p.n, m.step), (array_agg(o.landed order by p.n) filter (where m.step = 1)),
         min(p.expires_at)
    into strict moves, landed, due_at
  from parts p join opened o on o.n = p.n, lateral (
    select 1 as step, ledger_move(p_kind, o.landed, p.credits, p_now, p_charge, reason => p_reason, actor => p_actor) as move
    union all
    select 2, r from unnest(ledger_repay(p_debt - p.before, o.landed, p.credits, p_now)) r) m;
  if cardinality(landed) is distinct from cardinality(p_grants) then
    raise exception 'a grant of account % is missing', p_account using errcode = 'no_data_found';
  end if;
end $$;

-- How much of a charge's count a quota has back when so many of its credits have been returned: all of it with the last
-- credit, before that their share in whole counts.
create or replace function ledger_counts_returned(c billing_charge, p_returned numeric) returns numeric
language sql immutable as $$
  select case when p_returned = c.credits - c.uncollected then coalesce(c.quota_count, 0)
         else floor(coalesce(c.quota_count, 0) * p_returned / (c.credits - c.uncollected)) end
$$;

create or replace function ledger_reverse(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_charge uuid, p_credits numeric, p_reason text,
  p_actor text, p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; c billing_charge; back record; open_ numeric(20,6); amount numeric(20,6);
  grants_ uuid[]; parts_ numeric[]; counted int; free boolean;
begin
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  o := ledger_correction(p_account, 'reverse', p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  select * into c from billing_charge x where x.account_id = p_account and x.id = p_charge;
  if not found then return ledger_refused('unknown'); end if;
  open_ := c.credits - c.uncollected - c.returned;
  amount := coalesce(p_credits, open_);
  -- a charge of no credits has only its quota's count to return, once
  free := amount = 0 and c.credits = 0 and coalesce(c.quota_count, 0) > 0 and not exists (select from billing_correction x
    where x.account_id = p_account and x.kind = 'reverse' and x.charge_id = c.id);
  if not free and (amount <= 0 or amount > open_) then
    return ledger_refused('excess', jsonb_build_object('asked', amount::text, 'left', open_::text));
  end if;
  -- the last drawn is returned first; what earlier reversals returned is skipped
  with lines as (
    select (x->>'grant')::uuid as grant_id, (x->>'credits')::numeric as credits, n,
           sum((x->>'credits')::numeric) over (order by n desc) as upto
    from jsonb_array_elements(c.drawn) with ordinality a(x, n)
  ), parts as (
    select n, grant_id, least(upto, c.returned + amount) - greatest(upto - credits, c.returned) as part from lines
  )
  select array_agg(grant_id order by n desc), array_agg(part order by n desc) into grants_, parts_ from parts where part > 0;
  if not free then
    back := ledger_give_back(p_account, 'reverse', grants_, parts_, w.debt, p_key, c.id, p_reason, p_actor, p_now);
    w.next_due_at := least(w.next_due_at, back.due_at);
  end if;
  -- also where the credits landed in a new grant: the grant that the charge drew on has no longer spent them
  update billing_grant x set spent = x.spent - y.part
    from (select grant_id, sum(part) as part from unnest(grants_, parts_) a(grant_id, part) group by grant_id) y
   where x.account_id = p_account and x.id = y.grant_id;
  update billing_charge x set returned = x.returned + amount where x.account_id = p_account and x.id = c.id;
  if c.created_at < w.summed_at then perform ledger_unsum(c, amount); end if;
  if w.limited then
    perform ledger_roll_limits(p_account, p_now, ledger_limit_subjects(c.project_id, c.member_id, c.api_key_id, c.quota));
    counted := ledger_count(ledger_new_use(account_id => p_account, project_id => c.project_id,
      member_id => c.member_id, api_key_id => c.api_key_id, quota => c.quota), 0, 0, amount,
      case when free then c.quota_count else ledger_counts_returned(c, c.returned + amount) - ledger_counts_returned(c, c.returned) end,
      c.created_at);
  end if;
  if free then
    return ledger_insert_correction(p_account, p_id, 'reverse', p_key, p_fingerprint, 0, 0, '[]', w.balance, p_now,
      p_charge => c.id, p_reason => p_reason, p_actor => p_actor);
  end if;
  w := ledger_write(w, back.moves, p_now);
  return ledger_insert_correction(p_account, p_id, 'reverse', p_key, p_fingerprint, amount, 0,
    (select jsonb_agg(ledger_line(x.landed, x.part, 0) order by x.n) from unnest(back.landed, parts_) with ordinality x(landed, part, n)),
    w.balance, p_now, p_charge => c.id, p_reason => p_reason, p_actor => p_actor);
end $$;

-- Takes back what is unspent of a purchase's grants, all of them, before anything is owed. What was consumed or is held
-- becomes debt, unless only the unspent is asked for. Both are counted over the purchase as a whole, so that all its
-- claw-backs together never take or book more than it granted and did not let expire: credits of a reversed use that an
-- earlier claw-back had booked as debt are not taken again. p_grants, where it is not null, are taken for the purchase's grants:
-- a plan's payment has none of its own, its allowances were granted.
create or replace function ledger_claw_back(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_purchase uuid, p_credits numeric,
  p_unspent_only boolean, p_reason text, p_actor text, p_now timestamptz, p_grants uuid[] default null) returns ledger_corrected
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare w billing_wallet; o ledger_corrected; c record;
begin
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  o := ledger_correction(p_account, 'claw_back', p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  with grants as (
    select x.id, x.created_at, x.remaining, greatest(x.held + x.spent, 0) as spent,
           sum(x.remaining) over () as all_remaining, sum(x.held + x.spent) over () as all_spent,
           sum(x.remaining) over before as remaining_before, sum(greatest(x.held + x.spent, 0)) over before as spent_before
    from billing_grant x
    where x.account_id = p_account and (p_grants is null and x.purchase_id = p_purchase or x.id = any(p_grants))
    window before as (order by x.created_at, x.id rows between unbounded preceding and 1 preceding)
  ), sums as (
    select g.*, s.take_all, case when p_unspent_only then 0 else greatest(least(g.all_spent, p_credits - s.take_all), 0) end as owe_all
    from grants g, lateral (
      select greatest(least(g.all_remaining + least(g.all_spent, 0), p_credits), 0) as take_all) s
  ), parts as (
    select s.id, s.created_at,
           greatest(least(s.remaining, s.take_all - coalesce(s.remaining_before, 0)), 0)::numeric(20,6) as take,
           greatest(least(s.spent, s.owe_all - coalesce(s.spent_before, 0)), 0)::numeric(20,6) as owe
    from sums s
  )
  select coalesce(array_agg(ledger_move('claw_back', p.id, -p.take, p_now, debt => p.owe, reason => p_reason, actor => p_actor)
                            order by p.created_at, p.id), '{}') as moves,
         coalesce(jsonb_agg(ledger_line(p.id, p.take, p.owe) order by p.created_at, p.id), '[]') as detail,
         coalesce(sum(p.take), 0) as taken, coalesce(sum(p.owe), 0) as owed
    into c from parts p where p.take + p.owe > 0;
  w := ledger_write(w, c.moves, p_now);
  return ledger_insert_correction(p_account, p_id, 'claw_back', p_key, p_fingerprint, c.taken, c.owed, c.detail, w.balance,
    p_now, p_purchase => p_purchase, p_reason => p_reason, p_actor => p_actor);
end $$;

-- Undoes exactly one claw-back: debt that is still open is cancelled; credits taken, and debt that newer credits have
-- repaid meanwhile, are returned as credits of the purchase.
create or replace function ledger_restore(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_undo text, p_reason text, p_actor text,
  p_now timestamptz) returns ledger_corrected
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare w billing_wallet; o ledger_corrected; c billing_correction; r record; back record;
begin
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  o := ledger_correction(p_account, 'restore', p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  select * into c from billing_correction x
   where x.account_id = p_account and x.kind = 'claw_back' and x.idempotency_key = p_undo;
  if not found then return ledger_refused('unknown'); end if;
  if c.undone_by_id is not null then return ledger_refused('undone'); end if;
  with lines as (
    select n, (x->>'grant')::uuid as grant_id, (x->>'credits')::numeric as credits, (x->>'debt')::numeric as debt,
           sum((x->>'debt')::numeric) over (order by n) as upto
    from jsonb_array_elements(c.detail) with ordinality a(x, n)
  ), parts as (
    select l.n, l.grant_id, l.lift, l.credits + l.debt - l.lift as returned
    from (select *, greatest(least(debt, w.debt - upto + debt), 0)::numeric(20,6) as lift from lines) l
  )
  select coalesce(array_agg(ledger_move('restore', grant_id, 0, p_now, debt => -lift, reason => p_reason, actor => p_actor) order by n)
                  filter (where lift > 0), '{}') as moves,
         array_agg(grant_id order by n) filter (where returned > 0) as grants,
         array_agg(returned order by n) filter (where returned > 0) as credits,
         coalesce(jsonb_agg(ledger_line(grant_id, returned, -lift) order by n), '[]') as detail,
         coalesce(sum(returned), 0) as given, coalesce(sum(lift), 0) as lifted
    into r from parts;
  if r.given > 0 then
    back := ledger_give_back(p_account, 'restore', r.grants, r.credits, w.debt - r.lifted, p_key, null, p_reason, p_actor, p_now);
    r.moves := r.moves || back.moves; w.next_due_at := least(w.next_due_at, back.due_at);
  end if;
  update billing_correction x set undone_by_id = p_id where x.account_id = p_account and x.id = c.id;
  w := ledger_write(w, r.moves, p_now);
  return ledger_insert_correction(p_account, p_id, 'restore', p_key, p_fingerprint, r.given, -r.lifted, r.detail, w.balance,
    p_now, p_purchase => c.purchase_id, p_reason => p_reason, p_actor => p_actor);
end $$;

-- Gives (positive) or takes (negative) credits. Taking more than there is is refused, and giving more than the largest
-- balance. Taking works also from a wallet of an earlier version that is too full to be settled: what would be given next
-- does not fit numeric(20,6). It is then dated at the newest entry, before what is due, and the next move settles.
create or replace function ledger_adjust(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_credits numeric, p_reason text, p_actor text,
  p_now timestamptz) returns ledger_corrected
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare w billing_wallet; o ledger_corrected; moves ledger_move[]; fresh uuid; detail_ jsonb;
  need numeric(20,6) := -p_credits;
begin
  begin
    w := ledger_lock(p_account, p_now);
  exception when numeric_value_out_of_range then
    if p_credits > 0 then raise; end if;
    select * into strict w from billing_wallet x where x.account_id = p_account for no key update;
    p_now := coalesce(w.moved_at, p_now);
  end;
  p_now := greatest(p_now, w.moved_at);
  o := ledger_correction(p_account, 'adjust', p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  if p_credits > 0 and w.balance + w.held + p_credits - least(w.debt, p_credits) > ledger_largest_balance() then
    return ledger_refused('too_large');
  end if;
  if p_credits > 0 then
    fresh := ledger_insert_grant(p_account, ledger_new_id(p_now), 'adjustment', 'Adjustment', p_credits, null, null, null,
      'adjust:' || p_key, p_now, p_reason => p_reason, p_actor => p_actor);
    moves := ledger_move('adjust', fresh, p_credits, p_now, reason => p_reason, actor => p_actor)
      || ledger_repay(w.debt, fresh, p_credits, p_now);
    detail_ := jsonb_build_array(ledger_line(fresh, p_credits, 0));
  else
    if need > w.balance then
      return ledger_refused('insufficient', jsonb_build_object('needed', need::text, 'available', w.balance::text));
    end if;
    with lined as (
      select x.*, sum(x.remaining) over (order by x.place) - x.remaining as before
      from ledger_spendable(p_account, null, p_now) x
    )
    select array_agg(ledger_move('adjust', l.id, -p.take, p_now, reason => p_reason, actor => p_actor) order by l.place),
           jsonb_agg(ledger_line(l.id, -p.take, 0) order by l.place)
      into moves, detail_
    from lined l, lateral (select least(l.remaining, need - l.before)::numeric(20,6) as take) p where p.take > 0;
  end if;
  w := ledger_write(w, moves, p_now);
  return ledger_insert_correction(p_account, p_id, 'adjust', p_key, p_fingerprint, p_credits, 0, detail_, w.balance, p_now,
    p_reason => p_reason, p_actor => p_actor);
end $$;
