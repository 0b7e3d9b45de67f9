"""Idempotency keys: one effect, one answer."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import stripe
from django.db import connections
from django.utils import timezone

from sandbox import switches
from sandbox.models import IdempotencyRecord
from sandbox.switches import Fault

ORDER = {"amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}


def test_the_same_request_is_answered_the_same_and_done_once(v1: Any) -> None:
    first = v1.payment_intents.create(ORDER, {"idempotency_key": "k1"})
    second = v1.payment_intents.create(ORDER, {"idempotency_key": "k1"})
    assert first.id == second.id
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(v1.charges.list().data) == 1
    event = v1.events.list({"type": "charge.succeeded"}).data[0]
    assert event.request.idempotency_key == "k1"


def test_another_request_under_the_same_key_is_refused(v1: Any) -> None:
    v1.payment_intents.create(ORDER, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError):
        v1.payment_intents.create(ORDER | {"amount": 2000}, {"idempotency_key": "k1"})
    assert len(v1.charges.list().data) == 1


def test_a_decline_is_replayed_too(v1: Any) -> None:
    messages = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            v1.payment_intents.create(
                ORDER | {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "k1"}
            )
        messages.append(refused.value.error.payment_intent.id)
    assert len(set(messages)) == 1
    assert len(v1.charges.list().data) == 1


def test_a_refused_request_frees_its_key(v1: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        v1.payment_intents.create(ORDER | {"customer": "cus_nobody"}, {"idempotency_key": "k1"})
    assert v1.payment_intents.create(ORDER, {"idempotency_key": "k1"}).status == "succeeded"


def test_a_key_in_flight_is_refused_until_its_process_is_surely_dead(v1: Any) -> None:
    v1.payment_intents.create(ORDER, {"idempotency_key": "k1"})
    IdempotencyRecord.objects.update(status=None, answer=None)
    with pytest.raises(stripe.APIError) as refused:
        v1.payment_intents.create(ORDER, {"idempotency_key": "k1"})
    assert refused.value.http_status == 409
    assert refused.value.json_body["error"]["code"] == "idempotency_key_in_use"
    IdempotencyRecord.objects.update(started_at=timezone.now() - timedelta(minutes=3))
    assert v1.payment_intents.create(ORDER, {"idempotency_key": "k1"}).status == "succeeded"


@pytest.mark.fault("P17")
def test_a_lost_answer_after_charging_is_found_again_with_the_same_key(v1: Any) -> None:
    switches.turn(Fault.ANSWERS_LOST, remaining=1)
    with pytest.raises(stripe.APIError):
        v1.payment_intents.create(ORDER, {"idempotency_key": "k1"})
    assert len(v1.charges.list().data) == 1
    assert v1.payment_intents.create(ORDER, {"idempotency_key": "k1"}).status == "succeeded"
    assert len(v1.charges.list().data) == 1


def test_an_outage_does_nothing_and_says_500(v1: Any) -> None:
    switches.turn(Fault.DOWN, remaining=1)
    with pytest.raises(stripe.APIError) as refused:
        v1.payment_intents.create(ORDER, {"idempotency_key": "k1"})
    assert refused.value.http_status == 500
    assert v1.payment_intents.list().data == []


@pytest.mark.fault("P17")
def test_eight_at_once_under_one_key_pay_once(v1_over_http: Any) -> None:
    def order(_: int) -> str:
        try:
            return str(v1_over_http.payment_intents.create(ORDER, {"idempotency_key": "k1"}).id)
        except stripe.APIError as error:
            assert error.http_status == 409
            return "in flight"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(order, range(8)))
    assert len(answers - {"in flight"}) == 1
    assert len(v1_over_http.charges.list().data) == 1
