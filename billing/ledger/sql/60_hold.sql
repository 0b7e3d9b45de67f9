-- Holds: credits of concrete grants set aside, then captured, released, or given back at their end.
-- A hold keeps its credits past their grant's expiry; what comes back after it expires at once.

drop type if exists ledger_held cascade;
create type ledger_held as (
  status text, hold_id uuid, hold_status text, credits numeric(20,6), drawn jsonb, detail jsonb,
  expires_at timestamptz, created_at timestamptz, charge_id uuid, balance_after numeric(20,6), refusal jsonb);

create or replace function ledger_held_of(h billing_hold, p_status text, p_balance numeric) returns ledger_held
language sql immutable as $$
  select row(p_status, h.id, h.status, h.credits, h.drawn, h.detail, h.expires_at, h.created_at, h.charge_id,
             p_balance, null)::ledger_held
$$;

create or replace function ledger_hold_use(h billing_hold) returns ledger_use
language sql immutable as $$
  select row(h.account_id, h.id, h.idempotency_key, h.fingerprint, h.credits, h.service, h.covers, h.action,
    h.project_id, h.member_id, h.api_key_id, h.conversation, null, h.quota, h.quota_count, h.detail)::ledger_use
$$;

-- The writes of nearly every hold, where one grant has all of it and no threshold is crossed: what ledger_post,
-- ledger_save and ledger_count write, without passing rows between functions. Returns the balance.
create or replace function ledger_hold_plain(
  w billing_wallet, u ledger_use, p_grant uuid, p_expires timestamptz, p_now timestamptz) returns numeric
language plpgsql as $$
declare after_ numeric(20,6); hash_ bytea; left_ numeric(20,6) := w.balance - u.credits;
begin
  update billing_grant x
     set remaining = x.remaining - u.credits, held = x.held + u.credits, open = x.remaining > u.credits
   where x.account_id = u.account_id and x.id = p_grant returning x.remaining into strict after_;
  hash_ := sha256(w.head || convert_to(ledger_payload(u.account_id, w.seq + 1, 'hold', p_grant, -u.credits, 0, after_,
    left_, null, u.id, '', '', p_now), 'UTF8'));
  insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, hold_id,
    reason, actor, created_at, hash)
  values (u.account_id, w.seq + 1, 'hold', p_grant, -u.credits, 0, after_, left_, u.id, '', '', p_now, hash_);
  update billing_wallet x
     set balance = left_, held = w.held + u.credits, seq = w.seq + 1, head = hash_,
         next_due_at = least(w.next_due_at, p_expires)
   where x.account_id = u.account_id;
  return left_;
end $$;

create or replace function ledger_hold(u ledger_use, p_expires timestamptz, p_now timestamptz) returns ledger_held
language plpgsql as $$
declare w billing_wallet; h billing_hold; p record; o ledger_held; i int;
begin
  w := ledger_lock(u.account_id, p_now);
  if exists (select from billing_hold x where x.account_id = u.account_id and x.idempotency_key = u.key) then
    select * into h from billing_hold x where x.account_id = u.account_id and x.idempotency_key = u.key;
    return ledger_held_of(h, case when h.fingerprint = u.fingerprint then 'replayed' else 'reused' end, w.balance);
  end if;
  if w.limited then
    o.refusal := ledger_over_limit(u, p_now);
    if o.refusal is not null then o.status := 'limit'; return o; end if;
  end if;
  if u.credits > 0 and w.debt > 0 then
    o.status := 'debt'; o.refusal := jsonb_build_object('needed', u.credits::text, 'debt', w.debt::text); return o;
  end if;
  p := ledger_plan(u.account_id, u.credits, u.covers, p_now);
  if p.total < u.credits then
    o.status := 'insufficient';
    o.refusal := jsonb_build_object('needed', u.credits::text, 'available', p.total::text); return o;
  end if;
  insert into billing_hold(id, account_id, idempotency_key, fingerprint, credits, service, covers, action, project_id,
    member_id, api_key_id, conversation, detail, drawn, created_at, status, expires_at, quota, quota_count)
  values (u.id, u.account_id, u.key, u.fingerprint, u.credits, u.service, u.covers, u.action, u.project_id,
    u.member_id, u.api_key_id, u.conversation, u.detail, p.drawn, p_now, 'held', p_expires, u.quota, u.quota_count);
  if cardinality(p.grants) = 1 and (w.warn_below is null or w.is_low or w.balance - u.credits >= w.warn_below) then
    o.balance_after := ledger_hold_plain(w, u, p.grants[1], p_expires, p_now);
  else
    for i in 1 .. cardinality(p.grants) loop
      w := ledger_post(w, 'hold', p.grants[i], -p.takes[i], p_now, null, u.id);
    end loop;
    w.next_due_at := least(w.next_due_at, p_expires);
    w := ledger_save(w, p_now);
    o.balance_after := w.balance;
  end if;
  if w.limited then perform ledger_count(u, u.credits, u.quota_count, p_now); end if;
  o.status := 'held'; o.hold_id := u.id; o.hold_status := 'held'; o.credits := u.credits; o.drawn := p.drawn;
  o.detail := u.detail; o.expires_at := p_expires; o.created_at := p_now;
  return o;
end $$;

-- What came back into a grant: it expires at once where the grant's time is over, and repays debt first. The
-- grant may have been empty when the wallet was last settled, and so its end be due again.
create or replace function ledger_land(w billing_wallet, p_grant uuid, p_credits numeric, p_now timestamptz)
returns billing_wallet
language plpgsql as $$
declare g billing_grant;
begin
  select * into g from billing_grant x where x.account_id = w.account_id and x.id = p_grant;
  if g.expires_at <= p_now then
    if p_credits > 0 then w := ledger_post(w, 'expire', p_grant, -p_credits, p_now); end if;
  else
    w := ledger_repay(w, p_grant, p_credits, p_now);
    w.next_due_at := least(w.next_due_at, g.expires_at);
  end if;
  return w;
end $$;

-- Gives a whole hold back. The caller saves the wallet.
create or replace function ledger_give_back(w billing_wallet, h billing_hold, p_status text, p_at timestamptz, p_now timestamptz)
returns billing_wallet
language plpgsql as $$
declare d record;
begin
  for d in select (x->>'grant')::uuid as grant_id, (x->>'credits')::numeric as credits from jsonb_array_elements(h.drawn) x loop
    w := ledger_post(w, 'release', d.grant_id, d.credits, p_at, null, h.id);
    w := ledger_land(w, d.grant_id, d.credits, p_now);
  end loop;
  update billing_hold x set status = p_status, closed_at = p_at where x.account_id = h.account_id and x.id = h.id;
  if w.limited then perform ledger_uncount(ledger_hold_use(h), h.credits, h.quota_count, h.created_at, p_now); end if;
  return w;
end $$;

create or replace function ledger_release(p_account uuid, p_hold uuid, p_now timestamptz) returns ledger_held
language plpgsql as $$
declare w billing_wallet; h billing_hold; o ledger_held;
begin
  w := ledger_lock(p_account, p_now);
  select * into h from billing_hold x where x.account_id = p_account and x.id = p_hold;
  if not found then o.status := 'unknown'; return o; end if;
  if h.status <> 'held' then return ledger_held_of(h, 'closed', w.balance); end if;
  w := ledger_save(ledger_give_back(w, h, 'released', p_now, p_now), p_now);
  h.status := 'released';
  return ledger_held_of(h, 'released', w.balance);
end $$;

-- Why a hold cannot be captured: its capture is there already (the first answer), it is closed, or unknown.
create or replace function ledger_capture_refused(u ledger_use, p_hold uuid) returns ledger_outcome
language plpgsql stable as $$
declare h billing_hold; o ledger_outcome;
begin
  o := ledger_replay(u.account_id, u.key, u.fingerprint);
  if o.status is not null then return o; end if;
  select * into h from billing_hold x where x.account_id = u.account_id and x.id = p_hold;
  o.status := case when found then 'closed' else 'unknown' end;
  o.refusal := jsonb_build_object('status', h.status);
  return o;
end $$;

-- The capture of nearly every hold: all from one grant that is in force, no more used than was held, no debt. The
-- same rows as the general way, in fewer statements. False where it is not that.
create or replace function ledger_capture_plain(
  w billing_wallet, h billing_hold, u ledger_use, o ledger_outcome, p_now timestamptz) returns boolean
language plpgsql as $$
declare g record; released bytea; charged bytea; grant_ uuid := (h.drawn->0->>'grant')::uuid;
begin
  update billing_grant x
     set remaining = x.remaining + h.credits - u.credits, held = x.held - h.credits, open = x.remaining + h.credits > u.credits
   where x.account_id = u.account_id and x.id = grant_ and (x.expires_at is null or x.expires_at > p_now)
  returning x.remaining, x.expires_at into g;
  if not found then return false; end if;
  released := sha256(w.head || convert_to(ledger_payload(u.account_id, w.seq + 1, 'release', grant_, h.credits, 0,
    g.remaining + u.credits, o.balance_before, u.id, h.id, '', '', p_now), 'UTF8'));
  charged := sha256(released || convert_to(ledger_payload(u.account_id, w.seq + 2, 'charge', grant_, -u.credits, 0,
    g.remaining, o.balance_after, u.id, h.id, '', '', p_now), 'UTF8'));
  insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after,
    charge_id, hold_id, reason, actor, created_at, hash)
  values (u.account_id, w.seq + 1, 'release', grant_, h.credits, 0, g.remaining + u.credits, o.balance_before,
          u.id, h.id, '', '', p_now, released),
         (u.account_id, w.seq + 2, 'charge', grant_, -u.credits, 0, g.remaining, o.balance_after,
          u.id, h.id, '', '', p_now, charged);
  update billing_wallet x
     set balance = o.balance_after, held = w.held - h.credits, seq = w.seq + 2, head = charged,
         is_low = w.is_low and o.balance_after < w.warn_below, next_due_at = least(w.next_due_at, g.expires_at)
   where x.account_id = u.account_id;
  return true;
end $$;

-- Settles a hold with what was really used. First the held credits, in the order they were set aside; what is
-- above them comes from the balance as far as it goes, and the rest stands on the charge as uncollected.
create or replace function ledger_capture(u ledger_use, p_hold uuid, p_now timestamptz) returns ledger_outcome
language plpgsql as $$
declare w billing_wallet; h billing_hold; o ledger_outcome;
begin
  w := ledger_lock(u.account_id, p_now);
  -- under the lock, and before the hold: a key that has charged already gives that charge, whatever it names now
  if exists (select from billing_charge x where x.account_id = u.account_id and x.idempotency_key = u.key) then
    return ledger_replay(u.account_id, u.key, u.fingerprint);
  end if;
  update billing_hold x set status = 'captured', closed_at = p_now, charge_id = u.id
   -- (closed_at, not status: with status the planner takes the index of running holds, and all of them)
   where x.account_id = u.account_id and x.id = p_hold and x.closed_at is null returning * into h;
  if not found then return ledger_capture_refused(u, p_hold); end if;
  u.service := h.service; u.action := h.action; u.covers := h.covers; u.project_id := h.project_id;
  u.member_id := h.member_id; u.api_key_id := h.api_key_id; u.conversation := h.conversation;
  u.quota := coalesce(h.quota, u.quota);
  o.status := 'charged'; o.charge_id := u.id; o.credits := u.credits; o.uncollected := 0;
  o.detail := u.detail; o.covered_by := u.covered_by; o.created_at := p_now;
  o.balance_before := w.balance + h.credits; o.balance_after := o.balance_before - u.credits;
  o.drawn := jsonb_set(h.drawn, '{0,credits}', to_jsonb(u.credits::text));
  if not (jsonb_array_length(h.drawn) = 1 and u.credits > 0 and u.credits <= h.credits and w.debt = 0
          and ledger_capture_plain(w, h, u, o, p_now)) then
    o := ledger_capture_parts(w, h, u, o, p_now);
  end if;
  perform ledger_record_charge(u, o, h.id);
  if w.limited then perform ledger_recount(u, h, u.credits - o.uncollected, p_now); end if;
  return o;
end $$;

-- The general way: grant by grant, then the balance.
create or replace function ledger_capture_parts(
  w billing_wallet, h billing_hold, u ledger_use, o ledger_outcome, p_now timestamptz) returns ledger_outcome
language plpgsql as $$
declare d record; p record; i int; need numeric(20,6) := u.credits; take numeric(20,6);
begin
  o.drawn := '[]';
  for d in select x->>'grant' as grant_id, x->>'kind' as kind, (x->>'credits')::numeric as credits
             from jsonb_array_elements(h.drawn) x loop
    take := least(need, d.credits); need := need - take;
    w := ledger_post(w, 'release', d.grant_id::uuid, d.credits, p_now, u.id, h.id);
    if take > 0 then
      w := ledger_post(w, 'charge', d.grant_id::uuid, -take, p_now, u.id, h.id);
      o.drawn := o.drawn || jsonb_build_object('grant', d.grant_id, 'kind', d.kind, 'credits', take::numeric(20,6)::text);
    end if;
    w := ledger_land(w, d.grant_id::uuid, d.credits - take, p_now);
  end loop;
  if need > 0 then
    if w.debt = 0 then
      p := ledger_plan(u.account_id, need, u.covers, p_now);
      for i in 1 .. cardinality(p.grants) loop
        w := ledger_post(w, 'charge', p.grants[i], -p.takes[i], p_now, u.id, h.id);
      end loop;
      o.drawn := o.drawn || p.drawn; need := need - p.total;
    end if;
    o.uncollected := need;
  end if;
  o.balance_after := w.balance;
  perform ledger_save(w, p_now);
  return o;
end $$;
