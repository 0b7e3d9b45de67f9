-- The only writer of entries, grants' amounts, wallets and notices. Every other function computes moves and passes
-- them here.
-- Invariants: the wallet's row is locked before anything of it is read for a decision; a grant's remaining amount
-- and a wallet's balance change only together with an entry of the same amount. A grant's `spent` (defined in
-- 70_corrections.sql) changes here with its charges, repayments and booked debt, and in ledger_reverse.

create or replace function ledger_open_wallet(p_account uuid, p_now timestamptz) returns boolean
language plpgsql as $$
begin
  insert into billing_wallet(account_id, balance, held, debt, seq, head, limited, is_low, created_at)
  values (p_account, 0, 0, 0, 0, sha256(uuid_send(p_account)), false, false, p_now)
  on conflict (account_id) do nothing;
  return found;
end $$;

-- Locks the wallet and settles it if something is due. Every move of one account begins here. The advisory lock is
-- only a queue, because waiting there is cheaper than waiting on a busy row; the row lock, which batches take too,
-- is what makes moves exact.
-- The caller dates its move at greatest(p_now, w.moved_at): clocks differ between processes, and the time of a wallet's
-- entries never decreases. A wallet with very much due is refused (see 80_settling.sql).
create or replace function ledger_lock(p_account uuid, p_now timestamptz) returns billing_wallet
language plpgsql as $$
declare w billing_wallet;
begin
  perform pg_advisory_xact_lock(hashtextextended(p_account::text, 0));
  select * into w from billing_wallet where account_id = p_account for no key update;
  if not found then
    raise exception 'no wallet for account %', p_account using errcode = 'RF404';
  end if;
  if w.next_due_at <= p_now then
    if ledger_due_is_large(p_account, p_now) then
      raise exception 'account % has to be settled in portions', p_account using errcode = 'RF425';
    end if;
    perform ledger_settle_locked(array[p_account], p_now);
    select * into w from billing_wallet where account_id = p_account;
  end if;
  return w;
end $$;

-- Writes grants and entries of many moves of one locked wallet with one statement for each table, as the loop of
-- ledger_write does one by one, and returns the wallet without saving it. (Measured with 5,000 moves: 100 ms; the loop
-- takes 1.9 s, because finding an element of an array of moves costs more the further back it stands.)
create or replace function ledger_write_together(w billing_wallet, p_moves ledger_move[]) returns billing_wallet
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare done record;
begin
  with numbered as materialized (
    select m.*, row_number() over o as n, sum(m.credits) over o as moved,
           sum(m.credits) over (partition by m.grant_id order by m.ordinality rows unbounded preceding) as moved_grant
    from unnest(p_moves) with ordinality m window o as (order by m.ordinality rows unbounded preceding)
  ), sums as (
    select grant_id, min(n) as first, max(n) as last, sum(credits) as credits,
           coalesce(-sum(credits) filter (where kind in ('hold', 'release', 'transfer')), 0) as held,
           coalesce(-sum(case when kind in ('charge', 'repay') then credits when kind in ('claw_back', 'restore') then debt end), 0) as spent
    from numbered where grant_id is not null group by grant_id
  ), grants as (
    update billing_grant x set remaining = x.remaining + s.credits, held = x.held + s.held, spent = x.spent + s.spent,
           open = x.remaining + s.credits > 0, last_seq = w.seq + s.last,
           first_seq = case when x.first_seq = 0 then w.seq + s.first else x.first_seq end
      from sums s where x.account_id = w.account_id and x.id = s.grant_id
    returning x.id, x.remaining - s.credits as before, s.held, s.first,
      case when x.first_seq = w.seq + s.first then ledger_grant_digest(x) end as digest
  ), ready as (
    select n.*, w.seq + n.n as seq, w.balance + n.moved as balance_after, coalesce(g.before + n.moved_grant, 0) as after,
           coalesce(n.digest, case when n.n = g.first then g.digest end) as covered
    from numbered n left join grants g on g.id = n.grant_id
  ), chained as (
    select r.*, ledger_chain(w.head, ledger_payload(w.account_id, r.seq, r.kind, r.grant_id, r.credits, r.debt, r.after,
             r.balance_after, r.charge_id, r.hold_id, r.reason, r.actor, r.at, r.covered)) over (order by r.n) as hash
    from ready r
  ), entries as (
    insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id,
      hold_id, reason, actor, created_at, digest, hash)
    select w.account_id, seq, kind, grant_id, credits, debt, after, balance_after, charge_id, hold_id, reason, actor, at,
      covered, hash from chained
    returning seq, hash
  )
  select (array_agg(e.hash order by e.seq desc))[1] as head, s.credits, s.debt, g.held, g.found
    into done
  from entries e, (select sum(credits) as credits, sum(debt) as debt from numbered) s,
       (select coalesce(sum(held), 0) as held, count(*) = (select count(*) from sums) as found from grants) g
  group by s.credits, s.debt, g.held, g.found;
  if not done.found then
    raise exception 'a grant of account % is missing', w.account_id using errcode = 'no_data_found';
  end if;
  w.seq := w.seq + cardinality(p_moves); w.head := done.head; w.held := w.held + done.held;
  w.balance := w.balance + done.credits; w.debt := w.debt + done.debt; w.moved_at := (p_moves[cardinality(p_moves)]).at;
  return w;
end $$;

-- Writes the moves of one locked wallet, in order: grants, entries, the wallet, and a notice when the balance falls
-- below the user's threshold (once, until it is above it again). Without moves it saves the wallet alone. A move
-- without a grant introduces a record that moves no credits. The first entry of a grant carries the grant's digest.
-- Returns the wallet as it is then. The caller may have changed next_due_at, limited, warn_below and running_holds.
create or replace function ledger_write(w billing_wallet, p_moves ledger_move[], p_now timestamptz) returns billing_wallet
language plpgsql as $$
declare m ledger_move; after_ numeric(20,6); credits_ numeric(20,6) := 0; held_ numeric(20,6) := 0;
  spent_ numeric(20,6) := 0; first int := 1; n int := cardinality(p_moves); low boolean; digest_ bytea;
begin
  if n > 48 then w := ledger_write_together(w, p_moves); n := 0; end if;
  for i in 1 .. n loop
    m := p_moves[i];
    credits_ := credits_ + m.credits;
    if m.kind in ('hold', 'release', 'transfer') then held_ := held_ - m.credits;
    elsif m.kind in ('charge', 'repay') then spent_ := spent_ - m.credits;
    elsif m.kind in ('claw_back', 'restore') then spent_ := spent_ - m.debt; end if;
    -- moves on one grant that follow each other (release and charge of a capture) update it once
    continue when i < n and (p_moves[i + 1]).grant_id = m.grant_id;
    if m.grant_id is null then
      after_ := 0; digest_ := null;
    else
      update billing_grant x
         set remaining = x.remaining + credits_, held = x.held + held_, spent = x.spent + spent_,
             open = x.remaining + credits_ > 0, first_seq = case when x.first_seq = 0 then w.seq + 1 else x.first_seq end,
             last_seq = w.seq + 1 + i - first
       where x.id = m.grant_id and x.account_id = w.account_id
      returning x.remaining - credits_, case when x.first_seq = w.seq + 1 then ledger_grant_digest(x) end
        into strict after_, digest_;
    end if;
    w.held := w.held + held_;
    for j in first .. i loop
      m := p_moves[j];
      after_ := after_ + m.credits;
      m.digest := coalesce(m.digest, digest_); digest_ := null;
      w.seq := w.seq + 1; w.balance := w.balance + m.credits; w.debt := w.debt + m.debt; w.moved_at := m.at;
      w.head := sha256(w.head || convert_to(ledger_payload(w.account_id, w.seq, m.kind, m.grant_id, m.credits,
        m.debt, after_, w.balance, m.charge_id, m.hold_id, m.reason, m.actor, m.at, m.digest), 'UTF8'));
      insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after,
        charge_id, hold_id, reason, actor, created_at, digest, hash)
      values (w.account_id, w.seq, m.kind, m.grant_id, m.credits, m.debt, after_, w.balance,
        m.charge_id, m.hold_id, m.reason, m.actor, m.at, m.digest, w.head);
    end loop;
    first := i + 1; credits_ := 0; held_ := 0; spent_ := 0;
  end loop;
  low := w.warn_below is not null and w.balance < w.warn_below;
  if low and not w.is_low then
    insert into billing_notice(account_id, kind, detail, created_at)
    values (w.account_id, case when w.balance > 0 then 'low' else 'depleted' end,
            jsonb_build_object('balance', w.balance::text, 'warn_below', w.warn_below::text), p_now);
  end if;
  w.is_low := low;
  update billing_wallet x
     set balance = w.balance, held = w.held, debt = w.debt, seq = w.seq, head = w.head, moved_at = w.moved_at,
         is_low = w.is_low, next_due_at = w.next_due_at, limited = w.limited, warn_below = w.warn_below,
         running_holds = w.running_holds
   where x.account_id = w.account_id;
  return w;
end $$;

-- The move that records a change of terms: none where they are as they were (p_before is their digest).
create or replace function ledger_terms_changed(p_account uuid, p_before bytea, p_warn_below numeric, p_now timestamptz)
returns ledger_move[]
language plpgsql stable as $$
declare digest_ bytea := ledger_terms_digest(p_account, p_warn_below);
begin
  if digest_ is not distinct from p_before then return '{}'; end if;
  return array[ledger_move('terms', null, 0, p_now, digest => digest_)];
end $$;

-- Writes what ledger_write would for one move of a charge or a hold that crosses no threshold. It exists besides
-- ledger_write because nearly every charge and hold uses it, and the general writer makes a charge 10-12 % slower
-- (measured: 348 us of processor time instead of 316).
create or replace function ledger_write_one(
  w billing_wallet, p_kind text, p_grant uuid, p_credits numeric, p_charge uuid, p_hold uuid, p_digest bytea,
  p_due timestamptz, p_now timestamptz) returns numeric
language plpgsql as $$
declare after_ numeric(20,6); hash_ bytea; left_ numeric(20,6) := w.balance - p_credits;
  held_ numeric(20,6) := case when p_kind = 'hold' then p_credits else 0 end;
begin
  update billing_grant x set remaining = x.remaining - p_credits, held = x.held + held_,
         spent = x.spent + p_credits - held_, open = x.remaining > p_credits, last_seq = w.seq + 1
   where x.account_id = w.account_id and x.id = p_grant returning x.remaining into strict after_;
  hash_ := sha256(w.head || convert_to(ledger_payload(w.account_id, w.seq + 1, p_kind, p_grant, -p_credits, 0, after_,
    left_, p_charge, p_hold, '', '', p_now, p_digest), 'UTF8'));
  insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id,
    hold_id, reason, actor, created_at, digest, hash)
  values (w.account_id, w.seq + 1, p_kind, p_grant, -p_credits, 0, after_, left_, p_charge, p_hold, '', '', p_now,
    p_digest, hash_);
  update billing_wallet x
     set balance = left_, held = w.held + held_, running_holds = w.running_holds + case when p_kind = 'hold' then 1 else 0 end,
         seq = w.seq + 1, head = hash_, moved_at = p_now,
         next_due_at = least(w.next_due_at, p_due)
   where x.account_id = w.account_id;
  return left_;
end $$;

-- Writes what ledger_write would for the capture of a hold on one grant in force, for no more than was held and
-- without debt, and inserts the charge. Returns false otherwise. (Measured: the general form makes a capture 12-20 % slower.)
create or replace function ledger_write_capture(
  w billing_wallet, p_hold uuid, p_held numeric, p_grant uuid, u ledger_use, p_drawn jsonb, p_now timestamptz)
returns boolean
language plpgsql as $$
declare g record; released bytea; charged bytea; digest_ bytea; before_ numeric(20,6) := w.balance + p_held;
  left_ numeric(20,6) := before_ - u.credits;
begin
  update billing_grant x
     set remaining = x.remaining + p_held - u.credits, held = x.held - p_held, spent = x.spent + u.credits,
         open = x.remaining + p_held > u.credits, last_seq = w.seq + 2
   where x.account_id = w.account_id and x.id = p_grant and (x.expires_at is null or x.expires_at > p_now)
  returning x.remaining, x.expires_at into g;
  if not found then return false; end if;
  digest_ := ledger_insert_charge(u, p_drawn, before_, left_, p_now, p_hold);
  released := sha256(w.head || convert_to(ledger_payload(w.account_id, w.seq + 1, 'release', p_grant, p_held, 0,
    g.remaining + u.credits, before_, u.id, p_hold, '', '', p_now, null), 'UTF8'));
  charged := sha256(released || convert_to(ledger_payload(w.account_id, w.seq + 2, 'charge', p_grant, -u.credits, 0,
    g.remaining, left_, u.id, p_hold, '', '', p_now, digest_), 'UTF8'));
  insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after,
    charge_id, hold_id, reason, actor, created_at, digest, hash)
  values (w.account_id, w.seq + 1, 'release', p_grant, p_held, 0, g.remaining + u.credits, before_,
          u.id, p_hold, '', '', p_now, null, released),
         (w.account_id, w.seq + 2, 'charge', p_grant, -u.credits, 0, g.remaining, left_,
          u.id, p_hold, '', '', p_now, digest_, charged);
  update billing_wallet x
     set balance = left_, held = w.held - p_held, running_holds = w.running_holds - 1, seq = w.seq + 2, head = charged, moved_at = p_now,
         is_low = w.is_low and left_ < w.warn_below, next_due_at = least(w.next_due_at, g.expires_at)
   where x.account_id = w.account_id;
  return true;
end $$;

-- Writes the moves of many locked wallets with one statement for each table. The moves of a wallet are in order and
-- carry the amount that remains in their grant (grant_after); a grant that a 'grant' move opens has been inserted
-- with its credits and with the number of that move (first_seq, last_seq), and its entry carries its digest.
-- A notice is written as ledger_write would after each charge, or at the end where the moves belong to no charge.
-- p_due: the wallets' next_due_at, in the order of p_accounts; null leaves them as they are.
create or replace function ledger_write_set(
  p_accounts uuid[], p_moves ledger_move[], p_now timestamptz, p_due timestamptz[] default null) returns void
language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
  with wallets as materialized (
    select x.account_id, x.balance, x.seq, x.head, x.moved_at, x.warn_below, x.is_low,
           case when p_due is null then x.next_due_at else d.next_due_at end as next_due_at
    from unnest(p_accounts, p_due) d(account_id, next_due_at) join billing_wallet x on x.account_id = d.account_id
  ), numbered as (
    select m.account_id, m.kind, m.grant_id, m.credits, m.debt, coalesce(m.grant_after, 0) as grant_after, m.charge_id,
           m.hold_id, m.reason, m.actor, m.at, row_number() over o as n,
           case when m.kind = 'grant' then (select ledger_grant_digest(x) from billing_grant x
                                            where x.account_id = m.account_id and x.id = m.grant_id)
                else m.digest end as digest, sum(m.credits) over o as moved,
           lead(m.ordinality) over o is null or lead(m.charge_id) over o is distinct from m.charge_id as closes
    from unnest(p_moves) with ordinality m window o as (partition by m.account_id order by m.ordinality)
  ), chained as materialized (
    select n.*, w.balance + n.moved as balance_after, w.seq + n.n as seq,
      ledger_chain(w.head, ledger_payload(n.account_id, w.seq + n.n, n.kind, n.grant_id, n.credits, n.debt, n.grant_after,
        w.balance + n.moved, n.charge_id, n.hold_id, n.reason, n.actor, n.at, n.digest))
        over (partition by n.account_id order by n.n) as hash
    from numbered n join wallets w on w.account_id = n.account_id
  ), entries as (
    insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id,
      hold_id, reason, actor, created_at, digest, hash)
    select account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id, hold_id, reason, actor, at,
      digest, hash
    from chained
  ), grants as (
    update billing_grant x
       set remaining = x.remaining + l.credits, held = x.held - l.released, spent = x.spent + l.spent,
           open = x.remaining + l.credits > 0, last_seq = l.seq
      from (select account_id, grant_id, sum(credits) as credits, max(seq) as seq,
                   coalesce(-sum(credits) filter (where kind in ('charge', 'repay')), 0) as spent,
                   coalesce(sum(credits) filter (where kind = 'release'), 0) as released
            from chained where kind <> 'grant' group by account_id, grant_id) l
     where x.account_id = l.account_id and x.id = l.grant_id
  ), notices as (
    insert into billing_notice(account_id, kind, detail, created_at)
    select account_id, case when balance_after > 0 then 'low' else 'depleted' end,
           jsonb_build_object('balance', balance_after::numeric(20,6)::text, 'warn_below', warn_below::text), greatest(at, p_now)
    from (select distinct on (w.account_id) w.account_id, w.warn_below, c.balance_after, c.at
          from wallets w join chained c on c.account_id = w.account_id
          where c.closes and c.balance_after < w.warn_below and not w.is_low order by w.account_id, c.n) crossed
  )
  update billing_wallet x
     set balance = coalesce(l.balance_after, w.balance), held = x.held - coalesce(s.released, 0),
         debt = x.debt + coalesce(s.debt, 0), seq = coalesce(l.seq, w.seq), head = coalesce(l.hash, w.head),
         moved_at = coalesce(l.at, w.moved_at),
         next_due_at = w.next_due_at, is_low = coalesce(coalesce(l.balance_after, w.balance) < w.warn_below, false)
  from wallets w left join (select distinct on (account_id) account_id, balance_after, seq, hash, at from chained
                            order by account_id, n desc) l on l.account_id = w.account_id
    left join (select account_id, sum(debt) as debt, sum(credits) filter (where kind = 'release') as released from chained
               where debt <> 0 or kind = 'release' group by account_id) s on s.account_id = w.account_id
  where x.account_id = w.account_id;
end $$;
