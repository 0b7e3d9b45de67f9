-- Entries are numbered without gaps, each hash covers its entry and the hash before, and each balance is the running sum.
select 'entry ' || id || ' (account ' || account_id || ', number ' || seq || ')' as subject,
       case when seq <> coalesce(seq_before, 0) + 1
              then 'follows number ' || coalesce(seq_before, 0) || ': an entry is missing or added'
            when hash <> sha256(coalesce(hash_before, sha256(uuid_send(account_id))) || convert_to(payload, 'UTF8'))
              then 'its hash does not follow from its content and the entry before'
            else 'balance after it is ' || balance_after || ', the entries up to it sum to ' || running end as found
from (
  select id, account_id, seq, hash, balance_after,
         ledger_payload(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id,
                        hold_id, reason, actor, created_at, digest) as payload,
         lag(seq) over w as seq_before, lag(hash) over w as hash_before, sum(credits) over w as running
  from billing_entry window w as (partition by account_id order by seq)) e
where seq <> coalesce(seq_before, 0) + 1 or balance_after <> running
   or hash <> sha256(coalesce(hash_before, sha256(uuid_send(account_id))) || convert_to(payload, 'UTF8'))
