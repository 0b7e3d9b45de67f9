-- Each charge's amounts equal the sums of its entries.
select 'charge ' || coalesce(c.id, e.charge_id) || ' (account ' || coalesce(c.account_id, e.account_id) || ')' as subject,
       concat_ws('; ',
         case when c.id is null then 'has entries but no row' end,
         case when c.credits - c.uncollected <> coalesce(e.taken, 0) then 'took ' || (c.credits - c.uncollected) || ', its entries sum to ' || coalesce(e.taken, 0) end,
         case when c.returned <> coalesce(e.returned, 0) then 'returned ' || c.returned || ', its entries sum to ' || coalesce(e.returned, 0) end,
         case when c.hold_id is null and c.balance_before - c.balance_after <> c.credits - c.uncollected then 'balances before and after differ by ' || (c.balance_before - c.balance_after) end) as found
from billing_charge c full join (
  select account_id, charge_id, coalesce(-sum(credits) filter (where kind = 'charge'), 0) as taken,
         coalesce(sum(credits) filter (where kind = 'reverse'), 0) as returned
  from billing_entry where charge_id is not null group by account_id, charge_id) e
  on e.account_id = c.account_id and e.charge_id = c.id
where c.id is null or c.credits - c.uncollected <> coalesce(e.taken, 0) or c.returned <> coalesce(e.returned, 0)
   or (c.hold_id is null and c.balance_before - c.balance_after <> c.credits - c.uncollected)
