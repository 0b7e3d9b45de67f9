"""GET /balance without REST framework: plain requests, many at once.

Invariant: only a balance that one call without locks can read is answered here. For every other request
`read_all` returns None, and the endpoint in `usage.api.balance` answers it.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from accounts import authentication
from accounts.api_keys import Principal
from core import json_body
from usage.api.balance import balance_answers

_ACCOUNT = re.compile(r"account=([0-9A-Za-z_.:@-]{1,255})", re.ASCII)


class PlainRead(NamedTuple):
    """A request that may be answered here. `named`: the account that its query names."""

    principal: Principal
    named: str | None


def plain_read(principal: Principal, query: str) -> PlainRead | None:
    """The request, or None if it is not plain: its endpoint then says what is wrong, or handles it."""
    if not principal.may("read"):
        return None
    if not query:
        return PlainRead(principal, None)
    match = _ACCOUNT.fullmatch(query)
    return PlainRead(principal, match[1]) if match else None


class PlainBalance(NamedTuple):
    """The body of an answer, and the account that it is about."""

    account_id: UUID
    content: bytes


def read_all(reads: Sequence[PlainRead | None], now: datetime) -> list[PlainBalance | None]:
    """Each answer, from one call of the ledger; None where the endpoint answers."""
    plain = [(place, read) for place, read in enumerate(reads) if read is not None]
    owners = authentication.accounts_of([read for _place, read in plain])
    answers = balance_answers({owner for owner in owners if owner is not None}, now)
    contents = {account_id: json_body.dumps(answer).encode() for account_id, answer in answers.items()}
    balances: list[PlainBalance | None] = [None] * len(reads)
    for (place, _read), owner in zip(plain, owners, strict=True):
        if owner in contents:
            balances[place] = PlainBalance(owner, contents[owner])
    return balances
