-- What a limit counts is what its window has seen. A quota that changed within its window began at 0, and a reversal
-- gives back whole counts, so a quota's count is between the charges not reversed and all of them.
select 'limit ' || l.kind || ' ' || l.subject || ' (account ' || l.account_id || ')' as subject,
       'used ' || l.used || ', its window has seen ' || s.least || case when s.most <> s.least then ' to ' || s.most else '' end as found
from (select * from billing_limit x where {scope}) l left join wallet_sums w on w.account_id = l.account_id,
lateral (
  select coalesce(sum(amount - returned), 0) as least, coalesce(sum(case when l.kind = 'quota' then amount else amount - returned end), 0) as most
  from (select case when l.kind = 'quota' then coalesce(c.quota_count, 0) else c.credits - c.uncollected end as amount,
               case when l.kind <> 'quota' then c.returned when c.returned > 0 then coalesce(c.quota_count, 0) else 0 end as returned
        from billing_charge c where c.account_id = l.account_id and c.created_at >= l.window_start
          and l.subject = ledger_limit_subject(l.kind, c.project_id, c.member_id, c.api_key_id, c.quota)
        union all
        select case when l.kind = 'quota' then coalesce(h.quota_count, 0) else ledger_hold_amount(h) end, 0
        from billing_hold h where h.account_id = l.account_id and h.status = 'held' and h.created_at >= l.window_start
          and case when l.kind = 'quota' then l.subject = h.quota else ledger_hold_counts(h, l.kind, l.subject, l.window_start) end) x) s
where l.used > s.most or l.used < s.least and not (l.kind = 'quota' and coalesce(w.terms_at >= l.window_start, true))
union all
-- A window is a day or month of some zone (at most 14 hours from UTC), and has begun. A change of the account's zone
-- leaves the window that runs, so the audit cannot know its zone.
select 'limit ' || kind || ' ' || subject || ' (account ' || account_id || ')', 'its window from ' || window_start || ' to ' || coalesce(window_end::text, '(never)')
    || ' is not one of the period ' || period
from billing_limit x where {scope} and not coalesce(case period
    when 'ever' then window_start = '1970-01-01T00:00:00Z' and window_end is null
    when 'day' then window_end - window_start between interval '20 hours' and interval '50 hours'
    else window_end - window_start between interval '26 days' and interval '33 days'
         and extract(day from (window_start at time zone 'UTC') + interval '14 hours') <= 2 end
  and window_start <= greatest(clock_timestamp(), (select w.moved_at from billing_wallet w where w.account_id = x.account_id)) + interval '1 day', false)
