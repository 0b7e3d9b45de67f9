-- Grants: inserting one, granting credits once for a key, and choosing the grants that pay for a use.
-- Invariant: credits that come in repay the account's debt before anything else can use them.

create or replace function ledger_default_priority(p_kind text) returns smallint
language sql immutable as $$
  select (case p_kind when 'daily' then 10 when 'plan' then 20 when 'adjustment' then 35
          when 'top_up' then 40 else 30 end)::smallint
$$;

-- Inserts a grant of which nothing remains yet; the move that follows fills it.
create or replace function ledger_insert_grant(
  p_account uuid, p_id uuid, p_kind text, p_label text, p_credits numeric, p_priority int, p_expires timestamptz,
  p_services text[], p_key text, p_now timestamptz, p_fingerprint bytea default '', p_allowance text default '',
  p_purchase uuid default null, p_reason text default '', p_actor text default '', p_repaid numeric default 0,
  p_balance_after numeric default null) returns uuid
language plpgsql as $$
begin
  insert into billing_grant(id, account_id, kind, label, credits, remaining, held, priority, expires_at, services,
    open, idempotency_key, fingerprint, allowance, purchase_id, reason, actor, created_at,
    repaid, balance_after)
  values (p_id, p_account, p_kind, p_label, p_credits, 0, 0, coalesce(p_priority, ledger_default_priority(p_kind)),
    p_expires, p_services, false, p_key, p_fingerprint, p_allowance, p_purchase, p_reason, p_actor, p_now,
    p_repaid, p_balance_after);
  return p_id;
end $$;

-- The move by which credits that came into a grant repay debt: one move, or none without debt.
create or replace function ledger_repay(p_debt numeric, p_grant uuid, p_credits numeric, p_at timestamptz)
returns ledger_move[]
language sql immutable as $$
  select case when least(p_debt, p_credits) > 0
    then array[ledger_move('repay', p_grant, -least(p_debt, p_credits), p_at, debt => -least(p_debt, p_credits))]
    else '{}'::ledger_move[] end
$$;

-- The balance, held credits included, above which only allowances and paid purchases add credits (core.amounts says the
-- same). numeric(20,6) holds a hundred times as much.
create or replace function ledger_largest_balance() returns numeric language sql immutable as $$ select 1e12 $$;

create or replace function ledger_grant(
  p_account uuid, p_id uuid, p_key text, p_fingerprint bytea, p_credits numeric, p_kind text, p_label text,
  p_priority int, p_expires timestamptz, p_services text[], p_purchase uuid, p_reason text, p_actor text,
  p_now timestamptz,
  out status text, out grant_id uuid, out balance_after numeric, out repaid numeric)
language plpgsql as $$
declare w billing_wallet; g billing_grant;
begin
  w := ledger_lock(p_account, p_now);
  p_now := greatest(p_now, w.moved_at);
  select * into g from billing_grant x where x.account_id = p_account and x.idempotency_key = p_key;
  if found then
    grant_id := g.id; balance_after := g.balance_after; repaid := g.repaid;
    status := case when g.fingerprint = p_fingerprint then 'replayed' else 'reused' end;
    return;
  end if;
  if p_expires <= p_now then
    status := 'expired'; return;
  end if;
  repaid := least(w.debt, p_credits); balance_after := w.balance + p_credits - repaid;
  if p_purchase is null and balance_after + w.held > ledger_largest_balance() then
    status := 'too_large'; return;
  end if;
  grant_id := ledger_insert_grant(p_account, p_id, p_kind, p_label, p_credits, p_priority, p_expires, p_services,
    p_key, p_now, p_fingerprint, p_purchase => p_purchase, p_reason => p_reason, p_actor => p_actor,
    p_repaid => repaid, p_balance_after => balance_after);
  w.next_due_at := least(w.next_due_at, p_expires);
  w := ledger_write(w, ledger_move('grant', p_id, p_credits, p_now, reason => p_reason, actor => p_actor)
    || ledger_repay(w.debt, p_id, p_credits, p_now), p_now);
  status := 'granted';
end $$;

-- The grants that can pay for a use with these names (null: for any use), in spending order: lower priority number
-- first, then sooner expiry (never-expiring last), then older, then id. `place` counts them in that order.
create or replace function ledger_spendable(p_account uuid, p_covers text[], p_now timestamptz)
returns table(id uuid, kind text, remaining numeric, services text[], place bigint)
language sql stable as $$
  select x.id, x.kind::text, x.remaining, x.services,
         row_number() over (order by x.priority, x.expires_at, x.created_at, x.id)
  from billing_grant x
  where x.account_id = p_account and x.open and (x.expires_at is null or x.expires_at > p_now)
    and (p_covers is null or x.services is null or x.services && p_covers)
  order by x.priority, x.expires_at, x.created_at, x.id
$$;

-- One line of what a charge or hold has drawn. (stable, as jsonb_build_object is: an SQL function that is declared
-- stricter than what it calls is not inlined, and a call costs 8 us.)
create or replace function ledger_drawn(p_grant uuid, p_kind text, p_credits numeric) returns jsonb
language sql stable as $$
  select jsonb_build_object('grant', p_grant, 'kind', p_kind, 'credits', p_credits::numeric(20,6)::text)
$$;

-- The lines of several draws with one line for each grant, in the order in which they first name it.
create or replace function ledger_drawn_by_grant(p_lines jsonb) returns jsonb
language sql stable as $$
  select coalesce(jsonb_agg(ledger_drawn(s.grant_id, s.kind, s.credits) order by s.n), '[]')
  from (select (l.x->>'grant')::uuid as grant_id, l.x->>'kind' as kind, sum((l.x->>'credits')::numeric) as credits, min(l.n) as n
        from jsonb_array_elements(p_lines) with ordinality l(x, n) group by 1, 2) s
$$;

-- The spendable grants that p_credits reach, in spending order, with what each gives; it reads no grants beyond them.
create or replace function ledger_reached(p_account uuid, p_covers text[], p_credits numeric, p_now timestamptz)
returns table(id uuid, kind text, remaining numeric, take numeric, place bigint)
language plpgsql stable as $$
declare need numeric(20,6) := p_credits;
begin
  for id, kind, remaining, place in
    select x.id, x.kind, x.remaining, x.place from ledger_spendable(p_account, p_covers, p_now) x
  loop
    take := least(need, remaining); need := need - take;
    return next;
    exit when need <= 0;
  end loop;
end $$;

-- The moves of p_kind ('charge' or 'hold') that take up to p_credits from spendable grants. Less in `total` than
-- p_credits means that the grants do not suffice.
create or replace function ledger_draw(
  p_account uuid, p_covers text[], p_kind text, p_credits numeric, p_now timestamptz, p_charge uuid, p_hold uuid,
  out moves ledger_move[], out drawn jsonb, out total numeric)
language plpgsql stable as $$
begin
  total := 0; drawn := '[]'; moves := '{}';
  if p_credits <= 0 then return; end if;
  -- aggregates: appending in a loop would copy the result once for each of thousands of small grants
  select coalesce(array_agg(ledger_move(p_kind, g.id, -g.take, p_now, p_charge, p_hold) order by g.place), '{}'),
         coalesce(jsonb_agg(ledger_drawn(g.id, g.kind, g.take) order by g.place), '[]'), coalesce(sum(g.take), 0)
    into moves, drawn, total from ledger_reached(p_account, p_covers, p_credits, p_now) g;
end $$;
