"""Which bodies the front reads, how much of them, and how long it waits."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.conf import settings

from accounts import key_format
from accounts.models import User
from billing.models import StripeEvent
from config.front import bodies
from core.json_body import LARGEST_BODY
from core.problems import Problem
from tests.config.front.rsgi import CHUNK, Front, Headers, Protocol, Scope
from tests.event_loop import run
from usage.api.charges import Batch

CHARGES = "/api/v1/charges"
JSON = {"Content-Type": "application/json"}

pytestmark = pytest.mark.django_db(transaction=True)


class Stalled(Protocol):
    """A client that sends a part of its body, and no more."""

    async def __call__(self) -> bytes:
        await asyncio.sleep(60)
        raise AssertionError

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content
        await asyncio.sleep(60)


def bearer(secret: str) -> dict[str, str]:
    return {**JSON, "Authorization": f"Bearer {secret}", "Idempotency-Key": "k"}


@pytest.fixture
def secret(catalogue: None, alice: User, api_of: Any) -> str:
    return str(api_of(alice).secret)


@pytest.mark.parametrize(
    "headers",
    [
        JSON,
        {**JSON, "Authorization": "Basic YTpi"},
        bearer("rk_account_invented"),
        {**JSON, "Cookie": "other=1"},
        {**JSON, "Transfer-Encoding": "chunked"},
    ],
)
def test_the_body_of_a_caller_that_is_not_authenticated_is_not_read(
    front: Front, headers: dict[str, str]
) -> None:
    response, read = front.exchange("POST", CHARGES, headers, Protocol(b"x" * LARGEST_BODY))
    assert (response.status, json.loads(response.body)["code"]) == (401, "unauthenticated")
    assert read == 0


def test_the_body_of_a_well_formed_key_and_of_a_session_is_read(front: Front) -> None:
    content = b'{"service": "x"}'
    for headers in (bearer(key_format.new_secret("account")), {**JSON, "Cookie": "refill_session_8000=x"}):
        response, read = front.exchange("POST", CHARGES, headers, Protocol(content))
        assert (response.status, read) == (401, len(content))


def test_a_body_larger_than_its_endpoint_takes_is_refused_unread(front: Front, secret: str) -> None:
    response, read = front.exchange("POST", CHARGES, bearer(secret), Protocol(b" " * (LARGEST_BODY + 1)))
    assert (response.status, json.loads(response.body)["code"]) == (413, "body_too_large")
    assert response.header("RateLimit") and response.header("Content-Type") == "application/problem+json"
    assert read == 0


def test_a_batch_takes_more_than_other_endpoints(front: Front, secret: str) -> None:
    content = json.dumps({"data": []}).encode() + b" " * LARGEST_BODY
    response, read = front.exchange("POST", f"{CHARGES}/batch", bearer(secret), Protocol(content))
    assert (response.status, read) == (400, len(content))
    response, read = front.exchange("POST", f"{CHARGES}/batch", bearer(secret), Protocol(content * 20))
    assert (response.status, read) == (413, 0)


def test_a_webhook_and_a_form_have_limits_of_their_own(front: Front) -> None:
    path = "/stripe/webhook/"
    event = Protocol(b"x" * (bodies.LARGEST_WEBHOOK + 1))
    response, read = front.exchange("POST", path, JSON, event)
    assert (response.status, read) == (413, 0)
    assert response.header("Content-Type") == "text/plain; charset=utf-8"
    response, _read = front.exchange("POST", path, JSON, Protocol(b"x" * bodies.LARGEST_WEBHOOK))
    assert (response.status, response.body) == (400, b"signature invalid")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response, read = front.exchange("POST", "/accounts/login/", form, Protocol(b"x" * 3_000_000))
    assert (response.status, read) == (413, 0)
    assert not StripeEvent.objects.exists()


def test_a_body_in_chunks_reaches_a_page_and_stops_at_its_limit(front: Front) -> None:
    chunked = {**JSON, "Transfer-Encoding": "chunked"}
    response, read = front.exchange("POST", "/stripe/webhook/", chunked, Protocol(b"x" * 100_000))
    assert (response.body, read) == (b"signature invalid", 100_000)
    response, read = front.exchange("POST", "/stripe/webhook/", chunked, Protocol(b"x" * 9_000_000))
    assert response.status == 413
    assert read < 2 * bodies.LARGEST_WEBHOOK


def test_a_body_in_chunks_is_refused_by_the_api(front: Front, secret: str) -> None:
    chunked = {**bearer(secret), "Transfer-Encoding": "chunked"}
    response, read = front.exchange("POST", CHARGES, chunked, Protocol(b"{}"))
    assert (response.status, json.loads(response.body)["code"], read) == (411, "length_required", 0)


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
def test_a_body_that_does_not_arrive_in_time_is_refused(
    front: Front, headers: dict[str, str], settings: Any
) -> None:
    settings.WEB_BODY_SECONDS = 0.05
    response, _read = front.exchange("POST", "/stripe/webhook/", {**JSON, **headers}, Stalled(b"half"))
    assert (response.status, response.header("Connection")) == (408, "close")


def test_a_slow_body_of_the_api_is_refused_with_a_problem(front: Front, secret: str, settings: Any) -> None:
    settings.WEB_BODY_SECONDS = 0.05
    sent = {**bearer(secret), "X-Request-Id": "mine"}
    response, _read = front.exchange("POST", CHARGES, sent, Stalled(b"half"))
    problem = json.loads(response.body)
    assert (response.status, problem["code"], problem["request_id"]) == (408, "request_timeout", "mine")
    assert response.header("X-Request-Id") == "mine"
    assert response.header("Content-Type") == "application/problem+json"


def posted(headers: dict[str, str], path: str = CHARGES) -> Scope:
    return Scope("POST", path, Headers(list(headers.items())))


@pytest.mark.parametrize(
    ("length", "size", "is_read"),
    [
        ("10", 10, True),
        ("11", 11, False),
        ("+10", 10, False),
        ("10 ", 10, False),
        ("", 10, False),
        ("0" * 16 + "10", 10, True),
        ("0" * 17 + "10", 10, False),
        (None, 10, True),
        (None, 11, False),
    ],
)
def test_a_body_may_have_exactly_as_many_bytes_as_allowed(
    length: str | None, size: int, is_read: bool
) -> None:
    scope = posted({} if length is None else {"Content-Length": length})
    reading = bodies.read(scope, Protocol(b"x" * size), most=10)
    if is_read:
        assert run(reading) == b"x" * size
    else:
        with pytest.raises(bodies.TooLarge):
            run(reading)


@pytest.mark.parametrize(
    ("headers", "chunks", "read"),
    [({}, 1, 1), ({}, 3, 3), ({}, 4, 4), ({}, 9, 4), ({"Expect": "100-continue"}, 1, 0)],
)
def test_of_a_refused_body_a_limited_part_is_discarded(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], chunks: int, read: int
) -> None:
    monkeypatch.setattr(bodies, "MOST_DISCARDED", 3 * CHUNK)
    protocol = Protocol(b"x" * chunks * CHUNK)
    run(bodies.discard(posted(headers), protocol))
    assert protocol.read == read * CHUNK


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Content-Length": "0"}, False),
        ({"Content-Length": "1"}, True),
        ({"Transfer-Encoding": "chunked"}, True),
    ],
)
def test_a_request_has_a_body_when_its_headers_say_so(headers: dict[str, str], expected: bool) -> None:
    assert bodies.has_body(posted(headers)) == expected


@pytest.mark.parametrize(
    ("path", "length", "allowed"),
    [
        (CHARGES, LARGEST_BODY, LARGEST_BODY),
        (CHARGES, LARGEST_BODY + 1, LARGEST_BODY),
        (f"{CHARGES}/batch", LARGEST_BODY, LARGEST_BODY),
        (f"{CHARGES}/batch", LARGEST_BODY + 1, Batch.largest_body),
        (f"{CHARGES}/batch", None, Batch.largest_body),
        ("/api/v1/unknown", LARGEST_BODY + 1, LARGEST_BODY),
        ("/stripe/webhook/", 1, bodies.LARGEST_WEBHOOK),
        ("/billing/", 1, settings.DATA_UPLOAD_MAX_MEMORY_SIZE),
    ],
)
def test_each_path_has_its_largest_body(path: str, length: int | None, allowed: int) -> None:
    headers = {} if length is None else {"Content-Length": str(length)}
    assert bodies.largest(posted(headers, path)) == allowed


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Authorization": "Bearer KEY"}, False),
        ({"Authorization": "bearer  KEY "}, False),
        ({"Authorization": "Basic KEY"}, True),
        ({"Authorization": "BearerKEY"}, True),
        ({"Authorization": "Bearer other", "Cookie": "SESSION=x"}, True),
        ({"Cookie": "a=1; SESSION=x"}, False),
        ({"Cookie": "SESSION"}, True),
        ({}, True),
    ],
)
def test_a_caller_without_key_and_session_is_refused_before_its_body(
    headers: dict[str, str], refused: bool
) -> None:
    key, name = key_format.new_secret("account"), settings.SESSION_COOKIE_NAME
    sent = {one: value.replace("KEY", key).replace("SESSION", name) for one, value in headers.items()}
    assert bodies.is_certainly_refused(posted(sent)) == refused


def test_a_body_that_was_not_read_answers_once_with_its_problem() -> None:
    body = bodies.Refused(Problem(413, "body_too_large", "-"))
    assert body.readable()
    with pytest.raises(Problem):
        body.read()
    assert body.read() == b""
