"""The front answers as Django does: generated requests, valid and not, are sent through both.

Two accounts with the same history get the same requests, one through Django's handler, the other through the
front. Status, headers, body and what the database has afterwards are compared.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from billing.models import Charge, Hold
from tests.config.front import generated
from tests.config.front.generated import Sent
from tests.config.front.rsgi import Front, Response
from tests.config.front.twins import Twin

REQUESTS = int(os.environ.get("REQUESTS", "240"))  # and as many again, up to thrice, for a rare outcome
EVERYWHERE = {"401 unauthenticated", "400 bad_request", "429 rate_limited"}
REFUSED = EVERYWHERE | {"400 invalid_request", "400 malformed_json", "400 idempotency_key_invalid"}
VISITED = {  # outcomes that the requests to an endpoint must have
    "charges": REFUSED | {"201", "201 again", "403 missing_scope", "422 idempotency_key_reused"},
    "batch": EVERYWHERE | {"200", "400 malformed_json", "403 missing_scope"},
    "holds": REFUSED
    | {"201", "201 again", "403 missing_scope", "422 idempotency_key_reused"}
    | {"402 budget_exceeded", "404 not_found"},
    "capture": REFUSED | {"201", "404 not_found", "409 hold_closed"},
    "release": REFUSED | {"200", "404 not_found", "409 hold_closed"},
    "estimates": EVERYWHERE | {"200", "400 invalid_request", "404 unknown_service"},
    "balance": EVERYWHERE | {"200", "400 invalid_request", "404 unknown_account"},
}

pytestmark = pytest.mark.django_db(transaction=True)


def through_django(sent: Sent) -> Response:
    others = {name: value for name, value in sent.headers.items() if name not in {"Content-Type", "Host"}}
    answer = Client().generic(
        sent.method, sent.path, sent.content, headers=others, content_type=sent.headers["Content-Type"],
        HTTP_HOST=sent.headers.get("Host", "testserver"),
    )  # fmt: skip
    return Response(answer.content, answer.status_code, list(answer.items()))


def through_front(front: Front, sent: Sent) -> Response:
    return front.send(sent.method, sent.path, sent.headers, sent.content)


def outcome(status: int, headers: dict[str, str], body: str) -> list[str]:
    """Names of the outcome: with its code, and without."""
    named = str(status) + (" again" if "idempotent-replayed" in headers else "")
    code = json.loads(body).get("code") if status >= 400 else None
    return [named, f"{status} {code}"] if code else [named]


def seldom(endpoint: str, counts: Counter[str]) -> set[str]:
    return {name for name in VISITED[endpoint] if counts[name] < 2}


@pytest.mark.parametrize("path", ["charges", "holds"])
@pytest.mark.parametrize("second", ["a", "b", ""])
def test_two_idempotency_keys_are_not_a_valid_one(
    catalogue: None, front: Front, path: str, second: str
) -> None:
    twin = Twin("twin")
    headers = {
        "Authorization": f"Bearer {twin.secrets['account']}", "Content-Type": "application/json",
        "Idempotency-Key": "a", "idempotency-key": second,
    }  # fmt: skip
    use = b'{"service": "document-question", "usage": {"uses": 1}}'
    for _again in range(2):  # the second time, the front has verified the key
        answer = front.send("POST", f"/api/v1/{path}", headers, use)
        assert (answer.status, json.loads(answer.body)["code"]) == (400, "idempotency_key_invalid")
    assert Charge.objects.count() == Hold.objects.count() == 0


@pytest.mark.parametrize("endpoint", sorted(VISITED))
def test_generated_requests_have_the_same_outcome_through_the_front(
    catalogue: None, front: Front, clock: Any, settings: Any, endpoint: str
) -> None:
    settings.API_RATE = "30/60"
    seed = random.randrange(10**6)
    left, right = Twin("twin-one"), Twin("twin-two")
    chance_left, chance_right = random.Random(seed), random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(4 * REQUESTS):
        if number % REQUESTS == 0 and number and not seldom(endpoint, counts):
            break
        clock.shift(1)
        # of holds, every other request makes one
        kind = "holds" if endpoint in {"capture", "release"} and number % 3 == 0 else endpoint
        sent = generated.request(kind, chance_left, number, left)
        expected = left.comparable(through_django(sent))
        again = generated.request(kind, chance_right, number, right)
        assert right.comparable(through_front(front, again)) == expected, (seed, number, again)
        if kind == endpoint:
            counts.update(outcome(*expected))
    assert left.rows() == right.rows(), seed
    assert seldom(endpoint, counts) == set(), (seed, counts)


def test_a_tree_of_holds_is_refused_and_closed_alike(catalogue: None, front: Front, clock: Any) -> None:
    def answers(twin: Twin, through: Callable[[Sent], Response]) -> list[tuple[int, dict[str, str], str]]:
        headers = {"Authorization": f"Bearer {twin.secrets['account']}", "Content-Type": "application/json"}
        found = []

        def post(path: str, **body: Any) -> None:
            content = json.dumps(body).encode()
            sent = Sent("POST", f"/api/v1/{path}", headers | {"Idempotency-Key": f"k{len(found)}"}, content)
            found.append(twin.comparable(through(sent)))

        service = "claude-sonnet-4"
        post("holds", service=service, credits="5")
        [root] = twin.holds
        post("holds", service=service, credits="3", parent=root)
        child = twin.holds[-1]
        post("holds", service=service, credits="3", parent=root)
        for path in (f"holds/{root}/capture", f"holds/{child}/capture", f"holds/{root}/capture"):
            post(path, credits="4")
        post(f"holds/{root}/release")
        return found

    left, right = Twin("twin-one"), Twin("twin-two")
    expected = answers(left, through_django)
    assert answers(right, lambda sent: through_front(front, sent)) == expected
    assert [status for status, _headers, _body in expected] == [201, 201, 402, 409, 201, 201, 409]
    assert left.rows() == right.rows()


def test_generated_charges_are_answered_by_the_front_itself(
    catalogue: None, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = Twin("twin-one")
    headers = {"Authorization": f"Bearer {twin.secrets['account']}", "Content-Type": "application/json"}
    content = b'{"service": "claude-sonnet-4", "usage": {"tokens": 1}}'
    path = "/api/v1/charges"
    assert front.send("POST", path, headers | {"Idempotency-Key": "first"}, content).status == 201
    monkeypatch.setattr("usage.api.charges.Charges.post", None)
    requests = [("POST", path, headers | {"Idempotency-Key": f"k{n}"}, content) for n in range(20)]
    assert {response.status for response in front.send_together(requests)} == {201}
    assert Charge.objects.filter(account=twin.account).count() == 21
