"""Plain charges of many callers in shared calls of the ledger.

Invariants: every charge that is not made now for the first time is left to the endpoint, and every key that
this process has not verified lately, so that invented keys cost other callers nothing.
"""

from collections.abc import Sequence

from accounts import api_keys
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
Charged = bytes | Prepared  # the body of the answer, or a charge whose wallet is busy


class SharedCharges:
    """Charges what has arrived in one database call, and what a busy account sends in calls of its own."""

    def __init__(self) -> None:
        self._charges: Turns[Call | Prepared, Charged] = Turns(self._charge_all, most=LARGEST_TURN)
        self._accounts: Lanes[Prepared, bytes] = Lanes(
            fast_charges.charge_account, most=LARGEST_TURN_OF_ACCOUNT, threads=LANE_THREADS
        )

    async def answer(self, call: Call) -> Answer | None:
        """The response (201); None where the endpoint has to answer."""
        if call.query or len(call.content) > MOST_BYTES or not api_keys.seen(call.secret):
            return None
        charged = await self._charges.result(call)
        if isinstance(charged, Prepared) and charged.account_id not in self._accounts:
            # nearly always, the call of another process that had locked the wallet has ended
            charged = await self._charges.result(charged)
        if isinstance(charged, Prepared):
            charged = await self._accounts.result(charged.account_id, charged)
        return None if charged is None else callers.answer(call, 201, charged)

    def _charge_all(self, items: Sequence[Call | Prepared]) -> Sequence[Charged | None]:
        """The outcome of each; None where the caller is not admitted or the request not plain."""
        prepared = _prepared(items)
        for item, one in zip(items, prepared, strict=True):
            if one is not None and isinstance(item, Call):
                item.begun, item.account_id = True, one.account_id
        outcomes: list[Charged | None] = list(prepared)
        places = [
            place
            for place, one in enumerate(prepared)
            if one is not None and one.account_id not in self._accounts
        ]
        charged = fast_charges.charge_all([one for place in places if (one := prepared[place])])
        for place, outcome in zip(places, charged, strict=True):
            if not isinstance(outcome, ledger.WalletBusy):
                outcomes[place] = outcome
        return outcomes


def _prepared(items: Sequence[Call | Prepared]) -> list[Prepared | None]:
    made = iter(
        fast_charges.prepare_all([_plain_charge(item) for item in items if not isinstance(item, Prepared)])
    )
    return [item if isinstance(item, Prepared) else next(made) for item in items]


def _plain_charge(call: Call) -> PlainCharge | None:
    principal = callers.admit(call)
    if principal is None:
        return None
    return fast_charges.plain_charge(
        principal=principal, key=call.key or "", content=call.content, now=call.now
    )
