"""Concurrent charges over the web server: two processes, sixteen threads each."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Charge
from tests import clock as run_clock
from tests.integration.races.web import serving

ONE_CREDIT = {"service": "document-question", "usage": {"uses": 1}}
PATIENCE_SECONDS = 60.0

# At midnight an account has new credits, and a rate limit may begin a new window.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def answered(
    request: urllib.request.Request, patience: float = PATIENCE_SECONDS
) -> tuple[int, Message, bytes]:
    """Status, headers and body of the answer; a request that was answered with 503 is sent again."""
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() >= until:
                return error.code, error.headers, error.read()
        time.sleep(0.05)


class Caller:
    """Sends one request from a thread of its own, all at the same moment.

    As the API tells its clients, a request that was answered with 503 is sent again with its key, for
    `patience` seconds: a web process answers so when a wallet is held for 20 ms, which a process that waits
    for a processor may do.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        bodies: list[tuple[str, dict[str, Any]]],
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.url, self.secret, self.patience = url, secret, patience
        self.responses: list[tuple[int, Message, bytes]] = []
        self.start = threading.Barrier(len(bodies))
        threads = [threading.Thread(target=self._call, args=body) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _call(self, key: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            self.url,
            json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {self.secret}",
                "Idempotency-Key": key,
                "Content-Type": "application/json",
            },
        )
        self.start.wait()
        self.responses.append(answered(request, self.patience))

    @property
    def statuses(self) -> Counter[int]:
        return Counter(status for status, _headers, _body in self.responses)


@pytest.fixture(scope="module")
def web(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    with django_db_blocker.unblock(), serving(**run_clock.environment(run_clock.noon())) as address:
        yield address


@pytest.fixture
def secret(catalogue: None, alice: User, api_of: Any) -> str:
    """Alice's key; her account has exactly 50 credits."""
    api = api_of(alice)
    assert api.post("charges", {"service": "document-question", "usage": {"uses": 50}}, key="first").json()
    return str(api.secret)


def left(user: User) -> Any:
    return ledger.balance(Account.objects.get(person=user).pk, timezone.now()).available


@pytest.mark.requirement("CORE-01")
@pytest.mark.fault("L1")
def test_of_64_charges_of_1_against_50_exactly_50_are_accepted(web: str, secret: str, alice: User) -> None:
    calls = Caller(f"{web}/api/v1/charges", secret, [(f"k{n}", ONE_CREDIT) for n in range(64)])
    assert calls.statuses == {201: 50, 402: 14}
    assert left(alice) == 0
    refused = [json.loads(body) for status, _headers, body in calls.responses if status == 402]
    assert {problem["available"] for problem in refused} == {"0"}


@pytest.mark.requirement("CORE-02")
@pytest.mark.fault("L8")
def test_of_64_requests_with_one_key_one_is_applied(web: str, secret: str, alice: User) -> None:
    calls = Caller(f"{web}/api/v1/charges", secret, [("same", ONE_CREDIT)] * 64)
    others = [body for status, _headers, body in calls.responses if status not in {201, 409}]
    assert others == []
    accepted = [(headers, body) for status, headers, body in calls.responses if status == 201]
    assert len({body for _headers, body in accepted}) == 1
    assert sum("Idempotent-Replayed" not in headers for headers, _body in accepted) == 1
    assert left(alice) == 49
    assert Charge.objects.filter(idempotency_key="same").count() == 1


@pytest.mark.fault("L8")
def test_one_key_with_two_bodies_is_applied_for_one_of_them(web: str, secret: str, alice: User) -> None:
    bodies = [ONE_CREDIT, {"service": "document-question", "usage": {"uses": 2}}]
    calls = Caller(f"{web}/api/v1/charges", secret, [("same", bodies[n % 2]) for n in range(32)])
    assert calls.statuses == {201: 16, 422: 16}
    assert left(alice) in {48, 49}


@pytest.mark.fault("L13")
def test_the_first_charges_of_a_project_keep_its_limit(
    web: str, secret: str, api_of: Any, alice: User
) -> None:
    project = api_of(alice).post("projects", {"name": "new", "daily_limit": "7"}).json()["id"]
    body = ONE_CREDIT | {"project": project}
    calls = Caller(f"{web}/api/v1/charges", secret, [(f"k{n}", body) for n in range(32)])
    assert calls.statuses == {201: 7, 429: 25}
    assert left(alice) == 43


@pytest.mark.fault("I5")
def test_of_200_calls_at_a_limit_of_100_exactly_100_pass(secret: str) -> None:
    use = {"service": "document-question", "usage": {"uses": 1000}}
    with serving(API_RATE="100/36000") as address:
        calls = Caller(f"{address}/api/v1/estimates", secret, [(f"k{n}", use) for n in range(200)])
    # The charge of the fixture was counted in another window.
    assert calls.statuses == {200: 100, 429: 100}


@pytest.mark.fault("L4")
def test_capture_and_release_at_once_close_a_hold_once(
    web: str, secret: str, api_of: Any, alice: User
) -> None:
    api = api_of(alice)
    for round_ in range(4):
        hold = api.post("holds", ONE_CREDIT, key=f"h{round_}").json()["id"]
        outcome: list[int] = []
        paths = {"capture": {"usage": {"uses": 1}}, "release": {}}
        start = threading.Barrier(2)

        def close(
            path: str, body: dict[str, Any], hold: str = hold, start: Any = start, out: Any = outcome
        ) -> None:
            start.wait()
            request = urllib.request.Request(
                f"{web}/api/v1/holds/{hold}/{path}",
                json.dumps(body).encode(),
                {
                    "Authorization": f"Bearer {secret}",
                    "Idempotency-Key": f"{path}-{hold}",
                    "Content-Type": "application/json",
                },
            )
            out.append(answered(request)[0])

        threads = [threading.Thread(target=close, args=item) for item in paths.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcome) in ([200, 409], [201, 409])
    balance = ledger.balance(Account.objects.get(person=alice).pk, timezone.now())
    assert balance.held == 0
    assert balance.available == 50 - Charge.objects.exclude(idempotency_key="first").count()


@pytest.mark.fault("I2")
@pytest.mark.parametrize("path", ["charges", "nothing-here"])
def test_a_body_that_is_too_large_gets_a_problem_response(web: str, secret: str, path: str) -> None:
    connection = http.client.HTTPConnection(web.removeprefix("http://"), timeout=60)
    headers = {
        "Authorization": f"Bearer {secret}",
        "Idempotency-Key": "k",
        "Content-Type": "application/json",
    }
    connection.request("POST", f"/api/v1/{path}", b"x" * 10_000_000, headers)
    response = connection.getresponse()
    assert response.status in {413, 404}
    assert response.headers["Content-Type"] == "application/problem+json"
    connection.close()
