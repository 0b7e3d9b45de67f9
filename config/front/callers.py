"""The callers of requests that share calls, and the responses to them.

Invariant: a key that this process has not verified lately is left to Django, so that invented keys cost other
callers nothing.
"""

from django.utils import timezone

from accounts import api_keys
from accounts.api_keys import Principal
from config.front.calls import Answer, Call
from core import rate_limit
from core.caches import TimedCache

SEEN_SECONDS = 60.0
MOST_SEEN = 10_000


class SeenKeys:
    """The keys that this process has verified within SEEN_SECONDS."""

    def __init__(self) -> None:
        self._seen: TimedCache[str, bool] = TimedCache(seconds=SEEN_SECONDS, max_entries=MOST_SEEN)

    def __contains__(self, secret: str) -> bool:
        if self._seen.get(secret):
            return True
        if api_keys.leased(secret, timezone.now()) is None:
            return False
        self._seen.get_or_load(secret, lambda _secret: True)
        return True


def admit(call: Call) -> Principal | None:
    """The caller, if the key is valid and its rate allows the request, which is counted."""
    try:
        principal = api_keys.verify(call.secret, call.now)
    except api_keys.UnknownKey:
        return None
    call.allowance = rate_limit.take(str(principal.id), call.now, principal.rate)
    return principal if call.allowance.passes else None


def answer(call: Call, status: int, content: bytes) -> Answer:
    """The response to an admitted caller, with the headers of `core.endpoint`."""
    assert call.allowance is not None
    limits = call.allowance.headers().items()
    headers = [("Content-Type", "application/json"), *limits, ("Cache-Control", "no-store")]
    return Answer(status, headers, content)
