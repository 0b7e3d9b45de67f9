"""The ledger on several nodes of Citus: `manage.py distribute`, and the step after each migration.

The tables of the ledger are distributed by account; all others stay on the coordinator. The functions in
`billing/ledger/sql` are installed once more for each group of shards, in a schema with views of exactly these
shards under the names of the tables, so they run there as in one PostgreSQL. In the coordinator's schema a
function that is called from outside only sends the call to the node of its account (docs/decisions/0085).
Invariant: without Citus nothing of this exists, and the ledger is the same.
"""

from billing.ledger.distribution.collecting import collect_events
from billing.ledger.distribution.installation import Step, distribute, drop_shard_schemas, install, steps
from billing.ledger.distribution.requirements import missing

__all__ = ["Step", "collect_events", "distribute", "drop_shard_schemas", "install", "missing", "steps"]
