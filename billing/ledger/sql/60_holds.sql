-- Holds: credits of concrete grants reserved, then captured, released, or returned at the hold's end. Holds that reserve
-- from another hold are in 62_child_holds.sql.
-- Invariants: a hold is closed once. It keeps its credits past the expiry of their grant; credits returned after
-- that expire at once.

create or replace function ledger_held_of(h billing_hold, p_status text, p_balance numeric) returns ledger_held
language sql immutable as $$
  select ledger_new_held(status => p_status, hold_id => h.id, hold_status => h.status, credits => h.credits,
    drawn => h.drawn, detail => h.detail, expires_at => h.expires_at, created_at => h.created_at,
    balance_after => p_balance, charge_id => h.charge_id)
$$;

-- The use of a hold as it was asked for.
create or replace function ledger_hold_use(h billing_hold) returns ledger_use
language sql immutable as $$
  select ledger_new_use(account_id => h.account_id, id => h.id, key => h.idempotency_key,
    fingerprint => h.fingerprint, credits => h.credits, service => h.service, covers => h.covers, action => h.action,
    project_id => h.project_id, member_id => h.member_id, api_key_id => h.api_key_id,
    conversation => h.conversation, quota => h.quota, quota_count => h.quota_count, detail => h.detail)
$$;

-- The hold that this key has made before: 'replayed', or 'reused' where the body differs. Null when the key is new.
create or replace function ledger_hold_replay(u ledger_use, p_balance numeric) returns ledger_held
language plpgsql stable as $$
declare h billing_hold;
begin
  select * into h from billing_hold x where x.account_id = u.account_id and x.idempotency_key = u.key;
  if not found then return null; end if;
  return ledger_held_of(h, case when h.fingerprint = u.fingerprint then 'replayed' else 'reused' end, p_balance);
end $$;

-- p_most: the most holds of an account that may run at once; null for any number. p_at_expiry: what becomes of the hold
-- when nobody captures it (see 67_hold_ends.sql).
-- The key is not looked for first: its unique index decides at the insert, and a refusal looks for it.
create or replace function ledger_hold(
  p_account uuid, u ledger_use, p_expires timestamptz, p_now timestamptz, p_most int default null, p_at_expiry text default 'release')
returns ledger_held
language plpgsql as $$
declare w billing_wallet; o ledger_held; a record; g record; drawn_ jsonb; left_ numeric(20,6); counted int;
  digest_ bytea;
begin
  w := ledger_lock(p_account, p_now);
  -- the hold lasts as long as was asked for, also where the newest entry is later than this process's clock
  p_expires := greatest(p_expires + greatest(w.moved_at - p_now, interval '0'), p_now); p_now := greatest(p_now, w.moved_at);
  if w.running_holds >= p_most then
    o := ledger_hold_replay(u, w.balance);
    if o.status is null then o.status := 'holds'; o.refusal := jsonb_build_object('most', p_most); end if;
    return o;
  end if;
  g := ledger_sole_grant(w, u, p_now);
  if g.id is not null then
    drawn_ := jsonb_build_array(ledger_drawn(g.id, g.kind, u.credits));
  else
    a := ledger_authorize(w, u, 'hold', null, u.id, p_now);
    if a.status is not null then
      o := ledger_hold_replay(u, w.balance);
      if o.status is null then o.status := a.status; o.refusal := a.refusal; end if;
      return o;
    end if;
    drawn_ := a.drawn;
  end if;
  insert into billing_hold(id, account_id, idempotency_key, fingerprint, credits, service, covers, action, project_id,
    member_id, api_key_id, conversation, detail, drawn, created_at, status, expires_at, quota, quota_count, depth, at_expiry)
  values (u.id, u.account_id, u.key, u.fingerprint, u.credits, u.service, u.covers, u.action, u.project_id,
    u.member_id, u.api_key_id, u.conversation, u.detail, drawn_, p_now, 'held', p_expires, u.quota, u.quota_count, 1, p_at_expiry)
  on conflict (account_id, idempotency_key) do nothing
  returning ledger_hold_digest(billing_hold) into digest_;
  if digest_ is null then return ledger_hold_replay(u, w.balance); end if;
  if g.id is not null then
    left_ := ledger_write_one(w, 'hold', g.id, u.credits, null, u.id, digest_, p_expires, p_now);
  else
    w.next_due_at := least(w.next_due_at, p_expires); w.running_holds := w.running_holds + 1;
    w := ledger_write(w, ledger_introduce(a.moves, 'hold', digest_, p_now, null, u.id), p_now);
    left_ := w.balance;
  end if;
  if w.limited then counted := ledger_count(u, u.credits, u.quota_count); end if;
  return ledger_new_held(status => 'held', hold_id => u.id, hold_status => 'held', credits => u.credits,
    drawn => drawn_, detail => u.detail, expires_at => p_expires, created_at => p_now, balance_after => left_);
end $$;

-- As the release before called it.
create or replace function ledger_hold(
  u ledger_use, p_expires timestamptz, p_now timestamptz, p_most int default null, p_at_expiry text default 'release')
returns ledger_held
language sql as $$ select * from ledger_hold(u.account_id, u, p_expires, p_now, p_most, p_at_expiry) $$;

-- Closes a hold of a locked wallet with nothing spent: its credits return to their grants, or to its parent, as in a
-- capture of nothing.
create or replace function ledger_return_hold(w billing_wallet, h billing_hold, p_status text, p_now timestamptz)
returns billing_wallet
language plpgsql as $$
declare c record;
begin
  c := ledger_capture_moves(w, ledger_new_use(account_id => h.account_id, credits => 0), h.id, coalesce(h.reserved, h.drawn), p_now,
                            h.parent_id);
  update billing_hold x set status = p_status, closed_at = p_now where x.account_id = h.account_id and x.id = h.id;
  if w.limited then perform ledger_uncount_hold(h, p_now); end if;
  if h.parent_id is not null then perform ledger_return_to_parent(w, h, c.unused, p_now); end if;
  w.next_due_at := c.due_at; w.running_holds := w.running_holds - 1;
  return ledger_write(w, c.moves, p_now);
end $$;

-- Releases a hold.
create or replace function ledger_release(p_account uuid, p_hold uuid, p_now timestamptz) returns ledger_held
language plpgsql as $$
declare w billing_wallet; h billing_hold; o ledger_held;
begin
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  select * into h from billing_hold x where x.account_id = p_account and x.id = p_hold;
  if not found then o.status := 'unknown'; return o; end if;
  if h.status <> 'held' then return ledger_held_of(h, 'closed', w.balance); end if;
  if h.reserved is not null and ledger_open_children(h) > 0 then
    o := ledger_held_of(h, 'children', w.balance); o.refusal := jsonb_build_object('children', ledger_open_children(h));
    return o;
  end if;
  w := ledger_return_hold(w, h, 'released', p_now);
  h.status := 'released';
  return ledger_held_of(h, 'released', w.balance);
end $$;
