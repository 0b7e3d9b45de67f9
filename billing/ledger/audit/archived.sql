-- What archived entries of these accounts add up to: the state with which the audit continues, and its totals.
with archived as materialized (
  select distinct on (x.account_id) x.seq, x.state, x.totals from billing_archivedwallet x
  where {scope} order by x.account_id, x.archive_id desc
)
select (select max(seq) from archived) as seq,
       jsonb_build_object(
         'wallets', (select coalesce(jsonb_agg(x), '[]') from archived a, jsonb_array_elements(a.state->'wallets') x),
         'grants', (select coalesce(jsonb_agg(x), '[]') from archived a, jsonb_array_elements(a.state->'grants') x),
         'returned', (select coalesce(jsonb_agg(x), '[]') from archived a, jsonb_array_elements(a.state->'returned') x),
         'transferred', (select coalesce(jsonb_agg(x), '[]') from archived a, jsonb_array_elements(a.state->'transferred') x),
         'corrected', (select coalesce(jsonb_agg(x), '[]') from archived a, jsonb_array_elements(a.state->'corrected') x))::text as state,
       (select coalesce(jsonb_object_agg(key, total), '{}') from (
          select t.key, sum(t.value::numeric)::text as total from archived a, jsonb_each_text(a.totals) t group by t.key) t)::text as totals
