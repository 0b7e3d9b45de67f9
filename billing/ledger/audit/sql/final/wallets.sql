-- Each wallet belongs to an account, its cached figures are the sums of its entries, its terms are those of the newest
-- entry about them, and it is due no later than the first thing that is.
select 'wallet of account ' || coalesce(w.account_id, e.account_id) as subject, concat_ws('; ',
    case when w.account_id is null then 'has entries but no row' end,
    case when w.account_id is not null and not exists (select from accounts_account a where a.id = w.account_id) then 'the account does not exist' end,
    case when w.balance <> coalesce(e.balance, 0) then 'balance ' || w.balance || ', entries sum to ' || coalesce(e.balance, 0) end,
    case when w.debt <> coalesce(e.debt, 0) then 'debt ' || w.debt || ', entries sum to ' || coalesce(e.debt, 0) end,
    case when w.held <> coalesce(e.held, 0) then 'held ' || w.held || ', entries sum to ' || coalesce(e.held, 0) end,
    case when w.seq <> coalesce(e.seq, 0) then 'newest number ' || w.seq || ', entries end at ' || coalesce(e.seq, 0) end,
    case when w.head <> coalesce(e.head, sha256(uuid_send(w.account_id))) then 'head is not the hash of the newest entry' end,
    case when w.moved_at is distinct from e.moved_at then 'moved at ' || coalesce(w.moved_at::text, '(never)') || ', its newest entry is of ' || coalesce(e.moved_at::text, '(never)') end,
    case when w.running_holds <> t.running then 'counts ' || w.running_holds || ' running holds, there are ' || t.running end,
    case when t.digest is distinct from e.terms then 'its allowances, limits or threshold are not those of the newest entry about them' end,
    case when w.is_low <> t.low then 'marked as ' || case when w.is_low then 'low' else 'not low' end || ' with a balance of ' || w.balance end,
    case when w.limited <> t.limited then 'marked as ' || case when w.limited then 'limited' else 'not limited' end end,
    case when d.due_at < coalesce(w.next_due_at, 'infinity') then 'due at ' || coalesce(w.next_due_at::text, '(never)') || ', something is due at ' || d.due_at end
  ) as found
from (select * from billing_wallet x where {scope}) w full join wallet_sums e on e.account_id = w.account_id
left join lateral (
  select ledger_terms_digest(w.account_id, w.warn_below) as digest, coalesce(w.balance < w.warn_below, false) as low,
         exists (select from billing_limit l where l.account_id = w.account_id) as limited,
         (select count(*) from billing_hold h where h.account_id = w.account_id and h.status = 'held') as running) t on w.account_id is not null
left join lateral (
  select least((select min(g.expires_at) from billing_grant g where g.account_id = w.account_id and g.open),
               (select min(h.expires_at) from billing_hold h where h.account_id = w.account_id and h.status = 'held'),
               (select min(a.next_at) from billing_allowance a where a.account_id = w.account_id
                 and (a.ends_at is null or a.next_at < a.ends_at))) as due_at) d on w.account_id is not null
where w.account_id is null or w.balance <> coalesce(e.balance, 0) or w.debt <> coalesce(e.debt, 0) or w.held <> coalesce(e.held, 0)
   or w.seq <> coalesce(e.seq, 0) or w.head <> coalesce(e.head, sha256(uuid_send(w.account_id)))
   or w.moved_at is distinct from e.moved_at or w.running_holds <> t.running or t.digest is distinct from e.terms or w.is_low <> t.low or w.limited <> t.limited
   or d.due_at < coalesce(w.next_due_at, 'infinity')
   or not exists (select from accounts_account a where a.id = w.account_id)
