"""The response of an idempotency key is stored with the effect, repeated for good, and bound to its body."""

import threading
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test import RequestFactory
from django.utils import timezone
from rest_framework.request import Request

from core import idempotency, json_body
from core.models import KeptAnswer
from core.problems import Problem

OWNER = uuid4()


def post(body: bytes = b'{"a": 1}', path: str = "/api/v1/things") -> Request:
    raw = RequestFactory().post(path, body, content_type="application/json")
    return Request(raw, parsers=[json_body.StrictJSONParser()])


def once(
    act: Any, *, request: Request | None = None, key: str = "k", owner: UUID = OWNER, **options: Any
) -> Any:
    return idempotency.once(request or post(), owner=owner, key=key, now=timezone.now(), act=act, **options)


@pytest.mark.requirement("CORE-02")
def test_a_repeated_key_returns_the_first_response_without_an_effect(db: None) -> None:
    calls = []

    def act() -> tuple[int, dict[str, Any]]:
        calls.append(1)
        return 201, {"n": len(calls)}

    first, again = once(act), once(act)
    assert (again.status_code, again.content) == (201, first.content) == (201, b'{"n":1}')
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert once(act, owner=uuid4()).content == b'{"n":2}'
    assert once(act, request=post(path="/api/v1/others")).content == b'{"n":3}'


@pytest.mark.requirement("CORE-02")
def test_another_body_is_refused(db: None) -> None:
    once(lambda: (201, {}))
    with pytest.raises(Problem) as refused:
        once(lambda: (201, {}), request=post(b'{"a": 2}'))
    assert (refused.value.status, refused.value.code) == (422, "idempotency_key_reused")


def test_a_refused_request_does_not_use_up_its_key(db: None) -> None:
    def refuse() -> tuple[int, dict[str, Any]]:
        raise Problem(402, "insufficient_credits", "No.")

    with pytest.raises(Problem):
        once(refuse)
    assert once(lambda: (402, {})).status_code == 402
    assert once(lambda: (201, {})).status_code == 201
    assert KeptAnswer.objects.count() == 1


@pytest.mark.fault("L8")
@pytest.mark.django_db(transaction=True)
def test_a_key_of_a_request_in_progress_is_refused_with_409() -> None:
    started, may_finish = threading.Event(), threading.Event()
    responses: list[Any] = []

    def slow() -> tuple[int, dict[str, Any]]:
        started.set()
        assert may_finish.wait(60)
        return 201, {"done": True}

    def first() -> None:
        try:
            responses.append(once(slow))
        finally:
            connection.close()

    worker = threading.Thread(target=first)
    worker.start()
    assert started.wait(60)
    with pytest.raises(Problem) as refused:
        once(lambda: (201, {"done": "twice"}))
    assert (refused.value.status, refused.value.code) == (409, "idempotency_key_in_progress")
    may_finish.set()
    worker.join()
    assert once(lambda: (201, {"done": "twice"})).content == responses[0].content


@pytest.mark.fault("L9")
@pytest.mark.django_db(transaction=True)
def test_a_crash_before_the_commit_leaves_no_effect_response_or_lock() -> None:
    class Killed(BaseException):
        """Simulates a killed process: the product does not catch it."""

    def crash() -> tuple[int, dict[str, Any]]:
        KeptAnswer.objects.create(
            owner=uuid4(),
            endpoint="/effect",
            key="e",
            fingerprint=b"",
            status=1,
            body="",
            created_at=timezone.now(),
        )
        assert transaction.get_connection().in_atomic_block
        raise Killed

    with pytest.raises(Killed):
        once(crash)
    assert KeptAnswer.objects.count() == 0
    assert once(lambda: (201, {})).status_code == 201


def test_a_key_is_printable_ascii_of_at_most_255_characters() -> None:
    assert idempotency.checked_key("~!" * 127, "key")
    for bad in ("", " ", "a b", "a\n", "é", "k" * 256, None, 5):
        with pytest.raises(Problem) as refused:
            idempotency.checked_key(bad, "key")
        assert refused.value.errors[0]["field"] == "key"
