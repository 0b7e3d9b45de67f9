"""Malformed events are quarantined with 200, and never stop the webhook or the reconciliation."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from billing import stripe_gateway, tasks
from billing.models import Purchase, Reconciliation, StripeEvent
from billing.webhooks import events as stripe_events
from tests.billing.webhooks.delivery import deliver

pytestmark = pytest.mark.django_db

NUL, SURROGATE = "\x00", "\ud800"


def nested(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = {"level": value}
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "evt_\x00"},
        {"id": "evt_" + "x" * 300},
        {"id": 5},
        {"id": None},
        {"type": "x" * 200},
        {"type": ["checkout.session.completed"]},
        {"created": 10**18},
        {"created": -1},
        {"created": True},
        {"created": "2026-01-01"},
        {"created": float("inf")},
        {"api_version": "x" * 100},
        {"livemode": "false"},
        {"data": None},
        {"data": []},
        {"data": {"object": "cs_1"}},
        {"data": {"object": {"id": "cs_\x00"}}},
        {"data": {"object": {"id": "\ud800"}}},
        {"data": {"object": nested(300)}},
        {"request": {"id": NUL}, NUL: 1},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_malformed_event_is_quarantined_with_an_alert(completed: dict[str, Any], fields: Any) -> None:
    with capture_logs() as logs:
        responses = [deliver({**completed, **fields}) for _ in range(2)]

    assert [(response.status_code, response.content) for response in responses] == [(200, b"quarantined")] * 2
    assert StripeEvent.objects.get().state == StripeEvent.State.QUARANTINED
    assert [log["alert"] for log in logs if log["event"] == "stripe_event_quarantined"] == [True]
    assert Purchase.objects.get().status == Purchase.Status.CREATED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"id": 1}',
        b"{",
        b"[" * 100_000,
        b'{"a":' * 5_000,
        b'{"id": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda body: repr(body[:8]),
)
def test_a_signed_body_that_is_no_event_is_quarantined(db: None, body: bytes) -> None:
    assert deliver(body).status_code == 200
    assert StripeEvent.objects.get().state == StripeEvent.State.QUARANTINED


def test_a_signed_body_that_is_no_text_is_refused(db: None) -> None:
    assert deliver(b"\xff\xfe").status_code == 400


VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**18,
    10**40,
    1.5,
    float("nan"),
    "",
    NUL,
    SURROGATE,
    "x" * 300,
    "../../v1/accounts",
    [],
    [None],
    ["x" * 300],
    {},
    {"id": 5},
    {"id": ""},
    {"metadata": {"purchase": []}},
)


def mutations(event: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """The event with one or two fields, at any depth, replaced by values of other types, or missing."""
    chosen = random.Random(number)
    for index in range(number):
        mutated = copy.deepcopy(event)
        mutated["id"] = f"evt_mutated_{event['type']}_{index}"
        for _ in range(chosen.choice((1, 1, 2))):
            holder: Any = mutated["data"]["object"]
            while True:
                name = chosen.choice(sorted(holder))
                inner = holder[name]
                if not isinstance(inner, dict) or not inner or chosen.random() < 0.4:
                    break
                holder = inner
            if chosen.random() < 0.15:
                del holder[name]
            else:
                holder[name] = copy.deepcopy(chosen.choice(VALUES))
            if not mutated["data"]["object"]:
                break
        yield mutated


@pytest.mark.fault("P18")
def test_no_mutation_of_a_real_event_is_answered_with_500(
    paid_purchase: Callable[..., Purchase], stripe_api: Any, events: Callable[..., Any]
) -> None:
    purchase = paid_purchase()
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": 5})
    real = {event["type"]: event for event in events()}
    answers = {}

    for event in real.values():
        for mutated in mutations(event, 25):
            answers[mutated["id"]] = deliver(mutated).status_code

    assert {name for name, status in answers.items() if status != 200} == set()
    assert not StripeEvent.objects.filter(state=StripeEvent.State.FAILED).exists()


def test_a_malformed_event_in_the_list_does_not_stop_the_reconciliation(
    completed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [
        {**completed, "id": "evt_" + "x" * 300},
        {**completed, "id": "evt_nul", "data": {"object": {"id": NUL}}},
        {**completed, "id": "evt_time", "created": 10**18},
        {"type": completed["type"]},
        {"id": "evt_untyped", "type": ["x"]},
        {**completed, "id": "evt_live", "livemode": True},
    ]
    monkeypatch.setattr(stripe_gateway, "list_events", lambda _since: iter([*bad, completed]))
    monkeypatch.setattr(stripe_gateway, "list_checkout_sessions", lambda _since: iter(()))
    monkeypatch.setattr(stripe_gateway, "list_payment_intents", lambda _since: iter(()))

    tasks.reconcile()

    assert Purchase.objects.get().status == Purchase.Status.PAID
    [finding] = Reconciliation.objects.get().findings
    assert finding["left"] == "evt_live"


def test_staff_can_apply_an_event_whose_time_alone_is_malformed(completed: dict[str, Any]) -> None:
    deliver({**completed, "created": 10**18})

    event = stripe_events.retry(StripeEvent.objects.get(), timezone.now())

    assert event.state == StripeEvent.State.DONE
    assert Purchase.objects.get().status == Purchase.Status.PAID


@pytest.mark.fault("P18")
def test_an_event_of_an_older_api_version_is_applied_as_stripe_has_its_object_now(
    completed: dict[str, Any],
) -> None:
    """`payment_status` and `amount_total` did not exist in early versions."""
    old = json.loads(json.dumps(completed)) | {"api_version": "2019-05-16"}
    for name in ("payment_status", "amount_total", "currency", "status"):
        del old["data"]["object"][name]

    assert deliver(old).content == b"done"

    assert Purchase.objects.get().status == Purchase.Status.PAID
