-- Corrections: reversals, claw-backs with debt, their restoration, adjustments by staff. Each once for its key.
-- Invariant: a correction undoes or takes no more than there is; what was spent before it was taken back is debt.

-- The correction that this key has made before: 'replayed', or 'reused' where the body differs. Null when it is new.
create or replace function ledger_correction(p_account uuid, p_key text, p_fingerprint bytea) returns ledger_corrected
language plpgsql stable as $$
declare c billing_correction; o ledger_corrected;
begin
  select * into c from billing_correction x where x.account_id = p_account and x.idempotency_key = p_key;
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

create or replace function ledger_insert_correction(
  p_account uuid, p_id uuid, p_kind text, p_key text, p_fingerprint bytea, p_credits numeric, p_debt numeric,
  p_detail jsonb, p_balance numeric, p_now timestamptz, p_charge uuid default null, p_purchase uuid default null,
  p_reason text default '', p_actor text default '') returns ledger_corrected
language plpgsql as $$
declare o ledger_corrected;
begin
  insert into billing_correction(id, account_id, kind, idempotency_key, fingerprint, credits, debt, charge_id,
    purchase_id, detail, balance_after, reason, actor, created_at)
  values (p_id, p_account, p_kind, p_key, p_fingerprint, p_credits, p_debt, p_charge, p_purchase, p_detail,
    p_balance, p_reason, p_actor, p_now);
  o.status := 'done'; o.correction_id := p_id; o.credits := p_credits; o.debt := p_debt;
  o.balance_after := p_balance; o.detail := p_detail; o.created_at := p_now;
  return o;
end $$;

-- One line of a correction's detail.
create or replace function ledger_line(p_grant uuid, p_credits numeric, p_debt numeric) returns jsonb
language sql immutable as $$
  select jsonb_build_object('grant', p_grant, 'credits', p_credits::text, 'debt', p_debt::text)
$$;

-- The moves that return credits to the grant they were taken from, and the grant that receives them. Where that
-- grant has ended, they become a new adjustment grant for the same services, valid for 30 days.
create or replace function ledger_give_back(
  p_account uuid, p_kind text, p_grant uuid, p_credits numeric, p_debt numeric, p_key text, p_charge uuid,
  p_reason text, p_actor text, p_now timestamptz,
  out moves ledger_move[], out landed uuid, out due_at timestamptz, out debt numeric)
language plpgsql as $$
declare g billing_grant;
  -- the longest key that a caller may send would not fit with what is put before and behind it
  key_ text := case when length(p_key) <= 250 then p_key else encode(sha256(convert_to(p_key, 'UTF8')), 'hex') end;
begin
  select * into strict g from billing_grant x where x.account_id = p_account and x.id = p_grant;
  landed := p_grant; due_at := g.expires_at;
  if g.expires_at <= p_now then
    due_at := p_now + interval '30 days';
    landed := ledger_insert_grant(p_account, ledger_new_id(p_now), 'adjustment', 'Returned credits', p_credits, null,
      due_at, g.services, 'return:' || key_ || ':' || p_grant, p_now, p_purchase => g.purchase_id,
      p_reason => p_reason, p_actor => p_actor);
  end if;
  moves := ledger_move(p_kind, landed, p_credits, p_now, p_charge, reason => p_reason, actor => p_actor)
    || ledger_repay(p_debt, landed, p_credits, p_now);
  debt := p_debt - least(p_debt, p_credits);
end $$;

create or replace function ledger_reverse(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_charge uuid, p_credits numeric, p_reason text,
  p_actor text, p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; c billing_charge; d record; back record; moves ledger_move[] := '{}';
  open_ numeric(20,6); amount numeric(20,6); skip numeric(20,6); part numeric(20,6); need numeric(20,6);
  debt_ numeric(20,6); detail_ jsonb := '[]'; counted int;
begin
  w := ledger_lock(p_account, p_now);
  o := ledger_correction(p_account, p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  select * into c from billing_charge x where x.account_id = p_account and x.id = p_charge;
  if not found then return ledger_refused('unknown'); end if;
  open_ := c.credits - c.uncollected - c.returned;
  amount := coalesce(p_credits, open_);
  if amount <= 0 or amount > open_ then
    return ledger_refused('excess', jsonb_build_object('asked', amount::text, 'left', open_::text));
  end if;
  need := amount; skip := c.returned; debt_ := w.debt;
  -- the last drawn is returned first; what earlier reversals returned is skipped
  for d in select (x->>'grant')::uuid as grant_id, (x->>'credits')::numeric as credits
             from jsonb_array_elements(c.drawn) with ordinality a(x, n) order by n desc loop
    part := d.credits - least(skip, d.credits);
    skip := skip - least(skip, d.credits);
    part := least(part, need);
    if part > 0 then
      back := ledger_give_back(p_account, 'reverse', d.grant_id, part, debt_,
        p_key || ':' || jsonb_array_length(detail_), c.id, p_reason, p_actor, p_now);
      moves := moves || back.moves; debt_ := back.debt; need := need - part;
      w.next_due_at := least(w.next_due_at, back.due_at);
      detail_ := detail_ || ledger_line(back.landed, part, 0);
    end if;
  end loop;
  update billing_charge x set returned = x.returned + amount where x.account_id = p_account and x.id = c.id;
  if w.limited then
    perform ledger_roll_limits(p_account, p_now);
    counted := ledger_count(ledger_new_use(account_id => p_account, project_id => c.project_id,
      member_id => c.member_id, api_key_id => c.api_key_id), 0, 0, amount, 0, c.created_at);
  end if;
  w := ledger_write(w, moves, p_now);
  return ledger_insert_correction(p_account, p_id, 'reverse', p_key, p_fingerprint, amount, 0, detail_, w.balance, p_now,
    p_charge => c.id, p_reason => p_reason, p_actor => p_actor);
end $$;

-- Takes back what is unspent of a purchase's grants, all of them, before anything is owed. What was consumed becomes
-- debt, unless only the unspent is asked for. It is counted over the purchase as a whole: what a reversal returned,
-- even as a new grant, was not consumed: it counts for the grant that the charge drew on, not for the new one. Credits
-- that an earlier claw-back took or booked are not counted again, and credits that expired were never consumed.
create or replace function ledger_claw_back(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_purchase uuid, p_credits numeric,
  p_unspent_only boolean, p_reason text, p_actor text, p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; g record; moves ledger_move[] := '{}'; detail_ jsonb := '[]';
  take numeric(20,6); owe numeric(20,6); left_ numeric(20,6); due numeric(20,6);
  taken numeric(20,6) := 0; owed numeric(20,6) := 0;
begin
  w := ledger_lock(p_account, p_now);
  o := ledger_correction(p_account, p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  for g in
    with steps as (
      select case when e.kind = 'reverse' and x.idempotency_key like 'return:%' and e.seq = min(e.seq) over (partition by x.id)
             then right(x.idempotency_key, 36)::uuid else x.id end as grant_id, e.kind, e.credits, e.debt
      from billing_grant x join billing_entry e on e.account_id = p_account and e.grant_id = x.id
      where x.account_id = p_account and x.purchase_id = p_purchase
    ), sums as (
      select s.grant_id, coalesce(-sum(s.credits) filter (where s.kind in ('charge', 'reverse', 'repay')), 0)
             - coalesce(sum(s.debt) filter (where s.kind in ('claw_back', 'restore')), 0) as consumed
      from steps s group by s.grant_id
    )
    select x.id, x.remaining, greatest(x.held + coalesce(s.consumed, 0), 0) as spent,
           sum(x.remaining) over () as all_remaining, sum(x.held + coalesce(s.consumed, 0)) over () as all_spent
    from billing_grant x left join sums s on s.grant_id = x.id
    where x.account_id = p_account and x.purchase_id = p_purchase
    order by x.created_at, x.id
  loop
    left_ := coalesce(left_, least(g.all_remaining, p_credits));
    due := coalesce(due, case when p_unspent_only then 0 else greatest(least(g.all_spent, p_credits - left_), 0) end);
    take := least(g.remaining, left_); owe := least(g.spent, due);
    if take + owe > 0 then
      moves := moves || ledger_move('claw_back', g.id, -take, p_now, debt => owe, reason => p_reason, actor => p_actor);
      detail_ := detail_ || ledger_line(g.id, take, owe);
      taken := taken + take; owed := owed + owe; left_ := left_ - take; due := due - owe;
    end if;
  end loop;
  w := ledger_write(w, moves, p_now);
  return ledger_insert_correction(p_account, p_id, 'claw_back', p_key, p_fingerprint, taken, owed, detail_, w.balance,
    p_now, p_purchase => p_purchase, p_reason => p_reason, p_actor => p_actor);
end $$;

-- Undoes exactly one claw-back: credits taken are returned; debt that is still open is cancelled; debt that newer
-- credits have repaid meanwhile is returned as credits of the purchase.
create or replace function ledger_restore(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_undo text, p_reason text, p_actor text,
  p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; c billing_correction; d record; r record; moves ledger_move[] := '{}';
  debt_ numeric(20,6); lift numeric(20,6); back numeric(20,6); given numeric(20,6) := 0; lifted numeric(20,6) := 0;
  detail_ jsonb := '[]';
begin
  w := ledger_lock(p_account, p_now);
  o := ledger_correction(p_account, p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  select * into c from billing_correction x
   where x.account_id = p_account and x.idempotency_key = p_undo and x.kind = 'claw_back';
  if not found then return ledger_refused('unknown'); end if;
  if c.undone_by_id is not null then return ledger_refused('undone'); end if;
  debt_ := w.debt;
  for d in select (x->>'grant')::uuid as grant_id, (x->>'credits')::numeric as credits, (x->>'debt')::numeric as debt
             from jsonb_array_elements(c.detail) x loop
    lift := least(d.debt, debt_); back := d.credits + d.debt - lift; debt_ := debt_ - lift;
    if lift > 0 then
      moves := moves || ledger_move('restore', d.grant_id, 0, p_now, debt => -lift, reason => p_reason, actor => p_actor);
    end if;
    if back > 0 then
      r := ledger_give_back(p_account, 'restore', d.grant_id, back, debt_, p_key, null, p_reason, p_actor, p_now);
      moves := moves || r.moves; debt_ := r.debt; w.next_due_at := least(w.next_due_at, r.due_at);
    end if;
    detail_ := detail_ || ledger_line(d.grant_id, back, -lift);
    given := given + back; lifted := lifted + lift;
  end loop;
  update billing_correction x set undone_by_id = p_id where x.account_id = p_account and x.id = c.id;
  w := ledger_write(w, moves, p_now);
  return ledger_insert_correction(p_account, p_id, 'restore', p_key, p_fingerprint, given, -lifted, detail_, w.balance,
    p_now, p_purchase => c.purchase_id, p_reason => p_reason, p_actor => p_actor);
end $$;

-- Gives (positive) or takes (negative) credits. Taking more than there is is refused.
create or replace function ledger_adjust(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_credits numeric, p_reason text, p_actor text,
  p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; g record; moves ledger_move[] := '{}'; fresh uuid; detail_ jsonb := '[]';
  need numeric(20,6) := -p_credits; take numeric(20,6);
begin
  w := ledger_lock(p_account, p_now);
  o := ledger_correction(p_account, p_key, p_fingerprint);
  if o.status is not null then return o; end if;
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
    for g in select x.id, x.remaining from ledger_spendable(p_account, null, p_now) x order by x.place loop
      take := least(need, g.remaining); need := need - take;
      moves := moves || ledger_move('adjust', g.id, -take, p_now, reason => p_reason, actor => p_actor);
      detail_ := detail_ || ledger_line(g.id, -take, 0);
      exit when need = 0;
    end loop;
  end if;
  w := ledger_write(w, moves, p_now);
  return ledger_insert_correction(p_account, p_id, 'adjust', p_key, p_fingerprint, p_credits, 0, detail_, w.balance, p_now,
    p_reason => p_reason, p_actor => p_actor);
end $$;
