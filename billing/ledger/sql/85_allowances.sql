-- Allowances: what an account's plan gives it per day, per month or once.
-- Invariant: replacing the allowances gives at once what the running period has not given yet. Rows of former plans stay,
-- ended, so that returning to a plan within a period gives nothing twice. An allowance of 0 credits gives no grant, and its
-- period counts as given.

-- Inserts or updates the allowances in p_terms; one that is due now gives its credits when the wallet is settled. Nothing
-- is given before the anchor.
create or replace function ledger_put_allowances(p_account uuid, p_terms jsonb, p_zone text, p_now timestamptz) returns void
language sql as $$
  insert into billing_allowance as a (account_id, key, kind, label, credits, period, lasts, services, priority, anchor_at,
    zone, next_at, ends_at)
  select p_account, t.key, t.kind, t.label, t.credits, t.period, t.lasts, t.services,
         coalesce(t.priority, ledger_default_priority(t.kind)), t.anchor_at, p_zone, greatest(p_now, t.anchor_at), t.ends_at
  from jsonb_to_recordset(p_terms) t(key text, kind text, label text, credits numeric(20,6), period text, lasts text,
         services text[], priority smallint, anchor_at timestamptz, ends_at timestamptz)
  on conflict (account_id, key) do update set
    kind = excluded.kind, label = excluded.label, credits = excluded.credits, period = excluded.period,
    lasts = excluded.lasts, services = excluded.services, priority = excluded.priority,
    anchor_at = excluded.anchor_at, ends_at = excluded.ends_at,
    -- an allowance that continues, or that is assigned again, is granted at most once in its period; one that was
    -- granted once (next_at is null) never again. One that waits for its anchor has nothing to wait for but the new
    -- anchor; what it gave in this period before it was put off has the period's key and is not given twice
    next_at = case
      when excluded.period = 'once' and a.next_at is null then null
      when a.period <> excluded.period or excluded.period = 'once' or (excluded.period = 'month' and a.anchor_at <> excluded.anchor_at)
        or a.next_at = a.anchor_at
        then greatest(p_now, excluded.anchor_at)
      else greatest(a.next_at, p_now, excluded.anchor_at) end
$$;

-- Empties the grants of allowances that are not in p_keys: what remains expires, and a grant of which credits are held
-- ends, so that they expire at once when they return. Where p_carry is true, monthly grants are carried over instead: they
-- belong to the new plan's monthly allowance, end with it, and are carried on like it. Returns one move for each grant;
-- its credits are 0 where nothing expires.
create or replace function ledger_leave_allowances(
  p_account uuid, p_keys text[], p_carry boolean, p_zone text, p_now timestamptz) returns ledger_move[]
language plpgsql as $$
declare moves ledger_move[]; month_key text; month_end timestamptz;
begin
  select x.key, n.ends_at into month_key, month_end
    from billing_allowance x, lateral ledger_period(x.period, x.anchor_at, x.zone, p_zone, greatest(p_now, x.anchor_at)) n
   where x.account_id = p_account and x.key = any(p_keys) and x.period = 'month' order by n.ends_at, x.key limit 1;
  with held as materialized (
    select (d.part->>'grant')::uuid as grant_id from billing_hold h, lateral jsonb_array_elements(h.drawn) d(part)
    where h.account_id = p_account and h.status = 'held'
  ), left_ as materialized (
    select x.id, x.remaining, x.created_at, coalesce(p_carry and month_end is not null and a.period = 'month', false) as carried
    from billing_grant x join billing_allowance a on a.account_id = x.account_id and a.key = x.allowance
    where x.account_id = p_account and (x.open or x.held > 0 and x.id in (select grant_id from held)) and x.allowance <> all(p_keys)
      and a.lasts = 'period' and a.period <> 'once' and x.expires_at > p_now
  ), changed as (
    update billing_grant x
       set expires_at = case when l.carried then month_end when x.held > 0 then p_now else x.expires_at end,
           allowance = case when l.carried then month_key else x.allowance end
      from left_ l where x.account_id = p_account and x.id = l.id
    returning x.id, ledger_grant_digest(x) as digest
  )
  select array_agg(ledger_move(case when l.carried then 'carry_over' else 'expire' end, l.id,
           case when l.carried then 0 else -l.remaining end, p_now, reason => 'plan changed', digest => c.digest) order by l.created_at, l.id)
    into moves from left_ l join changed c on c.id = l.id;
  return coalesce(moves, '{}');
end $$;

create or replace function ledger_set_allowances(p_account uuid, p_terms jsonb, p_carry boolean, p_now timestamptz) returns numeric
language plpgsql as $$
declare w billing_wallet; zone_ text; keys text[]; threshold numeric; was_low boolean; before_ bytea;
begin
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  before_ := ledger_terms_digest(p_account, w.warn_below);
  select a.zone into zone_ from accounts_account a where a.id = p_account;
  keys := array(select x->>'key' from jsonb_array_elements(p_terms) x);
  perform ledger_put_allowances(p_account, p_terms, zone_, p_now);
  -- the change as a whole may cross the threshold: no notice between the old plan's credits and the new one's
  threshold := w.warn_below; was_low := w.is_low;
  w.warn_below := null;
  w := ledger_write(w, ledger_leave_allowances(p_account, keys, p_carry, zone_, p_now), p_now);
  update billing_allowance set ends_at = p_now
   where account_id = p_account and key <> all(keys) and (ends_at is null or ends_at > p_now);
  w := ledger_write(w, ledger_terms_changed(p_account, before_, threshold, p_now), p_now);
  perform ledger_settle_locked(array[p_account], p_now);
  select * into w from billing_wallet x where x.account_id = p_account;
  w.warn_below := threshold; w.is_low := was_low;
  w := ledger_write(w, '{}', p_now);
  return w.balance;
end $$;

create or replace function ledger_set_warning(p_account uuid, p_below numeric, p_now timestamptz) returns boolean
language plpgsql as $$
declare w billing_wallet; before_ bytea;
begin
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  before_ := ledger_terms_digest(p_account, w.warn_below);
  w.warn_below := p_below;
  w := ledger_write(w, ledger_terms_changed(p_account, before_, p_below, p_now), p_now);
  return w.is_low;
end $$;
