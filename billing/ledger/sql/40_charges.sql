-- Charges: one use, charged once for its key, never beyond what the wallet has.
-- Invariant: a refused charge changes nothing.

-- The first outcome again, or 'reused' where the key came with another body. Null when the key is new.
create or replace function ledger_replay(p_account uuid, p_key text, p_fingerprint bytea) returns ledger_outcome
language plpgsql stable as $$
declare c billing_charge;
begin
  select * into c from billing_charge x where x.account_id = p_account and x.idempotency_key = p_key;
  if not found then return null; end if;
  return ledger_new_outcome(status => case when c.fingerprint = p_fingerprint then 'replayed' else 'reused' end,
    charge_id => c.id, credits => c.credits, uncollected => c.uncollected, balance_before => c.balance_before,
    balance_after => c.balance_after, drawn => c.drawn, detail => c.detail, covered_by => c.covered_by,
    created_at => c.created_at);
end $$;

-- Inserts the charge of a use. Returns its digest; null when another transaction has charged the key meanwhile.
create or replace function ledger_insert_charge(
  u ledger_use, p_drawn jsonb, p_before numeric, p_after numeric, p_now timestamptz, p_hold uuid default null,
  p_uncollected numeric default 0) returns bytea
language plpgsql as $$
declare digest_ bytea;
begin
  insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id,
    member_id, api_key_id, conversation, detail, drawn, created_at, covered_by, uncollected, returned, hold_id,
    balance_before, balance_after, quota, quota_count)
  values (u.id, u.account_id, u.key, u.fingerprint, u.credits, u.service, u.action, u.project_id, u.member_id,
    u.api_key_id, u.conversation, u.detail, p_drawn, p_now, u.covered_by, p_uncollected, 0, p_hold, p_before, p_after,
    u.quota, u.quota_count)
  on conflict (account_id, idempotency_key) do nothing
  returning ledger_charge_digest(billing_charge) into digest_;
  return digest_;
end $$;

-- The moves of a charge or a hold, the first of its kind with the record's digest. A record that takes no credits gets a
-- move without a grant.
create or replace function ledger_introduce(
  p_moves ledger_move[], p_kind text, p_digest bytea, p_at timestamptz, p_charge uuid, p_hold uuid) returns ledger_move[]
language plpgsql as $$
begin
  for i in 1 .. cardinality(p_moves) loop
    if (p_moves[i]).kind = p_kind then
      p_moves[i].digest := p_digest;
      return p_moves;
    end if;
  end loop;
  return p_moves || ledger_move(p_kind, null, 0, p_at, p_charge, p_hold, digest => p_digest);
end $$;

-- Whether a locked wallet can pay for a use, and with which moves of p_kind ('charge' or 'hold'). `status` is null
-- when it can, else the reason: a limit is checked first, then debt, then the balance.
create or replace function ledger_authorize(
  w billing_wallet, u ledger_use, p_kind text, p_charge uuid, p_hold uuid, p_now timestamptz,
  out status text, out refusal jsonb, out moves ledger_move[], out drawn jsonb)
language plpgsql as $$
declare d record;
begin
  if w.limited then
    refusal := ledger_over_limit(u, p_now);
    if refusal is not null then status := 'limit'; return; end if;
  end if;
  if u.credits > 0 and w.debt > 0 then
    status := 'debt'; refusal := jsonb_build_object('needed', u.credits::text, 'debt', w.debt::text); return;
  end if;
  d := ledger_draw(u.account_id, u.covers, p_kind, u.credits, p_now, p_charge, p_hold);
  if d.total < u.credits then
    status := 'insufficient';
    refusal := jsonb_build_object('needed', u.credits::text, 'available', d.total::numeric(20,6)::text);
  end if;
  moves := d.moves; drawn := d.drawn;
end $$;

-- The grant that pays for a whole use by itself, as nearly always, when nothing is in the way: no limit, no debt, no
-- threshold to cross. Null where ledger_authorize has to decide.
create or replace function ledger_sole_grant(w billing_wallet, u ledger_use, p_now timestamptz, out id uuid, out kind text)
language plpgsql stable as $$
begin
  if u.credits > 0 and w.debt = 0 and (w.warn_below is null or w.is_low or w.balance - u.credits >= w.warn_below) then
    select x.id, x.kind into id, kind from (select * from ledger_spendable(u.account_id, u.covers, p_now) limit 1) x
     where x.remaining >= u.credits
       and not (w.limited and exists (select from billing_limit l where l.account_id = u.account_id and ledger_limit_stops(l, u, p_now)));
  end if;
end $$;

-- Charges a wallet that the caller has locked and settled. The caller may have looked for the key before it had the
-- lock; the unique key decides, so a refusal looks for the key again.
create or replace function ledger_charge_locked(w billing_wallet, u ledger_use, p_now timestamptz) returns ledger_outcome
language plpgsql as $$
declare o ledger_outcome; a record; g record; drawn_ jsonb; left_ numeric(20,6) := w.balance - u.credits; counted int;
  digest_ bytea;
begin
  p_now := greatest(p_now, w.moved_at);
  if w.seq - w.summed_seq >= 2000 then perform ledger_sum_uses(w); end if;
  g := ledger_sole_grant(w, u, p_now);
  if g.id is not null then
    drawn_ := jsonb_build_array(ledger_drawn(g.id, g.kind, u.credits));
  else
    a := ledger_authorize(w, u, 'charge', u.id, null, p_now);
    if a.status is not null then
      o := ledger_replay(u.account_id, u.key, u.fingerprint);
      if o.status is null then o.status := a.status; o.refusal := a.refusal; end if;
      return o;
    end if;
    drawn_ := a.drawn;
  end if;
  digest_ := ledger_insert_charge(u, drawn_, w.balance, left_, p_now);
  if digest_ is null then
    return ledger_replay(u.account_id, u.key, u.fingerprint);
  end if;
  if g.id is not null then
    left_ := ledger_write_one(w, 'charge', g.id, u.credits, u.id, null, digest_, null, p_now);
  else
    w := ledger_write(w, ledger_introduce(a.moves, 'charge', digest_, p_now, u.id, null), p_now);
  end if;
  if w.limited then counted := ledger_count(u, u.credits, u.quota_count); end if;
  return ledger_new_outcome(status => 'charged', charge_id => u.id, credits => u.credits, uncollected => 0,
    balance_before => left_ + u.credits, balance_after => left_, drawn => drawn_, detail => u.detail,
    covered_by => u.covered_by, created_at => p_now);
end $$;

-- The account is an argument of its own in every function that Python calls: a distributed database (distribution/) sends
-- the call to the node that has this account.
create or replace function ledger_charge(p_account uuid, u ledger_use, p_now timestamptz) returns ledger_outcome
language plpgsql as $$
begin
  -- before any lock: a replay costs one index look-up
  if exists (select from billing_charge x where x.account_id = p_account and x.idempotency_key = u.key) then
    return ledger_replay(p_account, u.key, u.fingerprint);
  end if;
  return ledger_charge_locked(ledger_lock(p_account, p_now), u, p_now);
end $$;

-- As the release before called it.
create or replace function ledger_charge(u ledger_use, p_now timestamptz) returns ledger_outcome
language sql as $$ select * from ledger_charge(u.account_id, u, p_now) $$;
