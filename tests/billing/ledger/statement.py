"""An account's entries, grants and limits as short lines, so that a test states all of them.

A line of an entry: minutes since noon, kind, grant, credits = what remains of the grant / the balance, then
what else it has: the change of debt, charge, hold, reason, actor. Grants are named by their label, charges
and holds by their key.
"""

import uuid
from decimal import Decimal

from billing.ledger.models import Charge, Entry, Grant, Hold, Limit, Notice, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import NOON


def entries(account: uuid.UUID, after: int = 0) -> list[str]:
    """The entries whose number is above `after`, without those that introduce records and move nothing."""
    found = Entry.objects.filter(account_id=account, seq__gt=after).order_by("seq")
    return [_line(entry) for entry in found if entry.kind not in {"correct", "terms"}]


def grants(account: uuid.UUID) -> dict[str, tuple[str, str, str, bool]]:
    """Remaining, held, spent and open of each grant, by its label."""
    return {
        one.label: (plain(one.remaining), plain(one.held), plain(one.spent), one.open)
        for one in Grant.objects.filter(account_id=account)
    }


def used(account: uuid.UUID) -> dict[str, str]:
    """What is used of each limit, by its kind."""
    return {one.kind: plain(one.used) for one in Limit.objects.filter(account_id=account)}


def notices(account: uuid.UUID) -> list[tuple[str, str, str]]:
    """Kind, balance and threshold of each notice."""
    found = Notice.objects.filter(account_id=account).order_by("pk")
    return [
        (one.kind, plain(Decimal(one.detail["balance"])), plain(Decimal(one.detail["warn_below"])))
        for one in found
    ]


def amounts(account: uuid.UUID) -> tuple[str, str, str]:
    """Balance, held credits and debt of the wallet as they are stored."""
    wallet = Wallet.objects.get(account_id=account)
    return plain(wallet.balance), plain(wallet.held), plain(wallet.debt)


def _line(entry: Entry) -> str:
    grant = entry.grant.label if entry.grant_id else "-"
    minutes = round((entry.created_at - NOON).total_seconds() / 60)
    after = f"{plain(entry.grant_after)} / {plain(entry.balance_after)}"
    line = f"{minutes} {entry.kind} {grant} {plain(entry.credits)} = {after}"
    if entry.debt:
        line += f" debt {plain(entry.debt)}"
    if entry.charge_id:
        line += f" charge {Charge.objects.get(pk=entry.charge_id).idempotency_key}"
    if entry.hold_id:
        line += f" hold {Hold.objects.get(pk=entry.hold_id).idempotency_key}"
    if entry.reason or entry.actor:
        line += f" because {entry.reason} by {entry.actor or 'nobody'}"
    return line
