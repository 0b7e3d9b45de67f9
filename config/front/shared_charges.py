"""Plain charges of many callers in shared calls of the ledger.

Invariant: a key that this process has not verified lately is left to Django, so that invented keys cost other
callers nothing; so is every charge that is not made now for the first time.
"""

from collections.abc import Sequence

from django.utils import timezone

from accounts import api_keys
from accounts.api_keys import Principal
from config.front.calls import Call, Headers
from config.front.turns import Lanes, Turns
from core import rate_limit
from core.caches import TimedCache
from usage.api import fast_charges

LARGEST_TURN = 64
LARGEST_TURN_OF_ACCOUNT = 32  # while it runs, other processes wait for the wallet
LANE_THREADS = 4
MOST_BYTES = 16 * 1024  # a larger body is for the endpoint
SEEN_SECONDS = 60.0
MOST_SEEN = 10_000
Charged = bytes | fast_charges.Prepared  # the body of the answer, or a charge whose wallet is busy


class SharedCharges:
    """Charges what has arrived in one database call, and what a busy account sends in calls of its own."""

    def __init__(self) -> None:
        self._seen: TimedCache[str, bool] = TimedCache(seconds=SEEN_SECONDS, max_entries=MOST_SEEN)
        self._charges: Turns[Call, Charged] = Turns(self._charge_all, most=LARGEST_TURN)
        self._accounts: Lanes[fast_charges.Prepared, bytes] = Lanes(
            fast_charges.charge_account, most=LARGEST_TURN_OF_ACCOUNT, threads=LANE_THREADS
        )

    async def answer(self, call: Call) -> tuple[Headers, bytes] | None:
        """Headers and body of the response (201); None where the endpoint has to answer."""
        if call.query or len(call.content) > MOST_BYTES or not self._is_seen(call.secret):
            return None
        answer = await self._charges.result(call)
        if isinstance(answer, fast_charges.Prepared):
            answer = await self._accounts.result(answer.account_id, answer)
        if answer is None or call.allowance is None:
            return None
        limits = call.allowance.headers().items()
        return [("Content-Type", "application/json"), *limits, ("Cache-Control", "no-store")], answer

    def _is_seen(self, secret: str) -> bool:
        """Whether this process has verified the key lately."""
        if self._seen.get(secret):
            return True
        if api_keys.leased(secret, timezone.now()) is None:
            return False
        self._seen.get_or_load(secret, lambda _secret: True)
        return True

    def _charge_all(self, calls: Sequence[Call]) -> Sequence[Charged | None]:
        """The answers; None where the caller is not admitted or the request not plain."""
        answers: list[Charged | None] = [None] * len(calls)
        places, plain = [], []
        for place, call in enumerate(calls):
            principal = _admit(call)
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


def _admit(call: Call) -> Principal | None:
    """The caller, if the key is valid and its rate allows the request, which is counted."""
    try:
        principal = api_keys.verify(call.secret, call.now)
    except api_keys.UnknownKey:
        return None
    call.allowance = rate_limit.take(str(principal.id), call.now, principal.rate)
    return principal if call.allowance.passes else None
