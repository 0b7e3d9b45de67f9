"""Events for webhooks, which the ledger has stored on its nodes, move to the others.

Invariant: an event is stored with the coordinator's events in the transaction that removes it from its node.
"""

from django.db import transaction

from billing.ledger import database

# (the view of ledger_event beside the shards)
_STORED = """select account_id::text, type, fact, data::text as data, created_at from accounts_webhookevent
  order by created_at, fact limit %(limit)s"""
_RECORD = """select webhook_record(%(account_id)s::uuid, %(type)s, %(fact)s, %(data)s::jsonb,
  %(created_at)s::timestamptz)::text as recorded"""
_REMOVE = """delete from ledger_event where account_id = %(account_id)s::uuid and fact = %(fact)s
  returning fact"""


def collect_events(*, limit: int = 500) -> int:
    """Move events, the oldest first; returns their number. Without several nodes there are none."""
    if not database.is_distributed():
        return 0
    events = database.read_reachable(_STORED, {"limit": limit})
    for event in events:
        with transaction.atomic():
            if database.rows(_REMOVE, event):
                database.rows(_RECORD, event)
    return len(events)
