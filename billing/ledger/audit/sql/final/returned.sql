-- What reversals returned of each charge is the sum of its entries.
select 'charge ' || coalesce(c.id, r.charge_id) || ' (account ' || coalesce(c.account_id, r.account_id) || ')' as subject,
       'returned ' || coalesce(c.returned, 0) || ', its entries sum to ' || coalesce(r.credits, 0) as found
from (select * from billing_charge x where {scope} and returned <> 0) c
  full join returned r on r.account_id = c.account_id and r.charge_id = c.id
where coalesce(c.returned, 0) <> coalesce(r.credits, 0)
