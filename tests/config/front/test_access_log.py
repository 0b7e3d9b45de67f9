"""The access log has a line for each request, with the request and account ids and without secrets."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client import REGISTRY

from accounts.models import Account, User
from config.front import access_log
from config.front.access_log import LARGEST_WRITE, MOST_WAITING, AccessLog, Line
from tests.config.front.rsgi import Front

USE = b'{"service": "document-question", "usage": {"uses": 1}}'
LINE = Line(timezone.now().timestamp(), 0.0123, "GET", "/buy/", 200, 512, "req-1", None)
Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log(
    transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Front, Log]]:
    """A front that writes an access log, and a function that ends it and returns its lines."""
    from config.front.application import Application  # it needs the database

    writes: list[bytes] = []
    monkeypatch.setattr(access_log, "to_standard_output", writes.append)
    settings.ACCESS_LOG = True
    application = Application()
    application._log.start()  # type: ignore[union-attr]
    front = Front(application)

    def lines() -> list[dict[str, Any]]:
        application._log.end()  # type: ignore[union-attr]
        return [json.loads(line) for line in b"".join(writes).splitlines()]

    yield front, lines
    front.close()


def test_each_way_of_answering_writes_a_line_with_the_account(
    catalogue: None, log: tuple[Front, Log], alice: User, api_of: Any
) -> None:
    front, lines = log
    account = Account.objects.get(person=alice).public_id
    secret = api_of(alice).secret
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    answered = REGISTRY.get_sample_value
    before = answered("refill_requests_total", {"status": "201"}) or 0

    def charge(number: int) -> int:
        identified = headers | {"Idempotency-Key": f"k-{number}", "X-Request-Id": f"charge-{number}"}
        return front.send("POST", "/api/v1/charges", identified, USE).status

    assert [charge(1), charge(2)] == [201, 201]  # by the endpoint, then in a shared call
    assert front.send("GET", "/api/v1/balance", headers).status == 200
    assert front.send("GET", "/api/v1/transactions?limit=1", headers).status == 200
    assert front.send("GET", "/join/very-secret/?t=hidden", {}).status == 404
    assert front.send("GET", "/no-such-page/secret", {}).status == 404
    assert front.send("GET", "/healthz", {}).status == 200
    assert front.send("POST", "/api/v1/charges", {"Authorization": "Bearer none"}, USE).status == 401

    written = lines()
    text = json.dumps(written)
    assert secret not in text and "secret" not in text and "hidden" not in text
    assert [(one["method"], one["path"], one["status"], one["account_id"]) for one in written] == [
        ("POST", "/api/v1/charges", 201, account),
        ("POST", "/api/v1/charges", 201, account),
        ("GET", "/api/v1/balance", 200, account),
        ("GET", "/api/v1/transactions", 200, account),
        ("GET", "/join/<str:token>/", 404, None),
        ("GET", "", 404, None),
        ("GET", "/healthz", 200, None),
        ("POST", "/api/v1/charges", 401, None),
    ]
    assert [one["request_id"] for one in written[:2]] == ["charge-1", "charge-2"]
    assert all(one["bytes"] >= 0 and one["event"] == "request" for one in written)
    assert min(one["milliseconds"] for one in written) >= 0 < max(one["milliseconds"] for one in written)
    assert answered("refill_requests_total", {"status": "201"}) == before + 2


def test_many_lines_are_written_whole_in_writes_that_a_pipe_does_not_mix() -> None:
    writes: list[bytes] = []
    log = AccessLog(writes.append)
    log.start()
    for number in range(200):
        log.add(LINE._replace(request_id=f"req-{number}"))
    log.end()
    assert all(len(write) <= LARGEST_WRITE and write.endswith(b"\n") for write in writes)
    lines = [json.loads(line) for write in writes for line in write.splitlines()]
    assert [line["request_id"] for line in lines] == [f"req-{number}" for number in range(200)]


def test_a_reader_that_is_too_slow_costs_lines_and_no_memory() -> None:
    reads, writes = threading.Event(), list[bytes]()

    def write(content: bytes) -> None:
        reads.wait(timeout=30)
        writes.append(content)

    log = AccessLog(write)
    for _number in range(MOST_WAITING + 50):  # before the thread takes any
        log.add(LINE)
    log.start()
    reads.set()
    log.end()
    lines = [json.loads(line) for write in writes for line in write.splitlines()]
    assert [line["event"] for line in lines].count("request") == MOST_WAITING
    assert [line.get("number") for line in lines if line["event"] == "lines_dropped"] == [50]
