-- The stored sums of charges (UseSum) are those of the charges of their stretches, and no charge before the time up to
-- which the wallet is summed is in none of them.
select 'sum of ' || coalesce(c.subject, u.subject) || ' (account ' || coalesce(c.account_id, u.account_id) || ')' as subject,
       coalesce(u.credits::text, 'none') || ' until ' || coalesce(c.until, u.until) || ', the charges sum to ' || coalesce(c.credits::text, 'none') as found
from (
  select s.account_id, x.subject, s.since, s.until, x.credits
  from (select account_id, at as since, lead(at) over (partition by account_id order by at) as until from (
          select account_id, since as at from billing_usesum x where {scope} union select account_id, until from billing_usesum x where {scope}
          union select account_id, summed_at from billing_wallet x where {scope} and summed_at is not null
          union select account_id, '-infinity' from billing_wallet x where {scope} and summed_at is not null) b) s,
    -- lateral: each stretch reads its charges by the index, whatever the planner expects
    lateral (select u.subject, sum(c.credits - c.uncollected - c.returned) as credits
             from billing_charge c, unnest(array[c.project_id, c.member_id, c.api_key_id]) u(subject)
             where c.account_id = s.account_id and c.created_at >= s.since and c.created_at < s.until and u.subject is not null
             group by u.subject) x
  where s.until is not null) c
full join (select * from billing_usesum x where {scope}) u
  on u.account_id = c.account_id and u.subject = c.subject and u.since = c.since and u.until = c.until
where c.credits is distinct from u.credits
union all
select 'sums of account ' || account_id, 'they end at ' || coalesce(summed_at::text, '(none)') || ', the newest entry is of ' || coalesce(moved_at::text, '(none)')
from (select * from billing_wallet x where {scope}) w where summed_at > coalesce(moved_at, '-infinity')
   or exists (select from billing_usesum u where u.account_id = w.account_id and u.until > coalesce(w.summed_at, '-infinity'))
