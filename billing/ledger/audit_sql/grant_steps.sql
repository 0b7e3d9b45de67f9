-- The remaining amount in each entry is the running sum of the grant's entries.
select 'entry ' || id || ' (account ' || account_id || ', number ' || seq || ')' as subject,
       'grant ' || grant_id || ' has ' || grant_after || ' remaining after it, its entries sum to ' || running as found
from (select id, account_id, seq, grant_id, grant_after,
             sum(credits) over (partition by account_id, grant_id order by seq) as running from billing_entry) e
where grant_after <> running
