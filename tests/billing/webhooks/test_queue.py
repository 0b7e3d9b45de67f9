"""Events that wait: attempts, pauses, order, states, retries by staff; and which objects are ours."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from accounts.models import Account
from billing import stripe_gateway
from billing.models import BillingProfile, Purchase, Refund, StripeEvent, Subscription
from billing.webhooks import events, handlers, ownership
from core.ids import new_id

pytestmark = pytest.mark.django_db
NOW = datetime(2027, 9, 9, 12, tzinfo=UTC)


@pytest.fixture
def stored() -> Callable[..., StripeEvent]:
    """A stored event of a charge: `stored("failed", attempts=3)`."""

    def make(state: str = "received", **fields: Any) -> StripeEvent:
        number = StripeEvent.objects.count()
        values: dict[str, Any] = {"stripe_id": f"evt_{number}", "type": "charge.updated", "state": state}
        values |= {"payload": {"data": {"object": {"id": f"ch_{number}"}}}, "source": "webhook"}
        values |= {"api_version": stripe_gateway.API_VERSION, "happened_at": NOW, "received_at": NOW}
        return StripeEvent.objects.create(**values | fields)

    return make


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What handling a charge's event does: True (relevant), False, or an error. Returns the handled ids."""

    def make(result: bool | Exception) -> list[str]:
        handled: list[str] = []

        def apply(facts: dict[str, Any], _now: datetime) -> bool:
            handled.append(facts["id"])
            if isinstance(result, Exception):
                raise result
            return result

        handler = handlers.Handler(lambda facts: facts, apply)
        monkeypatch.setattr(
            handlers, "handler_of", lambda kind: handler if kind == "charge.updated" else None
        )
        return handled

    return make


@pytest.mark.fault("P7")
@pytest.mark.parametrize(
    ("attempts", "minutes"),
    [(0, 1), (1, 2), (2, 5), (3, 15), (4, 60), (5, 240), (6, 240), (18, 240)],
)
def test_a_failed_event_waits_longer_each_time(
    stored: Callable[..., StripeEvent], outcome: Callable[..., list[str]], attempts: int, minutes: int
) -> None:
    handled = outcome(ValueError("no"))
    event = events.process(stored("failed", attempts=attempts).pk, NOW)
    assert (event.state, event.error, event.attempts) == ("failed", "ValueError: no", attempts + 1)
    due = NOW + timedelta(minutes=minutes)
    assert (event.next_try_at, event.processed_at) == (due, None)
    assert events.process_waiting(due - timedelta(microseconds=1)) == 0
    assert events.process_waiting(due) == 1
    assert len(handled) == 2


@pytest.mark.parametrize(
    ("state", "fields", "handled"),
    [
        ("received", {}, True),
        ("received", {"next_try_at": NOW}, True),
        ("received", {"next_try_at": NOW + timedelta(seconds=1)}, False),
        ("failed", {"attempts": 19}, True),
        ("failed", {"attempts": 20}, False),
        ("done", {}, False),
        ("ignored", {}, False),
        ("quarantined", {}, False),
    ],
)
def test_which_events_wait(
    stored: Callable[..., StripeEvent],
    outcome: Callable[..., list[str]],
    state: str,
    fields: dict[str, Any],
    handled: bool,
) -> None:
    done = outcome(True)
    event = stored(state, **fields)
    assert (events.process_waiting(NOW), len(done)) == (int(handled), int(handled))
    event.refresh_from_db()
    assert event.state == ("done" if handled else state)


def test_waiting_events_are_applied_in_the_order_in_which_they_happened(
    stored: Callable[..., StripeEvent], outcome: Callable[..., list[str]]
) -> None:
    handled = outcome(True)
    for minutes in (3, 1, 2):
        stored(happened_at=NOW + timedelta(minutes=minutes))
    assert events.process_waiting(NOW, limit=2) == 2
    assert handled == ["ch_1", "ch_2"]
    assert events.process_waiting(NOW) == 1


@pytest.mark.parametrize(
    ("result", "state", "error"),
    [
        (True, "done", ""),
        (False, "ignored", ""),
        (events.payloads.EventNotUnderstood("odd"), "quarantined", "odd"),
        (stripe_gateway.ResourceMissing("gone"), "quarantined", "gone"),
        (events.stripe_objects.ForeignObject("theirs"), "ignored", "theirs"),
        (stripe_gateway.StripeUnavailable("timed out"), "failed", "StripeUnavailable: timed out"),
    ],
)
def test_the_state_of_an_event_after_it_was_handled(
    stored: Callable[..., StripeEvent],
    outcome: Callable[..., list[str]],
    result: Any,
    state: str,
    error: str,
) -> None:
    handled = outcome(result)
    event = events.process(stored(error="before", attempts=2).pk, NOW)
    assert (event.state, event.error, event.attempts) == (state, error, 3)
    assert (event.processed_at is None) == (state == "failed")
    if state != "failed":
        events.process(event.pk, NOW)
        assert len(handled) == 1


@pytest.mark.parametrize("state", StripeEvent.State.values)
def test_staff_try_again_what_is_not_done(
    stored: Callable[..., StripeEvent], outcome: Callable[..., list[str]], state: str
) -> None:
    handled = outcome(True)
    event = stored(state, attempts=20, next_try_at=NOW + timedelta(days=1))
    again = events.retry(event, NOW)
    assert (again.state, again.attempts) == ("done", 20 if state == "done" else 1), "counted anew"
    assert len(handled) == (0 if state == "done" else 1)


def test_a_type_that_is_not_handled_is_ignored(
    stored: Callable[..., StripeEvent], outcome: Callable[..., list[str]]
) -> None:
    handled = outcome(True)
    event = events.process(stored(type="customer.created").pk, NOW)
    assert (event.state, event.attempts, event.processed_at, handled) == ("ignored", 1, NOW, [])


@pytest.mark.fault("P8")
@pytest.mark.parametrize(
    ("fields", "key", "refused"),
    [
        ({}, "sk_test_1", False),
        ({"livemode": False}, "sk_test_1", False),
        ({"livemode": True}, "sk_test_1", True),
        ({"livemode": True}, "sk_live_1", False),
        ({"livemode": True}, "rk_live_1", False),
        ({"livemode": False}, "sk_live_1", True),
        ({}, "sk_live_1", True),
        ({"account": "acct_1"}, "sk_test_1", False),
        ({"account": "acct_2"}, "sk_test_1", True),
    ],
)
def test_events_of_another_mode_or_account_are_not_stored(
    settings: Any, fields: dict[str, Any], key: str, refused: bool
) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_ACCOUNT = key, "acct_1"
    event = {"id": "evt_1", "type": "charge.updated", "created": int(NOW.timestamp()), "data": {}} | fields
    try:
        events.store(event, NOW, source="webhook")
    except events.WrongStripeAccount:
        assert refused
    else:
        assert not refused
        again = events.store(event, NOW + timedelta(hours=1), source="reconciliation")
        assert (again.source, again.received_at) == ("webhook", NOW)
    assert StripeEvent.objects.count() == (0 if refused else 1)


@pytest.fixture
def known(account: Account) -> SimpleNamespace:
    """Records of alice at Stripe, and ids of none."""
    BillingProfile.objects.update_or_create(account=account, defaults={"stripe_customer_id": "cus_1"})
    Subscription.objects.filter(account=account).update(stripe_subscription_id="sub_1")
    Purchase.objects.create(
        account=account,
        kind="pack",
        origin="page",
        offer="small",
        label="-",
        amount=1,
        list_amount=1,
        currency="usd",
        idempotency_key="k",
        created_at=NOW,
        stripe_session_id="cs_1",
        stripe_payment_id="pi_1",
    )
    return SimpleNamespace(
        account={"metadata": {"account": Account.public_id_of(new_id())}},
        purchase=Purchase.public_id_of(new_id()),
        refund={"metadata": {"refund": Refund.public_id_of(new_id())}},
    )


def test_an_object_is_ours_when_it_names_or_is_one_of_our_records(known: SimpleNamespace) -> None:
    subscription = {"parent": {"subscription_details": {"subscription": "sub_9"}}}
    named = {"parent": {"subscription_details": {"subscription": "sub_9"} | known.account}}
    rows: list[tuple[str, dict[str, Any], bool]] = [
        ("checkout.session.completed", {"id": "cs_9"}, False),
        ("checkout.session.completed", {"id": "cs_1"}, True),
        ("checkout.session.completed", {"id": "cs_9", "client_reference_id": known.purchase}, True),
        ("checkout.session.completed", {"id": "cs_9", "client_reference_id": "order-5"}, False),
        ("checkout.session.completed", {"id": "cs_9", "metadata": {"purchase": known.purchase}}, True),
        ("checkout.session.completed", {"id": "cs_9"} | known.account, True),
        ("invoice.paid", {"id": "in_9", "customer": "cus_1"}, False),
        ("invoice.paid", {"id": "in_9", "customer": "cus_1"} | subscription, True),
        ("invoice.paid", {"id": "in_9", "customer": "cus_9"} | subscription, False),
        ("invoice.paid", {"id": "in_9", "customer": "cus_9", "subscription": "sub_1"}, True),
        ("invoice.paid", {"id": "in_9", "customer": "cus_9"} | named, True),
        (
            "invoice.paid",
            {"id": "in_9", "subscription": "sub_9", "subscription_details": known.account},
            True,
        ),
        ("customer.subscription.updated", {"id": "sub_1"}, True),
        ("customer.subscription.updated", {"id": "sub_9"}, False),
        ("customer.subscription.updated", {"id": "sub_9", "customer": "cus_1"}, True),
        ("customer.subscription.updated", {"id": "sub_9", "customer": {"id": "cus_1"}}, True),
        ("customer.subscription.updated", {"id": "sub_9"} | known.account, True),
        ("customer.updated", {"id": "cus_1"}, True),
        ("customer.updated", {"id": "cus_9"}, False),
        ("customer.updated", {"id": "cus_9"} | known.account, True),
        ("customer.updated", {"id": "cus_9", "metadata": {"account": "4711"}}, False),
        ("charge.refunded", {"id": "ch_9"}, True),
    ]
    assert [(kind, facts) for kind, facts, ours in rows if ownership.is_ours(kind, facts) != ours] == []
    payments: list[tuple[dict[str, Any], bool]] = [
        ({"id": "pi_1"}, True),
        ({"id": "pi_9"}, False),
        ({"id": "pi_9", "customer": "cus_1"}, True),
        ({"id": "pi_9", "metadata": {"purchase": known.purchase}}, True),
        ({"id": "pi_9", "metadata": {"purchase": "order-5"}}, False),
    ]
    assert [facts for facts, ours in payments if ownership.payment_is_ours(facts) != ours] == []
    refunds: list[tuple[dict[str, Any], bool]] = [
        ({"payment_intent": "pi_1"}, True),
        ({"payment_intent": {"id": "pi_1"}}, True),
        ({"payment_intent": "pi_9"}, False),
        ({"payment_intent": None}, False),
        (known.refund, True),
    ]
    assert [facts for facts, ours in refunds if ownership.refund_is_ours(facts) != ours] == []
