"""Reads of a tree of holds: what each of its branches has spent, reserves, and has left.

Invariant: the sums come from one snapshot, so that they add up to what the hold reserved.
"""

import uuid
from dataclasses import dataclass
from decimal import Decimal

from billing.ledger import database

_HOLDS = """
with recursive tree as (
  select h.id, null::uuid as parent, h.depth, h.charge_id, h.status, ledger_hold_amount(h) as amount
  from billing_hold h where h.account_id = %(account_id)s and h.id = %(hold_id)s
  union all
  select k.id, k.parent_id, k.depth, k.charge_id, k.status, ledger_hold_amount(k)
  from tree t join billing_hold k on k.account_id = %(account_id)s and k.parent_id = t.id
)
select t.id::text, t.parent::text, coalesce(c.credits - c.uncollected, 0)::text as spent,
       (case when t.status = 'held' then t.amount else 0 end)::text as remaining
from tree t left join billing_charge c on c.account_id = %(account_id)s and c.id = t.charge_id
order by t.depth desc
"""


@dataclass(kw_only=True, slots=True)
class BranchSums:
    """What a hold has spent with everything below it, what its open children reserve, what remains of it."""

    spent: Decimal
    reserved: Decimal
    remaining: Decimal


def tree(account_id: uuid.UUID, hold_id: uuid.UUID) -> dict[uuid.UUID, BranchSums]:
    """The sums of a hold and of every hold below it."""
    rows = database.read(_HOLDS, {"account_id": account_id, "hold_id": hold_id}, account_id=account_id)
    sums = {
        uuid.UUID(row["id"]): BranchSums(
            spent=Decimal(row["spent"]), reserved=Decimal(0), remaining=Decimal(row["remaining"])
        )
        for row in rows
    }
    for row in rows:  # the deepest first, so that a hold is complete before it is added to its parent
        if row["parent"]:
            own, above = sums[uuid.UUID(row["id"])], sums[uuid.UUID(row["parent"])]
            above.spent += own.spent
            above.reserved += own.reserved + own.remaining
    return sums


# The roots above the newest holds that have children: ids sort by time, and the index of children is by
# parent. The newest may all be branches of one tree.
_ROOTS = """
with recursive parents as (
  (select x.parent_id from billing_hold x where x.account_id = %(account_id)s and x.parent_id is not null
    order by x.parent_id desc limit 1)
  union all
  select (select x.parent_id from billing_hold x
           where x.account_id = %(account_id)s and x.parent_id < p.parent_id
           order by x.parent_id desc limit 1)
  from parents p where p.parent_id is not null
), newest as (
  select parent_id from parents where parent_id is not null limit %(most)s
), above as (
  select h.id, h.parent_id from newest n
    join billing_hold h on h.account_id = %(account_id)s and h.id = n.parent_id
  union
  select h.id, h.parent_id from above a
    join billing_hold h on h.account_id = %(account_id)s and h.id = a.parent_id
)
select id::text from above where parent_id is null
"""


def newest_roots(account_id: uuid.UUID, most: int) -> list[uuid.UUID]:
    """The roots of the account's newest trees: of the newest `most` holds that have, or had, children."""
    rows = database.read(_ROOTS, {"account_id": account_id, "most": most}, account_id=account_id)
    return [uuid.UUID(row["id"]) for row in rows]
