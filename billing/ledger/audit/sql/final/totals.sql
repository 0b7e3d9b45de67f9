-- Issued = spent + expired + taken back + remaining + held, from the entries and the grants as they stand.
select '' as subject, jsonb_build_object(
  'remaining', (select coalesce(sum(remaining), 0) from billing_grant x where {scope}),
  'held', (select coalesce(sum(ledger_hold_amount(x)), 0) from billing_hold x where {scope} and status = 'held'),
  'debt', (select coalesce(sum(debt), 0) from billing_wallet x where {scope}),
  'wallets', (select count(*) from billing_wallet x where {scope}))::text as found
