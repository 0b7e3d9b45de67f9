"""What archived entries moved, for reports that add up entries.

Invariant: an entry counts either as archived or as stored, also while an archive is removing entries.
"""

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal

from django.db.models import QuerySet

from billing.ledger import database

_OF_PURCHASES = """
select s.purchase, s.month, s.kind, sum(s.credits) as credits from billing_archivedwallet a,
  jsonb_to_recordset(a.sums) s(purchase uuid, month date, kind text, credits numeric) group by 1, 2, 3
"""


def sums_of_purchases(purchases: QuerySet) -> Iterator[tuple[uuid.UUID, dt.datetime, str, Decimal]]:
    """What archived entries moved of these purchases: purchase, month (its start, UTC), kind and credits."""
    wanted = set(purchases.values_list("pk", flat=True))
    for row in database.rows(_OF_PURCHASES, {}):
        if row["purchase"] in wanted:
            month = dt.datetime.combine(row["month"], dt.time(), dt.UTC)
            yield row["purchase"], month, row["kind"], row["credits"]
