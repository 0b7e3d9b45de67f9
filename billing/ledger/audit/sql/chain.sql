-- Entries are numbered without gaps, each hash covers its entry and the hash before, time never goes backwards, and each
-- balance and each grant's remaining amount is the running sum.
select 'entry ' || id || ' (account ' || account_id || ', number ' || seq || ')' as subject, concat_ws('; ',
    case when seq <> seq_before + 1 then 'follows number ' || seq_before || ': an entry is missing or added' end,
    case when hash <> expected then 'its hash does not follow from its content and the entry before' end,
    case when created_at < time_before then 'its time ' || created_at || ' is before ' || time_before end,
    case when balance_after <> running then 'balance after it is ' || balance_after || ', the entries up to it sum to ' || running end,
    case when grant_after <> case when grant_id is null then 0 else of_grant end
      then 'grant ' || coalesce(grant_id::text, '') || ' has ' || grant_after || ' remaining after it, its entries sum to ' || of_grant end,
    case when grant_id is null and (credits <> 0 or debt <> 0) then 'it moves credits of no grant' end,
    case when grant_id is null and digest is null and kind not in ('release', 'terms') then 'it has no digest' end
  ) as found
from (
  select p.*, sha256(hash_before || convert_to(ledger_payload(p.account_id, seq, kind, p.grant_id, credits, debt, grant_after,
           balance_after, charge_id, hold_id, reason, actor, created_at, p.digest), 'UTF8')) as expected,
         coalesce(g.remaining, 0) + sum(credits) over (partition by p.account_id, p.grant_id order by seq) as of_grant
  from page p left join grant_state g on g.account_id = p.account_id and g.grant_id = p.grant_id) e
where seq <> seq_before + 1 or balance_after <> running or hash is distinct from expected or created_at < time_before
   or grant_after <> case when grant_id is null then 0 else of_grant end
   or grant_id is null and (credits <> 0 or debt <> 0 or digest is null and kind not in ('release', 'terms'))
