-- Each charge, hold and closing of a hold has an entry; a running hold is not marked as closed. (Rows are counted; those without an entry are looked for where
-- the numbers differ.)
select 'charges of account ' || account_id as subject, 'there are ' || n || ' rows, the entries introduce ' || charges as found
from (select coalesce(x.account_id, w.account_id) as account_id, coalesce(x.n, 0) as n, coalesce(w.charges, 0) as charges
      from (select account_id, count(*) as n from billing_charge x where {scope} group by account_id) x
      full join wallet_sums w on w.account_id = x.account_id) c where n <> charges
union all
select 'holds of account ' || account_id, 'there are ' || n || ' rows, ' || shut || ' closed; the entries introduce ' || holds || ' and close ' || closed
from (select coalesce(x.account_id, w.account_id) as account_id, coalesce(x.n, 0) as n, coalesce(x.shut, 0) as shut,
             coalesce(w.holds, 0) as holds, coalesce(w.closed, 0) as closed
      from (select account_id, count(*) as n, count(*) filter (where status <> 'held') as shut from billing_hold x where {scope} group by account_id) x
      full join wallet_sums w on w.account_id = x.account_id) c where n <> holds or shut <> closed
union all
select 'hold ' || id || ' (account ' || account_id || ')', 'it is running, and closed at ' || coalesce(closed_at::text, '(never)') || ' for the charge ' || coalesce(charge_id::text, '(none)')
from billing_hold x where {scope} and status = 'held' and (closed_at is not null or charge_id is not null)
