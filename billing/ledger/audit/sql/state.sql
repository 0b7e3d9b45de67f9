-- What the next page of the wallet continues from.
select '' as subject, jsonb_build_object(
  'wallets', (select coalesce(jsonb_agg(to_jsonb(w)), '[]') from wallet_sums w), 'grants', (select coalesce(jsonb_agg(to_jsonb(g)), '[]') from grant_sums g),
  'returned', (select coalesce(jsonb_agg(to_jsonb(r)), '[]') from returned r),
  'transferred', (select coalesce(jsonb_agg(to_jsonb(t)), '[]') from transferred t),
  'corrected', (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from corrected c))::text as found
