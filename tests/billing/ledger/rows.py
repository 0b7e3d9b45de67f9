"""The database's rows and the model's objects of an account in one comparable form."""

import datetime as dt
import json
from decimal import Decimal

from django.db import connection

from tests.billing.ledger.periods import NEVER


def everything_of(account):
    """Return the wallet and the rows of four tables with one query."""
    tables = ("wallet", "grant", "charge", "hold", "limit")
    rows = [f"(select json_agg(x) from billing_{name} x where account_id = %s)::text" for name in tables]
    with connection.cursor() as cursor:
        cursor.execute("select " + ", ".join(rows), [account] * len(tables))
        wallets, *others = [json.loads(text or "[]", parse_float=Decimal) for text in cursor.fetchone()]
    return wallets[0], *others


def drawn(use):
    return [{"grant": str(one.id), "kind": one.kind, "credits": f"{part:.6f}"} for one, part in use.drawn]


def as_written(row):
    created, expires = (
        row[name] and dt.datetime.fromisoformat(row[name]) for name in ("created_at", "expires_at")
    )
    figures = [
        row[name] for name in ("credits", "remaining", "held", "spent", "kind", "priority", "services")
    ]
    return [*figures, row["purchase_id"], created, expires or NEVER]


def as_modelled(grant):
    figures = [
        grant.credits,
        grant.remaining,
        grant.held,
        grant.spent - grant.booked,
        grant.kind,
        grant.priority,
    ]
    purchase = grant.purchase and str(grant.purchase)
    return [*figures, grant.services and list(grant.services), purchase, grant.created, grant.expires]
