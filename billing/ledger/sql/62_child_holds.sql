-- Child holds: a hold that reserves from another hold, its parent, and not from the balance. A tree of holds is a budget:
-- its root reserves credits of grants, and everything in the tree is paid from them.
-- Invariants: credits that a tree has spent, what its open holds reserve, and what its root has given back are together
-- what the root reserved. They move inside the tree by entries of kind 'transfer' (of the hold above: positive when
-- credits leave it) beside the 'hold' and 'release' entries of the child, so the entries prove what each hold reserves.
-- A parent closes after its children, a child ends no later than its parent, and a tree is at most 4 deep.
-- `reserved` is null until a hold gets its first child; then it has the parts of `drawn` that the hold still reserves.

-- How many open children a hold has.
create or replace function ledger_open_children(h billing_hold) returns int
language sql stable as $$
  select count(*)::int from billing_hold x where x.account_id = h.account_id and x.parent_id = h.id and x.closed_at is null
$$;

-- The parts of a hold that pay for a use with these names, up to p_credits, in the order in which they were reserved.
create or replace function ledger_parts_of(
  h billing_hold, p_covers text[], p_credits numeric, out parts jsonb, out total numeric)
language sql stable as $$
  select coalesce(jsonb_agg(ledger_drawn(p.grant_id, p.kind, p.take) order by p.n) filter (where p.take > 0), '[]'),
         coalesce(sum(p.take), 0)
  from (
    select d.n, g.id as grant_id, d.part->>'kind' as kind,
           greatest(0, least(x.credits, p_credits - sum(x.credits) over (order by d.n) + x.credits)) as take
    from jsonb_array_elements(coalesce(h.reserved, h.drawn)) with ordinality d(part, n),
         lateral (select (d.part->>'credits')::numeric(20,6) as credits) x,
         lateral (select g.id from billing_grant g where g.account_id = h.account_id and g.id = (d.part->>'grant')::uuid
                  and (g.services is null or g.services && p_covers)) g) p
$$;

-- Subtracts parts from what a hold of a locked wallet reserves (p_sign -1) or adds them (1), and in the limits that count
-- the hold. What moves between a hold and its child leaves a limit that counts both as it is.
create or replace function ledger_change_reserved(
  w billing_wallet, h billing_hold, p_parts jsonb, p_sign int, p_now timestamptz) returns void
language plpgsql as $$
declare credits_ numeric(20,6);
begin
  update billing_hold x set reserved = (
    select coalesce(jsonb_agg(ledger_drawn((d.part->>'grant')::uuid, d.part->>'kind',
             (d.part->>'credits')::numeric + p_sign * coalesce((m.part->>'credits')::numeric, 0)) order by d.n), '[]')
    from jsonb_array_elements(coalesce(x.reserved, x.drawn)) with ordinality d(part, n)
    left join jsonb_array_elements(p_parts) m(part) on m.part->>'grant' = d.part->>'grant')
   where x.account_id = h.account_id and x.id = h.id;
  if w.limited then
    select coalesce(sum((m->>'credits')::numeric), 0) into credits_ from jsonb_array_elements(p_parts) m;
    perform ledger_count_reserved(h, p_sign * credits_, p_now);
  end if;
end $$;

-- Gives what a closed child did not use to its parent.
create or replace function ledger_return_to_parent(w billing_wallet, h billing_hold, p_unused jsonb, p_now timestamptz) returns void
language plpgsql as $$
declare parent billing_hold;
begin
  if p_unused = '[]' then return; end if;
  select * into strict parent from billing_hold x where x.account_id = h.account_id and x.id = h.parent_id;
  perform ledger_change_reserved(w, parent, p_unused, 1, p_now);
end $$;

-- The moves by which a capture takes up to p_credits from the holds above its hold, the nearest first.
create or replace function ledger_draw_above(
  w billing_wallet, u ledger_use, p_hold uuid, p_parent uuid, p_credits numeric, p_now timestamptz,
  out moves ledger_move[], out drawn jsonb, out total numeric)
language plpgsql as $$
declare above billing_hold; p record;
begin
  moves := '{}'; drawn := '[]'; total := 0;
  while p_parent is not null and total < p_credits loop
    select * into strict above from billing_hold x where x.account_id = u.account_id and x.id = p_parent;
    p := ledger_parts_of(above, u.covers, p_credits - total);
    if p.total > 0 then
      perform ledger_change_reserved(w, above, p.parts, -1, p_now);
      moves := moves || (
        select array_agg(m.move order by d.n, m.step)
        from jsonb_array_elements(p.parts) with ordinality d(part, n),
             lateral (select (d.part->>'grant')::uuid as id, (d.part->>'credits')::numeric as credits) g,
             lateral (select 1 as step, ledger_move('transfer', g.id, g.credits, p_now, u.id, above.id) as move
                      union all select 2, ledger_move('charge', g.id, -g.credits, p_now, u.id, p_hold)) m);
      drawn := drawn || p.parts; total := total + p.total;
    end if;
    p_parent := above.parent_id;
  end loop;
end $$;

-- Why a use cannot reserve from a parent; `status` is null when it can.
create or replace function ledger_child_refusal(
  w billing_wallet, u ledger_use, parent billing_hold, p_most int, p_now timestamptz, out status text, out refusal jsonb)
language plpgsql as $$
declare total numeric;
begin
  if parent.id is null then
    status := 'unknown';
  elsif parent.status <> 'held' then
    status := 'closed'; refusal := jsonb_build_object('status', parent.status);
  elsif parent.depth >= 4 then
    status := 'deep'; refusal := jsonb_build_object('most', 4);
  elsif w.running_holds >= p_most then
    status := 'holds'; refusal := jsonb_build_object('most', p_most);
  else
    if w.limited then refusal := ledger_over_limit(u, p_now, parent); end if;
    if refusal is not null then status := 'limit'; return; end if;
    total := (ledger_parts_of(parent, u.covers, 1e15)).total;
    if total < u.credits then
      status := 'budget';
      refusal := jsonb_build_object('needed', u.credits::text, 'remaining', total::numeric(20,6)::text);
    end if;
  end if;
end $$;

-- Holds credits of a parent. It ends with its parent at the latest. Debt is no obstacle: the credits are reserved.
create or replace function ledger_hold_child(
  p_account uuid, u ledger_use, p_parent uuid, p_expires timestamptz, p_now timestamptz, p_most int default null,
  p_at_expiry text default 'release') returns ledger_held
language plpgsql as $$
declare w billing_wallet; parent billing_hold; child billing_hold; o ledger_held; r record; p record; moves ledger_move[];
  digest_ bytea; counted int;
begin
  w := ledger_lock(p_account, p_now);
  -- as in ledger_hold
  p_expires := greatest(p_expires + greatest(w.moved_at - p_now, interval '0'), p_now); p_now := greatest(p_now, w.moved_at);
  select * into parent from billing_hold x where x.account_id = u.account_id and x.id = p_parent;
  p_expires := least(p_expires, parent.expires_at);
  r := ledger_child_refusal(w, u, parent, p_most, p_now);
  if r.status is not null then
    o := ledger_hold_replay(u, w.balance);
    if o.status is null then o.status := r.status; o.refusal := r.refusal; end if;
    return o;
  end if;
  p := ledger_parts_of(parent, u.covers, u.credits);
  insert into billing_hold(id, account_id, idempotency_key, fingerprint, credits, service, covers, action, project_id,
    member_id, api_key_id, conversation, detail, drawn, created_at, status, expires_at, quota, quota_count, parent_id, depth,
    at_expiry)
  values (u.id, u.account_id, u.key, u.fingerprint, u.credits, u.service, u.covers, u.action, u.project_id,
    u.member_id, u.api_key_id, u.conversation, u.detail, p.parts, p_now, 'held', p_expires, u.quota, u.quota_count, p_parent,
    parent.depth + 1, p_at_expiry)
  on conflict (account_id, idempotency_key) do nothing
  returning * into child;
  if child.id is null then return ledger_hold_replay(u, w.balance); end if;
  digest_ := ledger_hold_digest(child);
  select coalesce(array_agg(m.move order by d.n, m.step), '{}') into moves
  from jsonb_array_elements(p.parts) with ordinality d(part, n),
       lateral (select (d.part->>'grant')::uuid as id, (d.part->>'credits')::numeric as credits) g,
       lateral (select 1 as step, ledger_move('transfer', g.id, g.credits, p_now, null, p_parent) as move
                union all select 2, ledger_move('hold', g.id, -g.credits, p_now, null, u.id)) m;
  perform ledger_change_reserved(w, parent, p.parts, -1, p_now);
  if w.limited then
    if u.quota is not null then counted := ledger_count(u, 0, u.quota_count); end if;
    perform ledger_count_reserved(child, u.credits, p_now);
  end if;
  w.next_due_at := least(w.next_due_at, p_expires); w.running_holds := w.running_holds + 1;
  w := ledger_write(w, ledger_introduce(moves, 'hold', digest_, p_now, null, u.id), p_now);
  return ledger_new_held(status => 'held', hold_id => u.id, hold_status => 'held', credits => u.credits,
    drawn => p.parts, detail => u.detail, expires_at => p_expires, created_at => p_now, balance_after => w.balance);
end $$;

-- As the release before called it.
create or replace function ledger_hold_child(
  u ledger_use, p_parent uuid, p_expires timestamptz, p_now timestamptz, p_most int default null,
  p_at_expiry text default 'release') returns ledger_held
language sql as $$
  select * from ledger_hold_child(u.account_id, u, p_parent, p_expires, p_now, p_most, p_at_expiry)
$$;
