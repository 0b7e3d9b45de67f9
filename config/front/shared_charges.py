"""Plain charges of many callers in shared calls of the ledger.

Invariant: every charge that is not made now for the first time is left to the endpoint.
"""

from collections.abc import Sequence

from config.front import callers
from config.front.calls import Answer, Call
from config.front.turns import Lanes, Turns
from usage.api import fast_charges

LARGEST_TURN = 64
LARGEST_TURN_OF_ACCOUNT = 32  # while it runs, other processes wait for the wallet
LANE_THREADS = 4
MOST_BYTES = 16 * 1024  # a larger body is for the endpoint
Charged = bytes | fast_charges.Prepared  # the body of the answer, or a charge whose wallet is busy


class SharedCharges:
    """Charges what has arrived in one database call, and what a busy account sends in calls of its own."""

    def __init__(self, seen: callers.SeenKeys) -> None:
        self._seen = seen
        self._charges: Turns[Call, Charged] = Turns(self._charge_all, most=LARGEST_TURN)
        self._accounts: Lanes[fast_charges.Prepared, bytes] = Lanes(
            fast_charges.charge_account, most=LARGEST_TURN_OF_ACCOUNT, threads=LANE_THREADS
        )

    async def answer(self, call: Call) -> Answer | None:
        """The response (201); None where the endpoint has to answer."""
        if call.query or len(call.content) > MOST_BYTES or call.secret not in self._seen:
            return None
        charged = await self._charges.result(call)
        if isinstance(charged, fast_charges.Prepared):
            charged = await self._accounts.result(charged.account_id, charged)
        return None if charged is None else callers.answer(call, 201, charged)

    def _charge_all(self, calls: Sequence[Call]) -> Sequence[Charged | None]:
        """The answers; None where the caller is not admitted or the request not plain."""
        answers: list[Charged | None] = [None] * len(calls)
        places, plain = [], []
        for place, call in enumerate(calls):
            principal = callers.admit(call)
            charge = principal and fast_charges.plain_charge(
                principal=principal, key=call.key or "", content=call.content, now=call.now
            )
            if charge:
                places.append(place)
                plain.append(charge)
        charged = fast_charges.charge_all(plain, is_busy=self._accounts.__contains__)
        for place, answer in zip(places, charged, strict=True):
            answers[place] = answer
        return answers
