-- Captures: a hold settled with what was really used.
-- Invariant: the held credits pay first, in the order in which they were reserved; what exceeds them comes from the
-- balance as far as it goes, and the rest is recorded on the charge as uncollected. In a tree of holds, what exceeds them
-- comes from the holds above, never from the balance.

-- Why a hold cannot be captured: its key has charged already (the first outcome), it is closed, unknown, or has open
-- children.
create or replace function ledger_capture_refusal(p_account uuid, p_hold uuid, p_key text, p_fingerprint bytea)
returns ledger_outcome
language plpgsql stable as $$
declare h billing_hold; o ledger_outcome;
begin
  o := ledger_replay(p_account, p_key, p_fingerprint);
  if o.status is not null then return o; end if;
  select * into h from billing_hold x where x.account_id = p_account and x.id = p_hold;
  o.status := case when not found then 'unknown' when h.status = 'held' then 'children' else 'closed' end;
  o.refusal := jsonb_build_object('status', h.status, 'children', ledger_open_children(h));
  return o;
end $$;

-- The moves of a capture: from each grant of the hold its part (p_drawn) is released and what was used of it charged.
-- `short` is what the hold did not cover.
-- What was not used returns to its grant. In a grant in force it repays debt, and the wallet is due at the grant's end
-- again (the grant may have been empty when it was settled). In a grant that has ended it expires, except for the part
-- that a claw-back has booked as debt: it repays that debt (see ledger_due_moves).
-- With p_parent, what was not used stays held: it goes to that hold (`unused`).
create or replace function ledger_capture_moves(
  w billing_wallet, u ledger_use, p_hold uuid, p_drawn jsonb, p_now timestamptz, p_parent uuid default null,
  out moves ledger_move[], out drawn jsonb, out short numeric, out due_at timestamptz, out unused jsonb)
language plpgsql as $$
begin
  with lines as (
    select d.n, (d.x->>'grant')::uuid as grant_id, d.x->>'kind' as kind, (d.x->>'credits')::numeric as part,
           sum((d.x->>'credits')::numeric) over (order by d.n rows unbounded preceding) as upto
    from jsonb_array_elements(p_drawn) with ordinality d(x, n) where (d.x->>'credits')::numeric > 0
  ), parts as (
    select l.*, t.take, l.part - t.take as rest, g.expires_at, r.ended,
           case when r.ended then greatest(l.part - t.take - greatest(g.held + g.spent, 0), 0) else l.part - t.take end as repays
    from lines l join billing_grant g on g.account_id = u.account_id and g.id = l.grant_id,
         lateral (select greatest(least(l.part, u.credits - l.upto + l.part), 0)::numeric(20,6) as take) t,
         lateral (select coalesce(g.expires_at <= p_now, false) as ended) r
  ), owing as (
    select p.*, least(p.repays, greatest(w.debt - coalesce(sum(p.repays) over before, 0), 0)) as repaid
    from parts p window before as (order by p.n rows between unbounded preceding and 1 preceding)
  )
  select coalesce(array_agg(m.move order by o.n, m.step), '{}'),
         coalesce(jsonb_agg(ledger_drawn(o.grant_id, o.kind, o.take) order by o.n) filter (where m.step = 2), '[]'),
         least(w.next_due_at, min(o.expires_at) filter (where o.rest > 0 and not o.ended and p_parent is null)),
         greatest(u.credits - coalesce(max(o.upto), 0), 0),
         coalesce(jsonb_agg(ledger_drawn(o.grant_id, o.kind, o.rest) order by o.n) filter (where m.step = 5), '[]')
    into moves, drawn, due_at, short, unused
  from owing o, lateral (
    select 1 as step, ledger_move('release', o.grant_id, o.part, p_now, u.id, p_hold) as move
    union all select 2, ledger_move('charge', o.grant_id, -o.take, p_now, u.id, p_hold) where o.take > 0
    union all select 3, r from unnest(ledger_repay(o.repaid, o.grant_id, o.rest, p_now)) r where p_parent is null
    union all select 4, ledger_move('expire', o.grant_id, o.repaid - o.rest, p_now)
                where o.rest > o.repaid and o.ended and p_parent is null
    union all select 5, ledger_move('transfer', o.grant_id, -o.rest, p_now, u.id, p_parent)
                where o.rest > 0 and p_parent is not null) m;
  -- a hold that reserves nothing: its end is an entry of 0
  if moves = '{}' then moves := array[ledger_move('release', null, 0, p_now, u.id, p_hold)]; end if;
end $$;

-- What a capture takes for the part that its hold did not cover: from the balance, unless there is debt; with p_held_only
-- from the holds above. `short` is what nothing could pay.
create or replace function ledger_capture_above(
  w billing_wallet, u ledger_use, p_hold uuid, p_parent uuid, p_held_only boolean, p_short numeric, p_now timestamptz,
  out moves ledger_move[], out drawn jsonb, out short numeric)
language plpgsql as $$
declare more record;
begin
  moves := '{}'; drawn := '[]'; short := p_short;
  if short <= 0 then return; end if;
  if p_held_only then
    more := ledger_draw_above(w, u, p_hold, p_parent, short, p_now);
  elsif w.debt = 0 then
    more := ledger_draw(u.account_id, u.covers, 'charge', short, p_now, u.id, p_hold);
  else
    return;
  end if;
  moves := more.moves; drawn := more.drawn; short := short - more.total;
end $$;

-- Writes the capture of a hold of a locked wallet in general, where ledger_write_capture does not. p_held_only: nothing is
-- taken from the balance. A charge of a child states the balance that all of the tree leaves.
create or replace function ledger_capture_hold(
  w billing_wallet, h billing_hold, u ledger_use, p_held_only boolean, p_now timestamptz,
  out drawn jsonb, out short numeric, out balance_before numeric, out balance_after numeric)
language plpgsql as $$
declare c record; more record; digest_ bytea;
begin
  c := ledger_capture_moves(w, u, h.id, coalesce(h.reserved, h.drawn), p_now, h.parent_id);
  if h.parent_id is not null then perform ledger_return_to_parent(w, h, c.unused, p_now); end if;
  more := ledger_capture_above(w, u, h.id, h.parent_id, p_held_only, c.short, p_now);
  drawn := ledger_drawn_by_grant(c.drawn || more.drawn); short := more.short; c.moves := c.moves || more.moves;
  balance_after := w.balance + (select coalesce(sum(m.credits), 0) from unnest(c.moves) m);
  balance_before := case when h.parent_id is null then w.balance + ledger_hold_amount(h)
                         else balance_after + u.credits - short end;
  digest_ := ledger_insert_charge(u, drawn, balance_before, balance_after, p_now, h.id, short);
  w.next_due_at := c.due_at; w.running_holds := w.running_holds - 1;
  w := ledger_write(w, ledger_introduce(c.moves, 'charge', digest_, p_now, u.id, h.id), p_now);
end $$;

create or replace function ledger_capture(
  p_account uuid, p_hold uuid, p_id uuid, p_key text, p_fingerprint bytea, p_credits numeric, p_detail jsonb,
  p_now timestamptz, p_covered_by text default null, p_quota text default null, p_quota_count numeric default null)
returns ledger_outcome
language plpgsql as $$
declare w billing_wallet; h record; u ledger_use; c record; drawn_ jsonb; short_ numeric(20,6) := 0;
  before_ numeric(20,6); left_ numeric(20,6); counted int; row_ billing_hold;
begin
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  if w.seq - w.summed_seq >= 2000 then perform ledger_sum_uses(w); end if;
  -- a key that has charged already returns that charge, whichever hold the request names. `closed_at` and not
  -- `status`: with status the planner takes the index of running holds and reads all of the account's.
  update billing_hold x set status = 'captured', closed_at = p_now, charge_id = p_id
   where x.account_id = p_account and x.id = p_hold and x.closed_at is null
     and (x.reserved is null or ledger_open_children(x) = 0)
     and not exists (select from billing_charge y where y.account_id = p_account and y.idempotency_key = p_key)
  returning ledger_hold_amount(x) as held, x.drawn, x.service, x.covers, x.action, x.project_id, x.member_id, x.api_key_id,
    x.conversation, x.quota, x.quota_count, x.created_at, x.parent_id is not null or x.reserved is not null as in_tree,
    w.limited and exists (select from billing_limit l where l.account_id = p_account
    and l.subject = any(ledger_limit_subjects(x.project_id, x.member_id, x.api_key_id, coalesce(x.quota, p_quota)))
    and (l.window_end <= p_now or l.window_start > x.created_at
         or l.used < ledger_limit_amount(l.kind, x.credits, x.quota_count))) as moved into h;
  if not found then return ledger_capture_refusal(p_account, p_hold, p_key, p_fingerprint); end if;
  before_ := w.balance + h.held; left_ := before_ - p_credits;
  u := ledger_new_use(account_id => p_account, id => p_id, key => p_key, fingerprint => p_fingerprint,
    credits => p_credits, service => h.service, covers => h.covers, action => h.action, project_id => h.project_id,
    member_id => h.member_id, api_key_id => h.api_key_id, conversation => h.conversation,
    covered_by => p_covered_by, quota => coalesce(h.quota, p_quota),
    quota_count => coalesce(p_quota_count, h.quota_count), detail => p_detail);
  drawn_ := jsonb_set(h.drawn, '{0,credits}', to_jsonb(p_credits::numeric(20,6)::text));
  if h.in_tree or jsonb_array_length(h.drawn) <> 1 or p_credits <= 0 or p_credits > h.held or w.debt <> 0
     or not ledger_write_capture(w, p_hold, h.held, (h.drawn->0->>'grant')::uuid, u, drawn_, p_now) then
    select * into row_ from billing_hold x where x.account_id = p_account and x.id = p_hold;
    c := ledger_capture_hold(w, row_, u, h.in_tree, p_now);
    drawn_ := c.drawn; short_ := c.short; before_ := c.balance_before; left_ := c.balance_after;
  end if;
  -- a capture of exactly what was held leaves the limits as they are, unless they no longer count the hold
  if w.limited and (h.in_tree or h.moved or p_credits <> h.held or short_ > 0
     or coalesce(u.quota_count, 0) <> coalesce(h.quota_count, 0)) then
    if h.in_tree or h.moved then
      perform ledger_roll_limits(p_account, p_now, ledger_limit_subjects(u.project_id, u.member_id, u.api_key_id, u.quota));
    end if;
    if row_.parent_id is not null then perform ledger_count_reserved(row_, -h.held, p_now); end if;
    counted := ledger_count(u, p_credits - short_, u.quota_count,
      case when row_.parent_id is null then h.held else 0 end, h.quota_count, h.created_at);
  end if;
  return ledger_new_outcome(status => 'charged', charge_id => p_id, credits => p_credits, uncollected => short_,
    balance_before => before_, balance_after => left_, drawn => drawn_, detail => p_detail,
    covered_by => p_covered_by, created_at => p_now);
end $$;
