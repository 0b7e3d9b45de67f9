"""A process with as many waiting requests as allowed refuses more, and says whether anything was done."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from accounts import api_keys
from accounts.models import User
from billing.models import Charge
from tests.config.front.rsgi import Front

USE = b'{"service": "document-question", "usage": {"uses": 1}}'

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def overloaded(transactional_db: None, settings: Any) -> Iterator[Front]:
    """A front whose requests never get a thread."""
    from config.front.application import Application

    settings.WEB_WAITING = 0
    client = Front(Application())
    yield client
    client.close()


def test_a_request_of_which_nothing_was_done_may_be_sent_again(overloaded: Front) -> None:
    headers = {"X-Request-Id": "r-1", "Authorization": "Bearer rk_account_invented"}
    refused = overloaded.send("GET", "/api/v1/services", headers)
    assert (refused.status, refused.header("Retry-After")) == (503, "5")
    assert refused.header("Content-Type") == "application/problem+json"
    problem = json.loads(refused.body)
    assert (problem["code"], problem["request_id"]) == ("overloaded", "r-1")
    assert "Nothing was done" in problem["detail"]
    for path in ("/", "/live"):
        page = overloaded.send("GET", path, {})
        assert (page.status, page.header("Retry-After")) == (503, "5")
        assert page.body.startswith(b"Service Unavailable.") and page.header("Connection") == "close"
    form = overloaded.send("POST", "/accounts/login/", {"Content-Type": "text/plain"}, b"x" * 200_000)
    assert form.status == 503


def test_a_charge_that_may_have_been_made_has_an_unknown_outcome(
    overloaded: Front, alice: User, api_of: Any
) -> None:
    secret = api_of(alice).secret
    api_keys.verify(secret, timezone.now())  # as another request has done
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

    def charge(key: str, content: bytes = USE) -> tuple[int, str]:
        answer = overloaded.send("POST", "/api/v1/charges", headers | {"Idempotency-Key": key}, content)
        return answer.status, json.loads(answer.body).get("code", "")

    assert charge("k1") == (201, ""), "it needs no thread"
    assert charge("k1") == (503, "unavailable")
    assert charge("k2", b"{}") == (503, "overloaded")
    assert Charge.objects.count() == 1
