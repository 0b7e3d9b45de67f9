-- Each hold of a tree reserves what it was given less what its entries moved to and from other holds, and stands below
-- its parent: one deeper, ending no later, open no longer.
select 'hold ' || i.hold_id || ' (account ' || i.account_id || ')' as subject, concat_ws('; ',
    case when d.differs then 'it reserves ' || coalesce(ledger_hold_amount(h)::text, 'nothing') || ', which its entries do not leave' end,
    case when h.parent_id is not null and p.id is null then 'its parent ' || h.parent_id || ' is missing' end,
    case when h.depth <> coalesce(p.depth, 0) + 1 or h.depth > 4 then 'it is at depth ' || h.depth || ', its parent at ' || coalesce(p.depth, 0) end,
    case when h.expires_at > p.expires_at then 'it ends at ' || h.expires_at || ', after its parent' end,
    case when h.status = 'held' and p.status <> 'held' then 'it is open, and its parent is ' || p.status end) as found
from (select account_id, id as hold_id from billing_hold x where {scope} and (parent_id is not null or reserved is not null)
      union select account_id, hold_id from transferred) i
  left join billing_hold h on h.account_id = i.account_id and h.id = i.hold_id
  left join billing_hold p on p.account_id = h.account_id and p.id = h.parent_id,
  lateral (select exists (
    select from (
      select (x->>'grant')::uuid as grant_id, (x->>'credits')::numeric as credits from jsonb_array_elements(h.drawn) x
      union all select (x->>'grant')::uuid, -(x->>'credits')::numeric from jsonb_array_elements(coalesce(h.reserved, h.drawn)) x
      union all select t.grant_id, -t.credits from transferred t where t.account_id = i.account_id and t.hold_id = i.hold_id) y
    group by y.grant_id having sum(y.credits) <> 0) as differs) d
where d.differs or h.parent_id is not null and p.id is null or h.depth <> coalesce(p.depth, 0) + 1 or h.depth > 4
   or h.expires_at > p.expires_at or h.status = 'held' and p.status <> 'held'
union all
-- What a tree reserved is what it has spent, what its open holds reserve, and what its root gave back.
select 'tree of hold ' || root || ' (account ' || account_id || ')',
    'reserved ' || credits || ', spent ' || spent || ', reserved by open holds ' || held || ', given back ' || given_back
from (
  select t.account_id, t.root, max(h.credits) filter (where h.id = t.root) as credits,
         coalesce(sum(c.credits - c.uncollected), 0) as spent,
         coalesce(sum(ledger_hold_amount(h)) filter (where h.status = 'held'), 0) as held,
         coalesce(sum(ledger_hold_amount(h) - coalesce(c.credits - c.uncollected, 0)) filter (where h.id = t.root and h.status <> 'held'), 0) as given_back
  from (with recursive tree as (
          select account_id, id as root, id from billing_hold x where {scope} and depth = 1 and reserved is not null
          union all
          select k.account_id, t.root, k.id from tree t join billing_hold k on k.account_id = t.account_id and k.parent_id = t.id)
        select * from tree) t
    join billing_hold h on h.account_id = t.account_id and h.id = t.id
    left join billing_charge c on c.account_id = h.account_id and c.id = h.charge_id
  group by t.account_id, t.root) s
where credits <> spent + held + given_back
union all
-- A hold that was captured at its end for its reported usage was charged what was reported.
select 'hold ' || h.id || ' (account ' || h.account_id || ')', 'reported ' || coalesce(h.reported->>'credits', '(nothing)') || ', charged ' || c.credits
from (select * from billing_hold x where {scope} and at_expiry = 'capture_reported' and charge_id is not null) h
  join billing_charge c on c.account_id = h.account_id and c.id = h.charge_id and c.idempotency_key = 'expiry of ' || h.id
where (h.reported->>'credits')::numeric is distinct from c.credits or h.reported->'detail' is distinct from c.detail
