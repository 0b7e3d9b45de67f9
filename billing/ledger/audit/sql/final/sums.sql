-- The stored sums of charges (UseSum) are those of the charges of their stretches, and no charge before the time up to
-- which the wallet is summed is in none of them.
select 'sum of ' || coalesce(c.subject, u.subject) || ' (account ' || coalesce(c.account_id, u.account_id) || ')' as subject,
       coalesce(u.credits::text, 'none') || ' until ' || coalesce(c.until, u.until) || ', the charges sum to ' || coalesce(c.credits::text, 'none') as found
from (
  select s.account_id, x.subject, s.since, s.until, sum(c.credits - c.uncollected - c.returned) as credits
  from (select account_id, at as since, lead(at) over (partition by account_id order by at) as until from (
          select account_id, since as at from billing_usesum x where {scope} union select account_id, until from billing_usesum x where {scope}
          union select account_id, summed_at from billing_wallet x where {scope} and summed_at is not null
          union select account_id, '-infinity' from billing_wallet x where {scope} and summed_at is not null) b) s
    join billing_charge c on c.account_id = s.account_id and c.created_at >= s.since and c.created_at < s.until,
    lateral unnest(array[c.project_id, c.member_id, c.api_key_id]) x(subject)
  where x.subject is not null group by 1, 2, 3, 4) c
full join (select * from billing_usesum x where {scope}) u
  on u.account_id = c.account_id and u.subject = c.subject and u.since = c.since and u.until = c.until
where c.credits is distinct from u.credits
union all
select 'sums of account ' || account_id, 'they end at ' || coalesce(summed_at::text, '(none)') || ', the newest entry is of ' || coalesce(moved_at::text, '(none)')
from (select * from billing_wallet x where {scope}) w where summed_at > coalesce(moved_at, '-infinity')
   or exists (select from billing_usesum u where u.account_id = w.account_id and u.until > coalesce(w.summed_at, '-infinity'))
