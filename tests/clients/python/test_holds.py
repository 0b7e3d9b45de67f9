"""A hold as a context of the Python client, the decorator, and the portal in memory for users' own tests."""

import logging
from decimal import Decimal
from types import SimpleNamespace

import pytest
from refill_client import (
    BudgetExceeded,
    ChildrenOpen,
    HoldClosed,
    InsufficientCredits,
    InvalidRequest,
    KeyReused,
    LimitReached,
    NotFound,
    OutcomeUnknown,
    ServiceUnpriced,
    charged,
)
from refill_client.testing import FakePortal

from tests import event_loop


@pytest.fixture
def portal() -> FakePortal:
    portal = FakePortal({"gpt": {"input_tokens": "0.01", "output_tokens": "0.02"}, "soon": None})
    portal.give("alice", "10")
    return portal


RESPONSE = SimpleNamespace(usage=SimpleNamespace(prompt_tokens=100, completion_tokens=50))


def statuses(portal: FakePortal) -> list[str]:
    return [hold["status"] for hold in portal.holds.values()]


def test_a_captured_hold_charges_the_usage_and_returns_the_rest(portal: FakePortal) -> None:
    with portal.client("alice").hold("gpt", "5") as hold:
        assert portal.available("alice") == 5
        charge = hold.capture(RESPONSE)
    assert charge.credits == 2 and hold.charge == charge
    assert portal.available("alice") == 8 and statuses(portal) == ["captured"]


def test_a_hold_shows_its_id(portal: FakePortal) -> None:
    hold = portal.client(account="alice").hold("gpt", "5")
    assert "not opened" in repr(hold)
    with hold:
        assert hold.id in repr(hold)


def test_a_hold_is_released_on_an_exception(portal: FakePortal) -> None:
    with pytest.raises(ZeroDivisionError), portal.client("alice").hold("gpt", {"output_tokens": 100}):
        raise ZeroDivisionError
    assert portal.available("alice") == 10 and statuses(portal) == ["released"]


def test_a_hold_that_was_neither_captured_nor_released_is_released(portal: FakePortal) -> None:
    with portal.client("alice").hold("gpt", "5"):
        pass
    assert portal.available("alice") == 10 and statuses(portal) == ["released"]


def test_a_hold_can_be_released_within_the_block(portal: FakePortal) -> None:
    with portal.client("alice").hold("gpt", "5") as hold:
        assert hold.release().status == "released"
    with pytest.raises(HoldClosed) as raised:
        portal.client("alice").capture_hold(hold.id, {"output_tokens": 1})
    assert raised.value.hold_status == "released"


def test_after_a_capture_an_exception_does_not_undo_the_charge(portal: FakePortal) -> None:
    with pytest.raises(ZeroDivisionError), portal.client("alice").hold("gpt", "5") as hold:
        hold.capture(RESPONSE)
        raise ZeroDivisionError
    assert portal.available("alice") == 8


def test_a_capture_with_an_unknown_outcome_is_not_followed_by_a_release(portal: FakePortal) -> None:
    client = portal.client("alice")
    with pytest.raises(OutcomeUnknown) as raised, client.hold("gpt", "5") as hold:
        portal.fail_next(*[503] * 5)
        hold.capture(RESPONSE)
    assert statuses(portal) == ["held"]
    client.capture_hold(hold.id, RESPONSE, idempotency_key=raised.value.idempotency_key)
    assert statuses(portal) == ["captured"]


def test_a_refused_capture_can_be_repeated_and_is_released_otherwise(portal: FakePortal) -> None:
    with pytest.raises(InvalidRequest), portal.client("alice").hold("gpt", "5") as hold:
        hold.capture({"images": 1})
    assert statuses(portal) == ["released"]
    with portal.client("alice").hold("gpt", "5") as hold:
        with pytest.raises(InvalidRequest) as raised:
            hold.capture({"images": 1})
        assert raised.value.errors[0].field == "usage.images"
        hold.capture({"output_tokens": 50})
    assert portal.available("alice") == 9


def test_a_release_that_fails_does_not_hide_the_exception_of_the_block(
    portal: FakePortal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with pytest.raises(ZeroDivisionError), portal.client("alice").hold("gpt", "5"):
        portal.fail_next(*[503] * 5)
        raise ZeroDivisionError
    assert "was not released and ends at" in caplog.text


def test_holds_of_the_asynchronous_client_follow_the_same_rule(portal: FakePortal) -> None:
    async def use() -> None:
        async with portal.async_client("alice") as client:
            async with client.hold("gpt", "5") as hold:
                await hold.capture(RESPONSE)
            with pytest.raises(ZeroDivisionError):
                async with client.hold("gpt", "5"):
                    raise ZeroDivisionError

    event_loop.run(use())
    assert statuses(portal) == ["captured", "released"] and portal.available("alice") == 8


def test_cached_tokens_count_as_input_where_the_service_does_not_price_them(portal: FakePortal) -> None:
    details = SimpleNamespace(cached_tokens=40)
    response = SimpleNamespace(
        usage=SimpleNamespace(prompt_tokens=100, completion_tokens=50, prompt_tokens_details=details)
    )
    client = portal.client("alice")
    charge = client.charge("gpt", response)
    assert charge.usage == {"input_tokens": 100, "output_tokens": 50} and charge.credits == 2
    portal.services = {"gpt": {"input_tokens": "0.01", "output_tokens": "0.02", "cached_input_tokens": "0"}}
    assert client.charge("gpt", response).credits == Decimal("1.6")


def test_the_decorator_holds_before_and_captures_after(portal: FakePortal) -> None:
    client = portal.client()

    @charged(client, "gpt", "5", fields=lambda account: {"account": account})
    def answer(account: str) -> SimpleNamespace:
        return RESPONSE

    assert answer("alice") is RESPONSE and portal.available("alice") == 8
    portal.give("bob", "1")
    with pytest.raises(InsufficientCredits):
        answer("bob")

    @charged(portal.async_client("alice"), "gpt", "5")
    async def answer_later() -> SimpleNamespace:
        return RESPONSE

    event_loop.run(answer_later())
    assert portal.available("alice") == 6


def test_the_decorator_needs_the_client_of_the_functions_kind(portal: FakePortal) -> None:
    with pytest.raises(TypeError):
        charged(portal.async_client("alice"), "gpt", "5")(lambda: RESPONSE)


def test_the_portal_in_memory_refuses_like_the_product(portal: FakePortal) -> None:
    client = portal.client("alice")
    with pytest.raises(InsufficientCredits) as poor:
        client.charge("gpt", {"output_tokens": 501})
    assert (poor.value.needed, poor.value.available) == (Decimal("10.02"), 10)
    assert poor.value.ways_on[0].kind == "buy"
    with pytest.raises(NotFound):
        client.charge("nothing", {"uses": 1})
    with pytest.raises(NotFound):
        portal.client("nobody").balance()
    with pytest.raises(ServiceUnpriced):
        client.charge("soon", {"uses": 1})
    client.charge("gpt", {"output_tokens": 1}, idempotency_key="one")
    with pytest.raises(KeyReused):
        client.charge("gpt", {"output_tokens": 2}, idempotency_key="one")
    portal.limit("alice", "1")
    with pytest.raises(LimitReached) as limited:
        client.charge("gpt", {"output_tokens": 50})
    assert limited.value.resets_at is not None and limited.value.resets_at.tzinfo is not None
    assert portal.available("alice") == Decimal("9.98")


def test_children_reserve_from_their_parent_and_give_back_what_they_did_not_use(portal: FakePortal) -> None:
    client = portal.client("alice")
    with client.hold("gpt", "8") as budget:
        with budget.child("gpt", "5") as task:
            assert (client.get_hold(budget.id).remaining, portal.available("alice")) == (3, 2)
            with task.child("gpt", "4") as step:
                step.capture(RESPONSE)
            task.capture(credits="1")
        shown = client.get_hold(budget.id)
        assert (shown.spent, shown.reserved, shown.remaining) == (3, 0, 5)
        assert [(one.id, one.status, one.spent) for one in shown.children] == [(task.id, "captured", 3)]
    assert portal.available("alice") == 7


def test_a_child_that_asks_for_more_than_remains_is_refused(portal: FakePortal) -> None:
    with portal.client("alice").hold("gpt", "8") as budget:
        with pytest.raises(BudgetExceeded) as refusal, budget.child("gpt", "8.5"):
            pass
        assert (refusal.value.needed, refusal.value.remaining) == (Decimal("8.5"), 8)


def test_a_tree_never_spends_more_than_its_root_reserved(portal: FakePortal) -> None:
    client = portal.client("alice")
    with client.hold("gpt", "5") as budget, budget.child("gpt", "1") as task:
        charge = task.capture(credits="7")
        assert (charge.credits, charge.uncollected) == (5, 2)
    assert portal.available("alice") == 5


def test_a_parent_is_closed_after_its_children(portal: FakePortal) -> None:
    client = portal.client("alice")
    budget = client.open_hold("gpt", "5")
    task = client.open_hold("gpt", "2", parent=budget.id, expires_in=86_400)
    assert task.expires_at == budget.expires_at
    with pytest.raises(ChildrenOpen) as refusal:
        client.release_hold(budget.id)
    assert refusal.value.children == 1
    portal.now = budget.expires_at
    assert client.get_hold(task.id).status == "expired" and portal.available("alice") == 10


def test_the_usage_so_far_is_reported(portal: FakePortal) -> None:
    with portal.client("alice").hold("gpt", "5") as hold:
        reported = hold.report(RESPONSE).reported
        assert reported is not None and reported.credits == 2


def test_an_asynchronous_hold_has_children_too(portal: FakePortal) -> None:
    async def work() -> None:
        async with portal.async_client("alice").hold("gpt", "5") as budget, budget.child("gpt", "2") as task:
            await task.report(RESPONSE)
            await task.capture(RESPONSE)

    event_loop.run(work())
    assert portal.available("alice") == 8
