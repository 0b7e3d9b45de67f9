"""The Python client repeats a request with the same key, and only where that is safe."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from refill_client import (
    AsyncClient,
    Client,
    InvalidRequest,
    LimitReached,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Retries,
    UnexpectedResponse,
)
from refill_client._exchange import Exchange
from refill_client._spending import charge

from tests import event_loop

Answer = httpx.Response | Exception


def refusal(status: int, code: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    problem = {"status": status, "code": code, "detail": "", "request_id": "r-1", **fields}
    return httpx.Response(status, json=problem, headers=headers)


class Server:
    """Answers in the given order and records the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **retries: Any) -> Client:
        settings = Retries(**{"chance": lambda: 0.0, **retries})
        return Client("http://portal.test", "key", retries=settings, transport=httpx.MockTransport(self))

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.requests]


def redeemed() -> httpx.Response:
    return httpx.Response(201, json={"code": "X", "kind": "promotion", "credits": "5.5"})


REPEATED: list[Callable[[], Answer]] = [
    lambda: refusal(409, "idempotency_key_in_progress"),
    lambda: refusal(429, "rate_limited", {"Retry-After": "0"}),
    lambda: refusal(503, "unavailable"),
    lambda: httpx.Response(502, text="<html>bad gateway</html>"),
    lambda: httpx.ConnectError("refused"),
    lambda: httpx.ReadTimeout("slow"),
]


@pytest.mark.parametrize("answer", REPEATED)
def test_a_request_with_a_key_is_repeated_with_the_same_key_and_body(answer: Callable[[], Answer]) -> None:
    server = Server(answer(), answer(), redeemed())
    assert server.client().redeem("X").credits == 5.5
    first, *others = server.requests
    assert server.keys[0] and set(server.keys) == {server.keys[0]}
    assert all(request.content == first.content for request in others) and len(others) == 2


def test_two_requests_have_different_keys_and_a_given_key_is_kept() -> None:
    server = Server(redeemed(), redeemed(), redeemed())
    client = server.client()
    client.redeem("X")
    client.redeem("X")
    client.redeem("X", idempotency_key="mine")
    assert server.keys[0] != server.keys[1] and server.keys[2] == "mine"


def test_after_the_last_attempt_the_error_has_the_key_of_the_request() -> None:
    server = Server(*(refusal(503, "unavailable") for _ in range(3)))
    with pytest.raises(OutcomeUnknown) as raised:
        server.client(attempts=3).redeem("X")
    assert raised.value.idempotency_key == server.keys[0] and len(server.requests) == 3


def test_a_post_without_a_key_is_not_repeated_when_its_outcome_is_unknown() -> None:
    for answer in (refusal(503, "unavailable"), httpx.ReadError("closed")):
        server = Server(answer)
        with pytest.raises(OutcomeUnknown):
            server.client().create_project("Server")
    assert len(server.requests) == 1


def test_a_post_without_a_key_is_repeated_when_it_was_not_sent() -> None:
    server = Server(httpx.ConnectError("refused"), refusal(400, "invalid_request"))
    with pytest.raises(InvalidRequest):
        server.client().create_project("Server")
    assert len(server.requests) == 2


def test_refusals_and_reached_limits_are_not_repeated() -> None:
    limit = refusal(429, "limit_reached", {"Retry-After": "3600"}, resets_at="2026-11-21T00:00:00Z")
    for answer, error in ((limit, LimitReached), (refusal(400, "invalid_request"), InvalidRequest)):
        server = Server(answer)
        with pytest.raises(error):
            server.client().redeem("X")
        assert len(server.requests) == 1


def test_after_an_attempt_without_an_answer_a_last_one_that_does_not_tell_leaves_the_outcome_unknown() -> (
    None
):
    for last in (
        refusal(429, "rate_limited", {"Retry-After": "60"}),
        refusal(409, "idempotency_key_in_progress", {"Retry-After": "60"}),
    ):
        with pytest.raises(OutcomeUnknown):
            Server(httpx.ReadError("closed"), last).client().redeem("X")
    with pytest.raises(InvalidRequest):
        Server(httpx.ReadError("closed"), refusal(400, "invalid_request")).client().redeem("X")


def test_an_internal_error_leaves_the_outcome_unknown() -> None:
    with pytest.raises(OutcomeUnknown):
        Server(*(refusal(500, "internal_error") for _ in range(5))).client().redeem("X")


def test_a_long_retry_after_raises_the_error_at_once() -> None:
    server = Server(refusal(429, "rate_limited", {"Retry-After": "60"}))
    with pytest.raises(RateLimited) as raised:
        server.client(longest_wait=20.0).redeem("X")
    assert raised.value.retry_after == 60 and len(server.requests) == 1


def test_waiting_times_are_random_up_to_a_bound_that_doubles_after_retry_after() -> None:
    exchange = Exchange(charge("m", {"uses": 1}), Retries(attempts=9, longest_wait=3.0, chance=lambda: 0.5))
    http = httpx.Client(base_url="http://portal.test")
    waits = []
    for _attempt in range(5):
        exchange.request(http)
        waits.append(exchange.answered(refusal(503, "unavailable")))
    exchange.request(http)
    waits.append(exchange.answered(refusal(503, "unavailable", {"Retry-After": "2"})))
    assert waits == [0.125, 0.25, 0.5, 1.0, 1.5, 3.5]


def test_a_page_that_is_not_of_the_api_is_an_error_of_its_own() -> None:
    for page in (httpx.Response(200, text="<html>"), httpx.Response(404, text="<html>"), httpx.Response(301)):
        with pytest.raises(UnexpectedResponse):
            Server(page).client().alerts()


def test_the_asynchronous_client_repeats_by_the_same_rules() -> None:
    server = Server(refusal(503, "unavailable"), httpx.ReadError("closed"), redeemed())

    async def redeem() -> None:
        retries = Retries(chance=lambda: 0.0)
        transport = httpx.MockTransport(server)
        async with AsyncClient("http://portal.test", "key", retries=retries, transport=transport) as client:
            assert (await client.redeem("X")).credits == 5.5

    event_loop.run(redeem())
    assert server.keys[0] and len(set(server.keys)) == 1 and len(server.requests) == 3


@pytest.mark.parametrize(("url", "key"), [("portal.test", "rk_1"), ("https://portal.test", "")])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_without_scheme_or_key_is_refused_at_once(kind: Any, url: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"https://|key is empty"):
        kind(url, key)


def test_a_file_is_returned_as_its_bytes_and_its_refusal_as_an_error() -> None:
    """Bytes that are not JSON, nor text."""
    server = Server(httpx.Response(200, content=b"%PDF-\xff"), refusal(404, "not_found"))
    client = Client("http://portal.test", "key", transport=httpx.MockTransport(server))
    assert client.invoice("pur_1") == b"%PDF-\xff"
    assert server.requests[0].url.path == "/api/v1/purchases/pur_1/invoice"
    with pytest.raises(NotFound):
        client.invoice("pur_1")
