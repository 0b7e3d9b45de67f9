"""Idempotency keys: a repeated request has one effect and one response."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import stripe
import time_machine
from django.db import connections
from django.utils import timezone

from sandbox import switches
from sandbox.models import IdempotencyRecord
from sandbox.switches import Fault

PARAMS = {"amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}


def test_a_repeated_request_is_answered_with_the_first_response(v1: Any, charges: Any) -> None:
    first = v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
    second = v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
    assert first.id == second.id
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(charges()) == 1
    event = v1.events.list().data[0]
    assert event.request.idempotency_key == "k1"


def test_another_request_with_the_same_key_is_refused(v1: Any, charges: Any) -> None:
    v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError):
        v1.payment_intents.create(PARAMS | {"amount": 2000}, {"idempotency_key": "k1"})
    assert len(charges()) == 1


def test_a_decline_is_replayed(v1: Any, charges: Any) -> None:
    intents = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            v1.payment_intents.create(
                PARAMS | {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "k1"}
            )
        intents.append(refused.value.error.payment_intent.id)
    assert len(set(intents)) == 1
    assert len(charges()) == 1


def test_the_key_of_parameters_that_fail_validation_can_be_used_again(v1: Any) -> None:
    for invalid in ({"amount": -5}, {"amount": "many"}, {"colour": "red"}):
        with pytest.raises(stripe.InvalidRequestError):
            v1.payment_intents.create(PARAMS | invalid, {"idempotency_key": "k1"})
    assert v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"}).status == "succeeded"


def test_an_error_of_a_request_that_began_is_returned_again(v1: Any, charges: Any) -> None:
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
            v1.payment_intents.create(PARAMS | {"customer": "cus_unknown"}, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError):
        v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
    assert charges() == []


def test_a_server_error_is_returned_again(v1: Any, charges: Any) -> None:
    switches.turn(Fault.FAILS, remaining=1)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as refused:
            v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
        assert refused.value.http_status == 500
    assert v1.payment_intents.create(PARAMS, {"idempotency_key": "k2"}).status == "succeeded"
    assert len(charges()) == 1


def test_a_key_is_pruned_after_24_hours_and_then_makes_a_new_request(v1: Any, charges: Any) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        first = v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
        clock.shift(timedelta(hours=24) - timedelta(seconds=1))
        assert v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"}).id == first.id
        clock.shift(timedelta(seconds=1))
        assert v1.payment_intents.create(PARAMS | {"amount": 2000}, {"idempotency_key": "k1"}).id != first.id
    assert [charge["amount"] for charge in charges()] == [2000, 1000]


def test_a_key_has_at_most_255_characters(v1: Any) -> None:
    assert v1.payment_intents.create(PARAMS, {"idempotency_key": "k" * 255}).status == "succeeded"
    with pytest.raises(stripe.IdempotencyError):
        v1.payment_intents.create(PARAMS, {"idempotency_key": "k" * 256})


def test_a_key_in_progress_is_refused_until_it_is_considered_abandoned(v1: Any) -> None:
    v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
    IdempotencyRecord.objects.update(status=None, answer=None)
    with pytest.raises(stripe.APIError) as refused:
        v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
    assert refused.value.http_status == 409
    assert refused.value.json_body["error"]["code"] == "idempotency_key_in_use"
    IdempotencyRecord.objects.update(started_at=timezone.now() - timedelta(minutes=3))
    assert v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"}).status == "succeeded"


@pytest.mark.fault("P17")
def test_a_lost_response_is_returned_for_the_same_key(v1: Any, charges: Any) -> None:
    switches.turn(Fault.ANSWERS_LOST, remaining=1)
    with pytest.raises(stripe.APIError):
        v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
    assert len(charges()) == 1
    assert v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"}).status == "succeeded"
    assert len(charges()) == 1


def test_during_an_outage_requests_fail_with_500_and_do_nothing(v1: Any) -> None:
    switches.turn(Fault.DOWN, remaining=1)
    with pytest.raises(stripe.APIError) as refused:
        v1.payment_intents.create(PARAMS, {"idempotency_key": "k1"})
    assert refused.value.http_status == 500
    assert v1.payment_intents.list().data == []


@pytest.mark.fault("P17")
def test_concurrent_requests_with_one_key_pay_once(v1_over_http: Any, charges: Any) -> None:
    def create(_: int) -> str:
        try:
            return str(v1_over_http.payment_intents.create(PARAMS, {"idempotency_key": "k1"}).id)
        except stripe.APIError as error:
            assert error.http_status == 409
            return "in progress"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        responses = set(pool.map(create, range(8)))
    assert len(responses - {"in progress"}) == 1
    assert len(charges()) == 1
