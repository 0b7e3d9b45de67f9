"""What payments of automatic top-ups change, and which card confirms one that needs authentication."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Account
from billing import stripe_gateway
from billing.models import AutoTopUp, Purchase
from billing.payments import fulfilment
from billing.purchases import auto_top_up
from tests.billing.purchases import test_top_up_terms as terms_of_top_ups
from tests.billing.purchases.test_top_up_terms import MIDMONTH, earlier

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P16")]
clock = terms_of_top_ups.clock


@pytest.mark.parametrize("later", [timedelta(0), timedelta(minutes=5)])
def test_nothing_is_bought_or_charged_while_a_payment_is_pending(
    enable: Callable[..., AutoTopUp], account: Account, later: timedelta
) -> None:
    enable()
    pending = earlier(account, amount=1, status="pending")
    assert auto_top_up.buy_if_low(account.pk, MIDMONTH + later) == "pending"
    assert [(one.pk, one.status) for one in Purchase.objects.all()] == [(pending.pk, "pending")]


SUSPENDED = {"failures": 2, "suspended_card": "pm", "payment_to_confirm": "pi", "last_outcome": "suspended"}
DECLINED = {"failures": 3, "suspended_card": "", "payment_to_confirm": "", "last_outcome": "declined"}
PAID = {"failures": 0, "suspended_card": "", "payment_to_confirm": "", "last_outcome": "paid"}


@pytest.mark.parametrize(("origin", "status", "changed", "after"), [
    ("page", "failed", True, SUSPENDED), ("page", "paid", True, SUSPENDED),
    ("auto_top_up", "failed", False, SUSPENDED), ("auto_top_up", "paid", False, SUSPENDED),
    ("auto_top_up", "failed", True, DECLINED), ("auto_top_up", "paid", True, PAID),
])  # fmt: skip
def test_only_payments_of_automatic_top_ups_change_its_failures(
    enable: Callable[..., AutoTopUp],
    account: Account,
    origin: str,
    status: str,
    changed: bool,
    after: dict[str, Any],
) -> None:
    enable()
    AutoTopUp.objects.update(**SUSPENDED)
    paid = earlier(account, amount=1, origin=origin, status=status)
    applied = fulfilment.AppliedIntent(purchase=paid, payment_id="pi_1", changed=changed, error={})
    auto_top_up.record_payment_result(applied, MIDMONTH)
    assert AutoTopUp.objects.values(*after).get() == after


def test_each_attempt_without_a_response_is_repeated_after_a_pause(
    enable: Callable[..., AutoTopUp], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable()
    AutoTopUp.objects.update(last_tried_at=MIDMONTH)
    earlier(account, amount=1, status="created")

    def lose_response(**_asked: Any) -> None:
        raise stripe_gateway.StripeUnavailable("timed out")

    monkeypatch.setattr(stripe_gateway, "create_off_session_payment", lose_response)
    outcomes = [
        auto_top_up.buy_if_low(account.pk, MIDMONTH + timedelta(seconds=seconds))
        for seconds in (59, 60, 119, 120)
    ]
    assert outcomes == ["pending", "unreachable", "pending", "unreachable"]


def test_a_confirmed_payment_is_paid_when_its_event_said_so(
    enable: Callable[..., AutoTopUp], account: Account
) -> None:
    assert not auto_top_up.refresh_confirmed_payment(account.pk, MIDMONTH)
    enable()
    for outcome in ("declined", "paid"):
        AutoTopUp.objects.update(last_outcome=outcome)
        assert auto_top_up.refresh_confirmed_payment(account.pk, MIDMONTH) == (outcome == "paid")


def test_the_card_that_needs_authentication_is_confirmed(
    enable: Callable[..., AutoTopUp], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable()
    AutoTopUp.objects.update(payment_to_confirm="pi_1", suspended_card="pm_failed", attempt_card="")
    sent: list[dict[str, Any]] = []

    def confirm(**asked: Any) -> dict[str, Any]:
        sent.append(asked)
        return {"id": "pi_1", "status": "succeeded"}

    monkeypatch.setattr(stripe_gateway, "confirm_payment", confirm)
    assert auto_top_up.confirm_failed_payment(account.pk, key="k", now=MIDMONTH) is None
    assert (sent[0]["card"], sent[0]["key"]) == ("pm_failed", "confirm:pi_1:k")
