-- Each grant's cached figures equal the sums of its entries.
select 'grant ' || coalesce(g.id, e.grant_id) || ' (account ' || coalesce(g.account_id, e.account_id) || ')' as subject,
       concat_ws('; ',
         case when g.id is null then 'has entries but no row' end,
         case when g.remaining <> coalesce(e.credits, 0) then 'remaining ' || g.remaining || ', entries sum to ' || coalesce(e.credits, 0) end,
         case when g.held <> coalesce(e.held, 0) then 'held ' || g.held || ', entries sum to ' || coalesce(e.held, 0) end,
         case when g.credits is distinct from e.given then 'given ' || g.credits || ', its first entry has ' || coalesce(e.given, 0) end,
         case when g.open <> (g.remaining > 0) then 'marked ' || case when g.open then 'open' else 'closed' end || ' with ' || g.remaining || ' remaining' end) as found
from billing_grant g full join (
  select account_id, grant_id, sum(credits) as credits,
         coalesce(-sum(credits) filter (where kind in ('hold', 'release')), 0) as held,
         (array_agg(credits order by seq))[1] as given
  from billing_entry where grant_id is not null group by account_id, grant_id) e on e.account_id = g.account_id and e.grant_id = g.id
where g.id is null or g.remaining <> coalesce(e.credits, 0) or g.held <> coalesce(e.held, 0)
   or g.credits is distinct from e.given or g.open <> (g.remaining > 0)
