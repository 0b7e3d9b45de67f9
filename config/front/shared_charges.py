"""Plain charges of many callers in shared calls of the ledger.

Charges are prepared (key, rate, body, account, price) while the call with those before them runs.
Invariant: every charge that is not made now for the first time is left to the endpoint.
"""

from collections.abc import Sequence

from billing import ledger
from config.front import callers
from config.front.calls import Answer, Call
from config.front.turns import Lanes, Turns
from usage.api import fast_charges
from usage.api.fast_charges import PlainCharge, Prepared

LARGEST_TURN = 64
LARGEST_TURN_OF_ACCOUNT = 32  # while it runs, other processes wait for the wallet
LANE_THREADS = 4
MOST_BYTES = 16 * 1024  # a larger body is for the endpoint


class SharedCharges:
    """Charges what has arrived in one database call, and what a busy account sends in calls of its own."""

    def __init__(self, seen: callers.SeenKeys) -> None:
        self._seen = seen
        self._prepared: Turns[Call, Prepared] = Turns(_prepare_all, most=LARGEST_TURN)
        self._charges: Turns[Prepared, bytes | ledger.WalletBusy] = Turns(
            fast_charges.charge_all, most=LARGEST_TURN
        )
        self._accounts: Lanes[Prepared, bytes] = Lanes(
            fast_charges.charge_account, most=LARGEST_TURN_OF_ACCOUNT, threads=LANE_THREADS
        )

    async def answer(self, call: Call) -> Answer | None:
        """The response (201); None where the endpoint has to answer."""
        if call.query or len(call.content) > MOST_BYTES or call.secret not in self._seen:
            return None
        prepared = await self._prepared.result(call)
        if prepared is None:
            return None
        call.begun = True
        charged = await self._charge(prepared)
        return None if charged is None else callers.answer(call, 201, charged)

    async def _charge(self, prepared: Prepared) -> bytes | None:
        account_id = prepared.request.account_id
        if account_id not in self._accounts:
            charged = await self._charges.result(prepared)
            if not isinstance(charged, ledger.WalletBusy):
                return charged
        return await self._accounts.result(account_id, prepared)


def _prepare_all(calls: Sequence[Call]) -> Sequence[Prepared | None]:
    """The charges; None where the caller is not admitted or the request not plain."""
    return fast_charges.prepare_all([_plain_charge(call) for call in calls])


def _plain_charge(call: Call) -> PlainCharge | None:
    principal = callers.admit(call)
    if principal is None:
        return None
    return fast_charges.plain_charge(
        principal=principal, key=call.key or "", content=call.content, now=call.now
    )
