"""The callers of requests that share calls, and the responses to them."""

from accounts import api_keys
from accounts.api_keys import Principal
from config.front.calls import Answer, Call
from core import rate_limit


def admit(call: Call) -> Principal | None:
    """The caller, if the key is valid and its rate allows the request, which is counted.

    None too where its requests cannot be counted at once: other callers wait for this one's turn.
    """
    try:
        principal = api_keys.verify(call.secret, call.now)
    except api_keys.UnknownKey:
        return None
    call.allowance = rate_limit.take_at_once(str(principal.id), call.now, principal.rate)
    return principal if call.allowance is not None and call.allowance.passes else None


def answer(call: Call, status: int, content: bytes) -> Answer:
    """The response to an admitted caller, with the headers of `core.endpoint`."""
    assert call.allowance is not None
    limits = call.allowance.headers().items()
    headers = [("Content-Type", "application/json"), *limits, ("Cache-Control", "no-store")]
    return Answer(status, headers, content)
