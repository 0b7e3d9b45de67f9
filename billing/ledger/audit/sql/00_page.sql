-- The entries of this portion, and their sums, added to the sums of its wallets' earlier pages and archives (state).
state as materialized (
  select * from jsonb_to_recordset(%(state)s::jsonb->'wallets') x(account_id uuid, seq bigint, head bytea, moved_at timestamptz,
    balance numeric, held numeric, debt numeric, terms bytea, terms_at timestamptz, charges bigint, holds bigint, closed bigint)
), grant_state as materialized (
  select * from jsonb_to_recordset(%(state)s::jsonb->'grants') x(account_id uuid, grant_id uuid, remaining numeric, held numeric,
    spent numeric, first_seq bigint, last_seq bigint, first_kind text, first_credits numeric, digest bytea)
), page as materialized (
  select e.*, coalesce(lag(e.seq) over w, s.seq, 0) as seq_before, coalesce(lag(e.hash) over w, s.head,
           sha256(uuid_send(e.account_id))) as hash_before, coalesce(lag(e.created_at) over w, s.moved_at) as time_before,
         coalesce(s.balance, 0) + sum(e.credits) over w as running
  from billing_entry e left join state s on s.account_id = e.account_id
  where {entries} and (s.seq is null or e.seq > s.seq) window w as (partition by e.account_id order by e.seq)
), grant_sums as materialized (
  select account_id, grant_id, sum(remaining) as remaining, sum(held) as held, sum(spent) as spent, min(first_seq) as first_seq,
         max(last_seq) as last_seq, (array_agg(first_kind order by first_seq))[1] as first_kind,
         (array_agg(first_credits order by first_seq))[1] as first_credits,
         (array_agg(digest order by last_seq desc) filter (where digest is not null))[1] as digest
  from (select account_id, grant_id, sum(credits) as remaining, -coalesce(sum(credits) filter (where kind in ('hold', 'release', 'transfer')), 0) as held,
               coalesce(-sum(credits) filter (where kind in ('charge', 'repay', 'reverse')), 0)
                 - coalesce(sum(debt) filter (where kind in ('claw_back', 'restore')), 0) as spent,
               min(seq) as first_seq, max(seq) as last_seq, (array_agg(kind::text order by seq))[1] as first_kind,
               (array_agg(credits order by seq))[1] as first_credits,
               (array_agg(digest order by seq desc) filter (where digest is not null and kind not in ('charge', 'hold')))[1] as digest
        from page where grant_id is not null group by account_id, grant_id
        union all select * from grant_state) x group by account_id, grant_id
), introduced as materialized (
  -- the charges and holds whose entries are in this portion
  select account_id, charge_id, array_agg(grant_id order by seq) filter (where credits <> 0) as grants,
         array_agg(-credits order by seq) filter (where credits <> 0) as parts,
         coalesce(-sum(credits), 0) as taken, (array_agg(digest order by seq))[1] as digest, max(hold_id::text)::uuid as hold_id
  from page where kind = 'charge' group by account_id, charge_id
), reserved as materialized (
  select account_id, hold_id, -sum(credits) as credits, (array_agg(digest order by seq))[1] as digest
  from page where kind = 'hold' group by account_id, hold_id
), closed as materialized (
  select account_id, hold_id, sum(credits) as credits, max(created_at) as at, max(charge_id::text)::uuid as charge_id
  from page where kind = 'release' group by account_id, hold_id
), returned as materialized (
  select account_id, charge_id, sum(credits) as credits
  from (select account_id, charge_id, credits from page where kind = 'reverse'
        union all select * from jsonb_to_recordset(%(state)s::jsonb->'returned') x(account_id uuid, charge_id uuid, credits numeric)) x
  group by account_id, charge_id
), transferred as materialized (
  select account_id, hold_id, grant_id, sum(credits) as credits
  from (select account_id, hold_id, grant_id, credits from page where kind = 'transfer'
        union all select * from jsonb_to_recordset(%(state)s::jsonb->'transferred') x(account_id uuid, hold_id uuid, grant_id uuid, credits numeric)) x
  group by account_id, hold_id, grant_id
), corrected as materialized (
  select account_id, digest from page where kind = 'correct'
  union all select * from jsonb_to_recordset(%(state)s::jsonb->'corrected') x(account_id uuid, digest bytea)
), wallet_sums as materialized (
  select account_id, max(seq) as seq, (array_agg(head order by seq desc))[1] as head, max(moved_at) as moved_at,
         sum(balance) as balance, sum(held) as held, sum(debt) as debt, (array_agg(terms order by terms_at desc nulls last))[1] as terms,
         max(terms_at) as terms_at, sum(charges) as charges, sum(holds) as holds, sum(closed) as closed
  from (select p.account_id, max(seq) as seq, (array_agg(hash order by seq desc))[1] as head, max(created_at) as moved_at,
               sum(credits) as balance, -coalesce(sum(credits) filter (where kind in ('hold', 'release', 'transfer')), 0) as held,
               sum(debt) as debt, (array_agg(digest order by seq desc) filter (where kind = 'terms'))[1] as terms,
               max(created_at) filter (where kind = 'terms') as terms_at,
               0 as charges, 0 as holds, 0 as closed
        from page p group by p.account_id
        union all select account_id, 0, null, null, 0, 0, 0, null, null, count(*), 0, 0 from introduced group by account_id
        union all select account_id, 0, null, null, 0, 0, 0, null, null, 0, count(*), 0 from reserved group by account_id
        union all select account_id, 0, null, null, 0, 0, 0, null, null, 0, 0, count(*) from closed group by account_id
        union all select account_id, seq, head, moved_at, balance, held, debt, terms, terms_at, charges, holds, closed from state) x
  group by account_id
)
