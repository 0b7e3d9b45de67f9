-- Each grant is what its digest covers, and its cached figures are the sums of its entries. What a reversal returned to
-- a new grant counts for the grant that the charge drew on, as in 70_corrections.sql.
select 'grant ' || coalesce(g.id, e.grant_id) || ' (account ' || coalesce(g.account_id, e.account_id) || ')' as subject, concat_ws('; ',
    case when g.id is null then 'has entries but no row' when e.grant_id is null then 'has no entries' end,
    case when e.digest is null or e.digest <> ledger_grant_digest(g) then 'its row does not have the digest of its entry' end,
    case when g.remaining <> e.remaining then 'remaining ' || g.remaining || ', entries sum to ' || e.remaining end,
    case when g.held <> e.held then 'held ' || g.held || ', entries sum to ' || e.held end,
    case when g.spent <> e.spent then 'spent ' || g.spent || ', entries sum to ' || e.spent end,
    case when g.credits <> e.first_credits then 'given ' || g.credits || ', its first entry has ' || e.first_credits end,
    case when (g.first_seq, g.last_seq) <> (e.first_seq, e.last_seq)
      then 'entries ' || g.first_seq || ' to ' || g.last_seq || ', they are ' || e.first_seq || ' to ' || e.last_seq end,
    case when g.open <> (g.remaining > 0) then 'marked ' || case when g.open then 'open' else 'closed' end || ' with ' || g.remaining || ' remaining' end,
    case when g.balance_after <> a.balance_after or g.repaid <> a.repaid
      then 'balance after it ' || g.balance_after || ' and repaid ' || g.repaid || ', by its entries ' || a.balance_after || ' and ' || a.repaid end,
    case when g.balance_after is null and (g.repaid <> 0 or e.first_kind = 'grant' and g.idempotency_key not like 'allowance:%%') then 'it has no balance after it' end) as found
from (select x.* from billing_grant x where {scope}) g full join (
  select s.account_id, s.grant_id, s.remaining, s.held, s.first_seq, s.last_seq, s.first_credits, s.first_kind, s.digest,
         s.spent + case when own.moved then s.first_credits else 0 end - coalesce(r.credits, 0) as spent
  from grant_sums s
  left join lateral (select s.first_kind = 'reverse' and x.idempotency_key like 'return:%%' as moved from billing_grant x
                     where x.id = s.grant_id and s.first_kind = 'reverse') own on true
  left join (select t.account_id, right(x.idempotency_key, 36) as grant_id, sum(t.first_credits) as credits
             from grant_sums t join billing_grant x on x.id = t.grant_id
             where t.first_kind = 'reverse' and x.idempotency_key like 'return:%%' group by 1, 2) r
    on r.account_id = s.account_id and r.grant_id = s.grant_id::text
) e on e.account_id = g.account_id and e.grant_id = g.id
left join lateral (
  select coalesce(r.balance_after, f.balance_after) as balance_after, coalesce(-r.credits, 0) as repaid
  from billing_entry f left join billing_entry r on r.account_id = f.account_id and r.seq = f.seq + 1 and r.grant_id = f.grant_id and r.kind = 'repay'
  where f.account_id = g.account_id and f.seq = e.first_seq) a on g.balance_after is not null
where g.id is null or e.grant_id is null or e.digest is null or e.digest <> ledger_grant_digest(g) or g.remaining <> e.remaining
   or g.held <> e.held or g.spent <> e.spent or g.credits <> e.first_credits or (g.first_seq, g.last_seq) <> (e.first_seq, e.last_seq)
   or g.open <> (g.remaining > 0) or g.balance_after <> a.balance_after or g.repaid <> a.repaid
   or g.balance_after is null and (g.repaid <> 0 or e.first_kind = 'grant' and g.idempotency_key not like 'allowance:%%')
