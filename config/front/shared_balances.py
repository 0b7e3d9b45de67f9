"""Balances of many accounts in shared calls of the ledger.

Invariant: a shared call takes no lock. What it cannot answer (an unknown account, a wallet that is due or has
very many grants, an unusual query, a key that this process has not verified lately) is left to the endpoint.
"""

from collections.abc import Sequence

from django.http import HttpResponse
from django.utils import timezone

from accounts import api_keys
from config.compression import SMALLEST
from config.front import callers, direct
from config.front.calls import Answer, Call
from config.front.turns import Turns
from usage.api import fast_balances
from usage.api.fast_balances import PlainRead

LARGEST_TURN = 64


class SharedBalances:
    """Reads the balances that were requested during one call in the next one."""

    def __init__(self) -> None:
        self._reads: Turns[Call, Answer] = Turns(_read_all, most=LARGEST_TURN)

    async def answer(self, call: Call) -> Answer | None:
        """The response (200); None where the endpoint has to answer."""
        return await self._reads.result(call) if api_keys.seen(call.secret) else None


def _read_all(calls: Sequence[Call]) -> Sequence[Answer | None]:
    """The responses; None where the caller is not admitted or the request not plain."""
    balances = fast_balances.read_all([_plain_read(call) for call in calls], timezone.now())
    for call, balance in zip(calls, balances, strict=True):
        call.account_id = balance.account_id if balance else None
    return [
        _answer(call, balance.content) if balance else None
        for call, balance in zip(calls, balances, strict=True)
    ]


def _plain_read(call: Call) -> PlainRead | None:
    principal = callers.admit(call)
    return None if principal is None else fast_balances.plain_read(principal, call.query)


def _answer(call: Call, content: bytes) -> Answer:
    answer = callers.answer(call, 200, content)
    if len(content) < SMALLEST:
        return answer
    response = direct.compressed(call, HttpResponse(content, headers=dict(answer.headers)))
    return Answer(200, list(response.items()), response.content)
