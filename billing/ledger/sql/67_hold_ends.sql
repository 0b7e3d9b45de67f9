-- The ends of holds that are more than a return of credits to the balance: of holds in a tree, and of holds that are
-- captured when nobody has captured them (at_expiry).
-- Invariants: an end takes effect at the instant it was due, at whatever time the wallet is settled. At one instant
-- children end before their parents. A capture at the end never takes more than is held, in its tree or by itself.

-- Stores the usage that was last reported for a running hold: p_reported has its price (credits), the detail of the charge,
-- and the count of the quota. It decides only what is charged if nobody captures the hold.
create or replace function ledger_report_usage(p_account uuid, p_hold uuid, p_reported jsonb, p_now timestamptz) returns ledger_held
language plpgsql as $$
declare w billing_wallet; h billing_hold; o ledger_held;
begin
  w := ledger_lock(p_account, p_now);
  select * into h from billing_hold x where x.account_id = p_account and x.id = p_hold;
  if not found then o.status := 'unknown'; return o; end if;
  if h.status <> 'held' then return ledger_held_of(h, 'closed', w.balance); end if;
  update billing_hold x set reported = p_reported where x.account_id = p_account and x.id = p_hold;
  return ledger_held_of(h, 'reported', w.balance);
end $$;

-- What a hold is charged at its end; null where it is only released.
create or replace function ledger_credits_at_expiry(h billing_hold) returns numeric
language sql stable as $$
  select case h.at_expiry when 'capture_estimate' then ledger_hold_amount(h)
         when 'capture_reported' then (h.reported->>'credits')::numeric end
$$;

-- Ends a hold of a locked wallet at the instant at which it was due.
create or replace function ledger_end_hold(w billing_wallet, h billing_hold) returns void
language plpgsql as $$
declare u ledger_use; c record; counted int; charge_ uuid; credits_ numeric(20,6) := ledger_credits_at_expiry(h);
begin
  if credits_ is null then
    w := ledger_return_hold(w, h, 'expired', h.expires_at);
    return;
  end if;
  charge_ := ledger_new_id(h.expires_at);
  update billing_hold x set status = 'captured', closed_at = h.expires_at, charge_id = charge_
   where x.account_id = h.account_id and x.id = h.id;
  -- a key that no client can send: it has spaces
  u := ledger_new_use(account_id => h.account_id, id => charge_, key => 'expiry of ' || h.id, fingerprint => ''::bytea,
    credits => credits_, service => h.service, covers => h.covers, action => h.action, project_id => h.project_id,
    member_id => h.member_id, api_key_id => h.api_key_id, conversation => h.conversation,
    covered_by => h.detail->>'covered_by', quota => h.quota,
    quota_count => case when h.at_expiry = 'capture_reported' then coalesce((h.reported->>'quota_count')::numeric, h.quota_count)
                        else h.quota_count end,
    detail => case when h.at_expiry = 'capture_reported' then h.reported->'detail' else h.detail - 'covered_by' end);
  c := ledger_capture_hold(w, h, u, true, h.expires_at);
  if w.limited then
    perform ledger_roll_limits(h.account_id, h.expires_at, ledger_limit_subjects(h.project_id, h.member_id, h.api_key_id, h.quota));
    perform ledger_count_reserved(h, -ledger_hold_amount(h), h.expires_at);
    counted := ledger_count(u, credits_ - c.short, u.quota_count, 0, h.quota_count, h.created_at);
  end if;
end $$;

-- Whether a hold has an end of this kind. The ends of all others are in ledger_due_moves.
create or replace function ledger_ends_alone(h billing_hold) returns boolean
language sql immutable as $$ select h.parent_id is not null or h.reserved is not null or h.at_expiry <> 'release' $$;

-- Whether anything else is due in a wallet up to the end of a hold.
create or replace function ledger_due_before(h billing_hold) returns boolean
language sql stable as $$
  select exists (select from billing_grant x where x.account_id = h.account_id and x.open and x.expires_at <= h.expires_at)
      or exists (select from billing_allowance x where x.account_id = h.account_id and x.next_at < h.expires_at)
      or exists (select from billing_hold x where x.account_id = h.account_id and x.status = 'held' and x.expires_at <= h.expires_at
                 and not ledger_ends_alone(x))
$$;

-- Settles one locked wallet in which such holds have ended: each of them (at most p_most) after everything that was due
-- before it, then the rest. What was due includes allowances that have expired since, so that a charge states the balance
-- of its instant. The arguments are those of ledger_due_moves and ledger_write_due.
create or replace function ledger_settle_in_order(
  p_account uuid, p_until timestamptz, p_renew timestamptz, p_most int, p_from timestamptz, p_now timestamptz) returns void
language plpgsql as $$
declare w billing_wallet; h billing_hold; threshold numeric; was_low boolean; ended int := 0; accounts uuid[] := array[p_account];
begin
  -- settling as a whole may cross the threshold: no notice in between
  select x.warn_below, x.is_low into threshold, was_low from billing_wallet x where x.account_id = p_account;
  update billing_wallet x set warn_below = null where x.account_id = p_account;
  loop
    select * into h from billing_hold x where x.account_id = p_account and x.status = 'held' and x.expires_at <= p_until
       and ledger_ends_alone(x) order by x.expires_at, x.depth desc, x.id limit 1;
    exit when not found or ended = p_most;
    if ledger_due_before(h) then
      perform ledger_write_due(accounts,
        ledger_due_moves(accounts, h.expires_at, h.expires_at - interval '1 microsecond', null, h.expires_at), h.expires_at, p_now);
    end if;
    select * into w from billing_wallet x where x.account_id = p_account;
    perform ledger_end_hold(w, h);
    ended := ended + 1;
  end loop;
  perform ledger_write_due(accounts, ledger_due_moves(accounts, p_until, p_renew, p_most, p_until), p_from, p_now);
  select * into w from billing_wallet x where x.account_id = p_account;
  w.warn_below := threshold; w.is_low := was_low;
  w := ledger_write(w, '{}', p_now);
end $$;

-- The accounts in which such holds have ended.
create or replace function ledger_due_alone(p_accounts uuid[], p_until timestamptz) returns uuid[]
language sql stable as $$
  select coalesce(array_agg(distinct x.account_id), '{}') from billing_hold x
   where x.account_id = any(p_accounts) and x.status = 'held' and x.expires_at <= p_until and ledger_ends_alone(x)
$$;
