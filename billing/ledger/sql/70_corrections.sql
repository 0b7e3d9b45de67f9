-- Moves that mend: reversals, claw-backs with debt, their restoration, adjustments. Each once for its key.

drop type if exists ledger_corrected cascade;
create type ledger_corrected as (
  status text, correction_id uuid, credits numeric(20,6), debt numeric(20,6), balance_after numeric(20,6),
  detail jsonb, created_at timestamptz, refusal jsonb);

create or replace function ledger_correction(p_account uuid, p_key text, p_fingerprint bytea) returns ledger_corrected
language plpgsql stable as $$
declare c billing_correction;
begin
  select * into c from billing_correction x where x.account_id = p_account and x.idempotency_key = p_key;
  if not found then return null; end if;
  return row(case when c.fingerprint = p_fingerprint then 'replayed' else 'reused' end, c.id, c.credits, c.debt,
    c.balance_after, c.detail, c.created_at, null)::ledger_corrected;
end $$;

create or replace function ledger_refused(p_status text, p_refusal jsonb default null) returns ledger_corrected
language sql immutable as $$
  select row(p_status, null, null, null, null, null, null, p_refusal)::ledger_corrected
$$;

create or replace function ledger_record_correction(
  w billing_wallet, p_id uuid, p_kind text, p_key text, p_fingerprint bytea, p_credits numeric, p_debt numeric,
  p_detail jsonb, p_charge uuid, p_purchase uuid, p_reason text, p_actor text, p_now timestamptz) returns ledger_corrected
language plpgsql as $$
begin
  insert into billing_correction(id, account_id, kind, idempotency_key, fingerprint, credits, debt, charge_id,
    purchase_id, detail, balance_after, reason, actor, created_at)
  values (p_id, w.account_id, p_kind, p_key, p_fingerprint, p_credits, p_debt, p_charge, p_purchase, p_detail,
    w.balance, p_reason, p_actor, p_now);
  return row('done', p_id, p_credits, p_debt, w.balance, p_detail, p_now, null)::ledger_corrected;
end $$;

create or replace function ledger_fresh_grant(
  p_account uuid, p_kind text, p_label text, p_credits numeric, p_priority smallint, p_expires timestamptz,
  p_services text[], p_key text, p_allowance text, p_purchase uuid, p_reason text, p_actor text, p_now timestamptz)
returns uuid
language sql as $$
  insert into billing_grant(id, account_id, kind, label, credits, remaining, held, priority, expires_at, services,
    open, idempotency_key, fingerprint, allowance, purchase_id, reason, actor, created_at)
  values (ledger_new_id(p_now), p_account, p_kind, p_label, p_credits, 0, 0, p_priority, p_expires, p_services,
    false, p_key, '', p_allowance, p_purchase, p_reason, p_actor, p_now)
  returning id
$$;

-- Puts credits back where they came from. The rule for a grant whose time is over: the same credits come as a
-- fresh adjustment, for the same services, good for 30 days.
create or replace function ledger_return(
  w billing_wallet, p_kind text, p_grant uuid, p_credits numeric, p_key text, p_charge uuid, p_reason text,
  p_actor text, p_now timestamptz, out wallet billing_wallet, out landed uuid)
language plpgsql as $$
declare g billing_grant; until_ timestamptz := p_now + interval '30 days';
  -- a caller's longest key would not fit with what is put before and behind it
  key_ text := case when length(p_key) <= 250 then p_key else encode(sha256(convert_to(p_key, 'UTF8')), 'hex') end;
begin
  select * into strict g from billing_grant x where x.account_id = w.account_id and x.id = p_grant;
  landed := p_grant;
  if g.expires_at <= p_now then
    landed := ledger_fresh_grant(w.account_id, 'adjustment', 'Returned credits', p_credits,
      ledger_default_priority('adjustment'), until_, g.services, 'return:' || key_ || ':' || p_grant, '',
      g.purchase_id, p_reason, p_actor, p_now);
    g.expires_at := until_;
  end if;
  w.next_due_at := least(w.next_due_at, g.expires_at);
  w := ledger_post(w, p_kind, landed, p_credits, p_now, p_charge, null, 0, p_reason, p_actor);
  wallet := ledger_repay(w, landed, p_credits, p_now);
end $$;

create or replace function ledger_reverse(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_charge uuid, p_credits numeric, p_reason text,
  p_actor text, p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; c billing_charge; d record; r record;
  open_ numeric(20,6); amount numeric(20,6); skip numeric(20,6); part numeric(20,6); need numeric(20,6); detail_ jsonb := '[]';
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
  need := amount; skip := c.returned;
  -- the last drawn comes back first; what earlier reversals gave back is passed over
  for d in select (x->>'grant')::uuid as grant_id, (x->>'credits')::numeric as credits
             from jsonb_array_elements(c.drawn) with ordinality a(x, n) order by n desc loop
    part := d.credits - least(skip, d.credits);
    skip := skip - least(skip, d.credits);
    part := least(part, need);
    if part > 0 then
      r := ledger_return(w, 'reverse', d.grant_id, part, p_key || ':' || jsonb_array_length(detail_), c.id, p_reason, p_actor, p_now);
      w := r.wallet; need := need - part;
      detail_ := detail_ || jsonb_build_object('grant', r.landed, 'credits', part::text, 'debt', '0');
    end if;
  end loop;
  update billing_charge x set returned = x.returned + amount where x.account_id = p_account and x.id = c.id;
  if w.limited then
    perform ledger_uncount(row(c.account_id, c.id, '', '', c.credits, c.service, null, c.action, c.project_id, c.member_id,
      c.api_key_id, c.conversation, null, null, null, null)::ledger_use, amount, 0, c.created_at, p_now);
  end if;
  w := ledger_save(w, p_now);
  return ledger_record_correction(w, p_id, 'reverse', p_key, p_fingerprint, amount, 0, detail_, c.id, null, p_reason, p_actor, p_now);
end $$;

-- Takes back what is unspent of a purchase's grants, all of them, before anything is owed. What was consumed
-- becomes debt, unless only the unspent is asked for. It is counted over the purchase as a whole: what a reversal
-- gave back, even as a fresh grant, was not consumed. Credits that an earlier claw-back already took or booked are
-- not counted again, and credits that expired were never consumed.
create or replace function ledger_claw_back(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_purchase uuid, p_credits numeric,
  p_unspent_only boolean, p_reason text, p_actor text, p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; g record; take numeric(20,6); owe numeric(20,6); left_ numeric(20,6); due numeric(20,6);
  taken numeric(20,6) := 0; owed numeric(20,6) := 0; detail_ jsonb := '[]';
begin
  w := ledger_lock(p_account, p_now);
  o := ledger_correction(p_account, p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  for g in
    select x.id, x.remaining, greatest(x.held + s.consumed - s.booked, 0) as spent,
           sum(x.remaining) over () as all_remaining, sum(x.held + s.consumed - s.booked) over () as all_spent
    from billing_grant x, lateral (
      select coalesce(-sum(e.credits) filter (where e.kind in ('charge', 'reverse', 'repay')), 0) as consumed,
             coalesce(sum(e.debt) filter (where e.kind in ('claw_back', 'restore')), 0) as booked
      from billing_entry e where e.account_id = p_account and e.grant_id = x.id) s
    where x.account_id = p_account and x.purchase_id = p_purchase
    order by x.created_at, x.id
  loop
    left_ := coalesce(left_, least(g.all_remaining, p_credits));
    due := coalesce(due, case when p_unspent_only then 0 else greatest(least(g.all_spent, p_credits - left_), 0) end);
    take := least(g.remaining, left_); owe := least(g.spent, due);
    if take + owe > 0 then
      w := ledger_post(w, 'claw_back', g.id, -take, p_now, null, null, owe, p_reason, p_actor);
      detail_ := detail_ || jsonb_build_object('grant', g.id, 'credits', take::text, 'debt', owe::text);
      taken := taken + take; owed := owed + owe; left_ := left_ - take; due := due - owe;
    end if;
  end loop;
  w := ledger_save(w, p_now);
  return ledger_record_correction(w, p_id, 'claw_back', p_key, p_fingerprint, taken, owed, detail_, null, p_purchase, p_reason, p_actor, p_now);
end $$;

-- Undoes exactly one claw-back: what was taken comes back; debt that still stands is lifted; debt that newer
-- credits have repaid meanwhile comes back as credits of the purchase.
create or replace function ledger_restore(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_undo text, p_reason text, p_actor text,
  p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; c billing_correction; d record; r record; lift numeric(20,6); back numeric(20,6);
  given numeric(20,6) := 0; lifted numeric(20,6) := 0; detail_ jsonb := '[]';
begin
  w := ledger_lock(p_account, p_now);
  o := ledger_correction(p_account, p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  select * into c from billing_correction x
   where x.account_id = p_account and x.idempotency_key = p_undo and x.kind = 'claw_back';
  if not found then return ledger_refused('unknown'); end if;
  if c.undone_by_id is not null then return ledger_refused('undone'); end if;
  for d in select (x->>'grant')::uuid as grant_id, (x->>'credits')::numeric as credits, (x->>'debt')::numeric as debt
             from jsonb_array_elements(c.detail) x loop
    lift := least(d.debt, w.debt); back := d.credits + d.debt - lift;
    if lift > 0 then
      w := ledger_post(w, 'restore', d.grant_id, 0, p_now, null, null, -lift, p_reason, p_actor);
    end if;
    if back > 0 then
      r := ledger_return(w, 'restore', d.grant_id, back, p_key, null, p_reason, p_actor, p_now);
      w := r.wallet;
    end if;
    detail_ := detail_ || jsonb_build_object('grant', d.grant_id, 'credits', back::numeric(20,6)::text, 'debt', (-lift)::numeric(20,6)::text);
    given := given + back; lifted := lifted + lift;
  end loop;
  update billing_correction x set undone_by_id = p_id where x.account_id = p_account and x.id = c.id;
  w := ledger_save(w, p_now);
  return ledger_record_correction(w, p_id, 'restore', p_key, p_fingerprint, given, -lifted, detail_, null, c.purchase_id, p_reason, p_actor, p_now);
end $$;

-- Staff give or take credits, with a reason. Taking more than there is, is refused.
create or replace function ledger_adjust(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_credits numeric, p_reason text, p_actor text,
  p_now timestamptz) returns ledger_corrected
language plpgsql as $$
declare w billing_wallet; o ledger_corrected; g record; need numeric(20,6) := -p_credits; take numeric(20,6); fresh uuid; detail_ jsonb := '[]';
begin
  w := ledger_lock(p_account, p_now);
  o := ledger_correction(p_account, p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  if p_credits > 0 then
    fresh := ledger_fresh_grant(p_account, 'adjustment', 'Adjustment', p_credits, ledger_default_priority('adjustment'),
      null, null, 'adjust:' || p_key, '', null, p_reason, p_actor, p_now);
    w := ledger_post(w, 'adjust', fresh, p_credits, p_now, null, null, 0, p_reason, p_actor);
    w := ledger_repay(w, fresh, p_credits, p_now);
    detail_ := jsonb_build_array(jsonb_build_object('grant', fresh, 'credits', p_credits::text, 'debt', '0'));
  else
    if need > w.balance then
      return ledger_refused('insufficient', jsonb_build_object('needed', need::text, 'available', w.balance::text));
    end if;
    for g in select x.id, x.remaining from billing_grant x where x.account_id = p_account and x.open
              order by x.priority, x.expires_at, x.created_at, x.id loop
      take := least(need, g.remaining); need := need - take;
      w := ledger_post(w, 'adjust', g.id, -take, p_now, null, null, 0, p_reason, p_actor);
      detail_ := detail_ || jsonb_build_object('grant', g.id, 'credits', (-take)::numeric(20,6)::text, 'debt', '0');
      exit when need = 0;
    end loop;
  end if;
  w := ledger_save(w, p_now);
  return ledger_record_correction(w, p_id, 'adjust', p_key, p_fingerprint, p_credits, 0, detail_, null, null, p_reason, p_actor, p_now);
end $$;
