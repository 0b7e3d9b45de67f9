-- An allowance is due next at the end of the period that its newest grant was given for, or later: never again for a
-- period that has its grant. It is due no later than one period from now, or from its anchor.
select 'allowance ' || a.key || ' (account ' || a.account_id || ')' as subject,
       'next at ' || coalesce(a.next_at::text, '(never)') || ', its newest grant was given at ' || g.created_at as found
from (select * from billing_allowance x where {scope}) a, lateral (
  select max(g.created_at) as created_at from billing_grant g
  where g.account_id = a.account_id and g.allowance = a.key and g.idempotency_key like 'allowance:%%') g
where a.next_at <= g.created_at or a.next_at is null and a.period <> 'once'
   or g.created_at is null and a.next_at is null and (a.ends_at is null or a.anchor_at < a.ends_at)
   or a.next_at > greatest(clock_timestamp(), (select w.moved_at from billing_wallet w where w.account_id = a.account_id), a.anchor_at)
        + case a.period when 'day' then interval '3 days' else interval '33 days' end
