-- Each hold is what its digest covers, and it is closed exactly when, how and for which charge its entries say.
select 'hold ' || coalesce(r.hold_id, c.hold_id) || ' (account ' || coalesce(r.account_id, c.account_id) || ')' as subject, concat_ws('; ',
    case when h.id is null then 'has entries but no row' end,
    case when r.hold_id is not null and (r.digest is null or r.digest <> ledger_hold_digest(h)) then 'its row does not have the digest of its entry' end,
    case when r.credits <> h.credits then 'reserved ' || h.credits || ', its entries reserve ' || r.credits end,
    case when c.credits <> ledger_hold_amount(h) then h.status || ' over ' || ledger_hold_amount(h) || ', its entries return ' || c.credits end,
    case when c.hold_id is not null and (h.closed_at, h.charge_id) is distinct from (c.at, c.charge_id)
      then 'closed at ' || coalesce(h.closed_at::text, '(open)') || ', by its entries at ' || c.at end,
    case when c.hold_id is not null and h.status <> s.status then h.status || ' over ' || h.credits || ', by its entries ' || s.status end) as found
from reserved r full join closed c on c.account_id = r.account_id and c.hold_id = r.hold_id
  left join billing_hold h on h.id = coalesce(r.hold_id, c.hold_id) and h.account_id = coalesce(r.account_id, c.account_id),
  lateral (select case when c.charge_id is not null then 'captured' when h.credits = 0 and h.status <> 'held' then h.status
                      when c.at >= h.expires_at then 'expired' else 'released' end as status) s
where h.id is null or r.hold_id is not null and (r.digest is null or r.digest <> ledger_hold_digest(h) or r.credits <> h.credits)
   or c.hold_id is not null and (c.credits <> ledger_hold_amount(h) or h.status <> s.status or (h.closed_at, h.charge_id) is distinct from (c.at, c.charge_id))
