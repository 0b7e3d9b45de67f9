-- Each wallet's cached figures equal the sums of its entries.
select 'wallet of account ' || coalesce(w.account_id, e.account_id) as subject,
       concat_ws('; ',
         case when w.account_id is null then 'has entries but no row' end,
         case when w.balance <> coalesce(e.credits, 0) then 'balance ' || w.balance || ', entries sum to ' || coalesce(e.credits, 0) end,
         case when w.debt <> coalesce(e.debt, 0) then 'debt ' || w.debt || ', entries sum to ' || coalesce(e.debt, 0) end,
         case when w.held <> coalesce(e.held, 0) then 'held ' || w.held || ', entries sum to ' || coalesce(e.held, 0) end,
         case when w.seq <> coalesce(e.seq, 0) then 'newest number ' || w.seq || ', entries end at ' || coalesce(e.seq, 0) end,
         case when w.head <> coalesce(e.hash, sha256(uuid_send(w.account_id))) then 'head is not the hash of the newest entry' end) as found
from billing_wallet w full join (
  select account_id, sum(credits) as credits, sum(debt) as debt, max(seq) as seq,
         coalesce(-sum(credits) filter (where kind in ('hold', 'release')), 0) as held,
         (array_agg(hash order by seq desc))[1] as hash
  from billing_entry group by account_id) e on e.account_id = w.account_id
where w.account_id is null or w.balance <> coalesce(e.credits, 0) or w.debt <> coalesce(e.debt, 0)
   or w.held <> coalesce(e.held, 0) or w.seq <> coalesce(e.seq, 0)
   or w.head <> coalesce(e.hash, sha256(uuid_send(w.account_id)))
