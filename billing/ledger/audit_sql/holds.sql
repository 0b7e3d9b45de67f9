-- Each hold's reserved amount equals the sum of its entries.
select 'hold ' || coalesce(h.id, e.hold_id) || ' (account ' || coalesce(h.account_id, e.account_id) || ')' as subject,
       case when h.id is null then 'has entries but no row'
            else h.status || ' over ' || h.credits || ', its entries reserve ' || coalesce(e.held, 0) end as found
from billing_hold h full join (
  select account_id, hold_id, -sum(credits) as held from billing_entry
  where hold_id is not null and kind in ('hold', 'release') group by account_id, hold_id) e
  on e.account_id = h.account_id and e.hold_id = h.id
where h.id is null or coalesce(e.held, 0) <> case when h.status = 'held' then h.credits else 0 end
