-- Credits out: one use, charged exactly once for its key, never beyond what the wallet has.

drop type if exists ledger_use cascade;
create type ledger_use as (
  account_id uuid, id uuid, key text, fingerprint bytea, credits numeric(20,6), service text, covers text[],
  action text, project_id uuid, member_id uuid, api_key_id uuid, conversation text, covered_by text,
  quota text, quota_count numeric(20,6), detail jsonb);

drop type if exists ledger_outcome cascade;
create type ledger_outcome as (
  status text, charge_id uuid, credits numeric(20,6), uncollected numeric(20,6),
  balance_before numeric(20,6), balance_after numeric(20,6), drawn jsonb, detail jsonb, covered_by text,
  created_at timestamptz, refusal jsonb);

-- The first answer again, or 'reused' where the key came with another body. Null when the key is new.
create or replace function ledger_replay(p_account uuid, p_key text, p_fingerprint bytea) returns ledger_outcome
language plpgsql stable as $$
declare c billing_charge; o ledger_outcome;
begin
  select * into c from billing_charge x where x.account_id = p_account and x.idempotency_key = p_key;
  if not found then return null; end if;
  o.status := case when c.fingerprint = p_fingerprint then 'replayed' else 'reused' end;
  o.charge_id := c.id; o.credits := c.credits; o.uncollected := c.uncollected;
  o.balance_before := c.balance_before; o.balance_after := c.balance_after;
  o.drawn := c.drawn; o.detail := c.detail; o.covered_by := c.covered_by; o.created_at := c.created_at;
  return o;
end $$;

-- Which grants would pay for a use, in spending order: grants in force that cover it; lower priority number
-- first, then sooner expiry (never-expiring last), then older, then id. Takes at most p_credits.
create or replace function ledger_plan(p_account uuid, p_credits numeric, p_covers text[], p_now timestamptz,
  out grants uuid[], out takes numeric[], out total numeric, out drawn jsonb)
language plpgsql stable as $$
declare g record; take numeric(20,6); need numeric(20,6) := p_credits;
begin
  total := 0; drawn := '[]'; grants := '{}'; takes := '{}';
  if need <= 0 then return; end if;
  -- nearly always the first grant pays for the whole use
  select x.id, x.kind, x.remaining into g from billing_grant x
   where x.account_id = p_account and x.open and (x.expires_at is null or x.expires_at > p_now)
     and (x.services is null or x.services && p_covers)
   order by x.priority, x.expires_at, x.created_at, x.id limit 1;
  if g.remaining >= need then
    grants := array[g.id]; takes := array[need]; total := need;
    drawn := jsonb_build_array(jsonb_build_object('grant', g.id, 'kind', g.kind, 'credits', need::text));
    return;
  end if;
  for g in
    select x.id, x.kind, x.remaining from billing_grant x
    where x.account_id = p_account and x.open and (x.expires_at is null or x.expires_at > p_now)
      and (x.services is null or x.services && p_covers)
    order by x.priority, x.expires_at, x.created_at, x.id
  loop
    take := least(need, g.remaining);
    grants := grants || g.id; takes := takes || take; total := total + take;
    drawn := drawn || jsonb_build_object('grant', g.id, 'kind', g.kind, 'credits', take::text);
    need := need - take;
    exit when need = 0;
  end loop;
end $$;

-- False when the key has been charged meanwhile. (PL/pgSQL even where plain SQL would do: it keeps its plans, an SQL function is planned at every call.)
create or replace function ledger_record_charge(u ledger_use, o ledger_outcome, p_hold uuid) returns boolean
language plpgsql as $$
begin
  insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id,
    member_id, api_key_id, conversation, detail, drawn, created_at, covered_by, uncollected, returned, hold_id,
    balance_before, balance_after)
  values (u.id, u.account_id, u.key, u.fingerprint, o.credits, u.service, u.action, u.project_id, u.member_id,
    u.api_key_id, u.conversation, o.detail, o.drawn, o.created_at, o.covered_by, o.uncollected, 0, p_hold,
    o.balance_before, o.balance_after)
  on conflict (account_id, idempotency_key) do nothing;
  return found;
end $$;

-- The writes of nearly every charge, where one grant pays for all of it and no threshold is crossed: what
-- ledger_record_charge, ledger_post, ledger_save and ledger_count write, without passing rows between functions,
-- so that a hot wallet is locked for less. (One statement with a CTE for each write was measured: a half slower.)
-- False when the key has been charged meanwhile.
create or replace function ledger_write_plain(
  w billing_wallet, u ledger_use, o ledger_outcome, p_grant uuid, p_now timestamptz) returns boolean
language plpgsql as $$
declare after_ numeric(20,6); hash_ bytea;
begin
  insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id,
    member_id, api_key_id, conversation, detail, drawn, created_at, covered_by, uncollected, returned,
    balance_before, balance_after)
  values (u.id, u.account_id, u.key, u.fingerprint, u.credits, u.service, u.action, u.project_id, u.member_id,
    u.api_key_id, u.conversation, u.detail, o.drawn, p_now, u.covered_by, 0, 0, o.balance_before, o.balance_after)
  on conflict (account_id, idempotency_key) do nothing;
  if not found then return false; end if;
  update billing_grant x set remaining = x.remaining - u.credits, open = x.remaining > u.credits
   where x.account_id = u.account_id and x.id = p_grant returning x.remaining into strict after_;
  hash_ := sha256(w.head || convert_to(ledger_payload(u.account_id, w.seq + 1, 'charge', p_grant, -u.credits, 0, after_,
    o.balance_after, u.id, null, '', '', p_now), 'UTF8'));
  insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id,
    reason, actor, created_at, hash)
  values (u.account_id, w.seq + 1, 'charge', p_grant, -u.credits, 0, after_, o.balance_after, u.id, '', '', p_now, hash_);
  update billing_wallet x set balance = o.balance_after, seq = w.seq + 1, head = hash_ where x.account_id = u.account_id;
  if w.limited then
    update billing_limit x set used = x.used + case when x.kind = 'quota' then coalesce(u.quota_count, 0) else u.credits end
     where x.account_id = u.account_id and ledger_limit_matches(x, u);
  end if;
  return true;
end $$;

-- A refusal, unless the same key was charged while we waited for the lock: then its answer.
create or replace function ledger_refuse(u ledger_use, p_status text, p_refusal jsonb) returns ledger_outcome
language plpgsql stable as $$
declare o ledger_outcome;
begin
  o := ledger_replay(u.account_id, u.key, u.fingerprint);
  if o.status is null then o.status := p_status; o.refusal := p_refusal; end if;
  return o;
end $$;

-- Charges on a wallet that the caller has locked and settled. A refusal changes nothing. The caller has looked
-- for the key, but perhaps before it had the lock: the unique key decides, and so a refusal looks again.
create or replace function ledger_charge_locked(w billing_wallet, u ledger_use, p_now timestamptz) returns ledger_outcome
language plpgsql as $$
declare o ledger_outcome; g record; p record; i int;
begin
  if w.limited then
    o.refusal := ledger_over_limit(u, p_now);
    if o.refusal is not null then return ledger_refuse(u, 'limit', o.refusal); end if;
  end if;
  if u.credits > 0 and w.debt > 0 then
    return ledger_refuse(u, 'debt', jsonb_build_object('needed', u.credits::text, 'debt', w.debt::text));
  end if;
  o.status := 'charged'; o.charge_id := u.id; o.credits := u.credits; o.uncollected := 0;
  o.balance_before := w.balance; o.balance_after := w.balance - u.credits;
  o.detail := u.detail; o.covered_by := u.covered_by; o.created_at := p_now;
  select x.id, x.kind, x.remaining into g from billing_grant x
   where x.account_id = u.account_id and x.open and (x.expires_at is null or x.expires_at > p_now)
     and (x.services is null or x.services && u.covers)
   order by x.priority, x.expires_at, x.created_at, x.id limit 1;
  if u.credits > 0 and g.remaining >= u.credits and (w.warn_below is null or w.is_low or o.balance_after >= w.warn_below) then
    o.drawn := jsonb_build_array(jsonb_build_object('grant', g.id, 'kind', g.kind, 'credits', u.credits::text));
    if ledger_write_plain(w, u, o, g.id, p_now) then return o; end if;
    return ledger_replay(u.account_id, u.key, u.fingerprint);
  end if;
  p := ledger_plan(u.account_id, u.credits, u.covers, p_now);
  if p.total < u.credits then
    return ledger_refuse(u, 'insufficient', jsonb_build_object('needed', u.credits::text, 'available', p.total::text));
  end if;
  o.drawn := p.drawn;
  if not ledger_record_charge(u, o, null) then return ledger_replay(u.account_id, u.key, u.fingerprint); end if;
  for i in 1 .. cardinality(p.grants) loop
    w := ledger_post(w, 'charge', p.grants[i], -p.takes[i], p_now, u.id);
  end loop;
  if u.credits > 0 then perform ledger_save(w, p_now); end if;
  if w.limited then perform ledger_count(u, u.credits, u.quota_count, p_now); end if;
  return o;
end $$;

create or replace function ledger_charge(u ledger_use, p_now timestamptz) returns ledger_outcome
language plpgsql as $$
declare o ledger_outcome;
begin
  -- before any lock: a replay costs one index look-up
  o := ledger_replay(u.account_id, u.key, u.fingerprint);
  if o.status is not null then return o; end if;
  return ledger_charge_locked(ledger_lock(u.account_id, p_now), u, p_now);
end $$;
