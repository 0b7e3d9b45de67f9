"""The webhook endpoint: signatures, accounts, and what each status promises."""

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from structlog.testing import capture_logs

from billing import ledger, stripe_gateway
from billing.models import Grant, Purchase, StripeEvent
from billing.payments import fulfilment
from tests.billing.webhooks.delivery import SECRET, deliver

pytestmark = pytest.mark.django_db


def test_it_credits_and_responds_with_200(completed: dict[str, Any]) -> None:
    assert deliver(completed).status_code == 200

    assert Purchase.objects.get().status == Purchase.Status.PAID
    assert StripeEvent.objects.get().state == StripeEvent.State.DONE


@pytest.mark.fault("P8")
def test_it_refuses_a_wrong_or_old_signature_and_accepts_both_secrets_during_a_rotation(
    completed: dict[str, Any], settings: Any
) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", SECRET]

    assert deliver(completed, secret="whsec_wrong").status_code == 400
    assert deliver(completed, age_seconds=302).status_code == 400
    assert Client().post("/stripe/webhook/", completed, content_type="application/json").status_code == 400
    assert not StripeEvent.objects.exists()
    assert deliver(completed).status_code == 200
    assert deliver({**completed, "id": "evt_2"}, secret="whsec_new").status_code == 200


@pytest.mark.fault("P9")
def test_it_refuses_live_events_on_a_test_site_and_those_of_another_stripe_account(
    completed: dict[str, Any],
) -> None:
    assert deliver({**completed, "livemode": True}).status_code == 400
    assert deliver({**completed, "account": "acct_other"}).status_code == 400
    assert not StripeEvent.objects.exists()


@pytest.mark.fault("P3")
def test_a_database_error_is_answered_with_500_and_the_next_delivery_credits(
    completed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr(fulfilment.ledger, "grant", fail)
        assert deliver(completed).status_code == 500
    assert StripeEvent.objects.get().state == StripeEvent.State.FAILED
    assert not Grant.objects.filter(kind="top_up").exists()

    assert deliver(completed).status_code == 200

    assert StripeEvent.objects.get().state == StripeEvent.State.DONE
    assert Grant.objects.filter(kind="top_up").count() == 1
    assert ledger.balance(Purchase.objects.get().account_id, Purchase.objects.get().paid_at).total > 0


@pytest.mark.fault("P18")
def test_a_field_of_an_unknown_type_is_quarantined_and_nothing_is_applied(
    completed: dict[str, Any],
) -> None:
    completed["data"]["object"]["amount_total"] = {"value": "10.00"}

    assert deliver(completed).status_code == 200  # another delivery would not help

    assert StripeEvent.objects.get().state == StripeEvent.State.QUARANTINED
    assert Purchase.objects.get().status == Purchase.Status.CREATED


def test_other_types_of_events_are_stored_and_ignored(completed: dict[str, Any]) -> None:
    assert deliver({**completed, "type": "product.created"}).status_code == 200
    assert StripeEvent.objects.get().state == StripeEvent.State.IGNORED


@pytest.mark.parametrize("error", [KeyError("lasts"), TypeError("None"), AttributeError("pack")], ids=repr)
def test_a_programming_error_is_alerted_and_the_event_is_applied_when_it_is_sent_again(
    completed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(fulfilment.invoices, "assign_number", fail)
        assert deliver(completed).status_code == 500
    event = StripeEvent.objects.get()
    assert (event.state, event.error) == (StripeEvent.State.FAILED, f"{type(error).__name__}: {error}")
    assert event.next_try_at is not None
    assert [log["alert"] for log in logs if log["event"] == "stripe_event_failed"] == [True]
    assert not Grant.objects.filter(kind="top_up").exists()

    assert deliver(completed).status_code == 200

    assert StripeEvent.objects.get().state == StripeEvent.State.DONE
    assert Purchase.objects.get().status == Purchase.Status.PAID


def test_an_outage_of_stripe_is_retried_without_an_alert(
    completed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise stripe_gateway.StripeUnavailable("timed out")

    monkeypatch.setattr(fulfilment.invoices, "assign_number", fail)
    with capture_logs() as logs:
        assert deliver(completed).status_code == 500

    assert StripeEvent.objects.get().state == StripeEvent.State.FAILED
    assert [log["alert"] for log in logs if log["event"] == "stripe_event_failed"] == [False]
