-- Issued = spent + expired + taken back + remaining + held, from the entries and the grants as they stand.
select coalesce(sum(credits) filter (where kind in ('grant', 'adjust') and credits > 0), 0) as issued,
       coalesce(-sum(credits) filter (where kind in ('charge', 'reverse')), 0) as spent,
       coalesce(-sum(credits) filter (where kind = 'expire'), 0) as expired,
       coalesce(-sum(credits) filter (where kind in ('claw_back', 'restore', 'repay')), 0)
         - coalesce(sum(credits) filter (where kind = 'adjust' and credits < 0), 0) as taken_back,
       coalesce(sum(credits) filter (where kind = 'carry_over'), 0) as carried,
       (select coalesce(sum(remaining), 0) from billing_grant) as remaining,
       (select coalesce(sum(credits), 0) from billing_hold where status = 'held') as held,
       (select coalesce(sum(debt), 0) from billing_wallet) as debt,
       (select count(*) from billing_wallet) as wallets,
       count(*) as entries
from billing_entry
