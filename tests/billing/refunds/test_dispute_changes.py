"""What a change of a dispute at Stripe does to the credits, the rewards and the times, and what it leaves."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account, User
from billing import ledger
from billing.models import Correction, Purchase, Referral, WithdrawnPlanPayment
from tests.billing.refunds import test_states as states
from tests.billing.refunds.test_states import NOW, apply

pytestmark = pytest.mark.django_db
clock, purchase = states.clock, states.purchase
LATER = NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("first", "second", "closed_at"),
    [
        (("won", {}), ("won", {"reason": "duplicate"}), NOW),
        (("lost", {}), ("lost", {"amount": 500}), NOW),
        (("won", {}), ("lost", {}), LATER),
        (("warning_closed", {}), ("needs_response", {}), None),
        (("needs_response", {}), ("under_review", {}), None),
        (("needs_response", {}), ("lost", {}), LATER),
    ],
    ids=str,
)
def test_a_dispute_is_closed_when_it_was_decided_not_when_its_facts_change(
    purchase: Callable[..., Purchase],
    first: tuple[str, dict[str, Any]],
    second: tuple[str, dict[str, Any]],
    closed_at: datetime | None,
) -> None:
    purchase()
    apply(first[0], **first[1])
    dispute = apply(second[0], LATER, **second[1])
    assert (dispute.closed_at, dispute.version) == (closed_at, 2)


# statuses and amounts, one after the other: the claw-backs made, and how many of them were returned
CLAW_BACKS: list[tuple[list[tuple[str, int]], int, int]] = [
    ([("needs_response", 1000), ("under_review", 1000), ("lost", 1000)], 1, 0),
    ([("needs_response", 1000), ("needs_response", 400)], 2, 1),
    ([("needs_response", 400), ("needs_response", 1000)], 2, 1),
    ([("needs_response", 1000), ("won", 1000), ("won", 400)], 1, 1),
    ([("warning_needs_response", 1000), ("warning_under_review", 400)], 0, 0),
    ([("needs_response", 1000), ("won", 1000), ("lost", 1000)], 2, 1),
]


@pytest.mark.fault("P14", "P28")
@pytest.mark.parametrize(("changes", "made", "returned"), CLAW_BACKS, ids=str)
def test_credits_are_taken_anew_only_when_the_money_changes(
    purchase: Callable[..., Purchase], changes: list[tuple[str, int]], made: int, returned: int
) -> None:
    bought = purchase()
    for status, amount in changes:
        dispute = apply(status, amount=amount)
    taken = Correction.objects.filter(purchase_id=bought.pk, kind=Correction.Kind.CLAW_BACK)
    assert (taken.count(), taken.exclude(undone_by_id=None).count()) == (made, returned)
    assert dispute.credits == (Decimal(amount) / 10 if made > returned else 0)
    last = taken.order_by("created_at", "id").last()
    assert last is None or last.reason == f"dispute {dispute.public_id}"


def test_an_inquiry_beside_a_dispute_of_a_plan_leaves_what_the_dispute_took(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    """The claims of a plan's payment share one part of its period, and are taken anew together."""
    paid = purchase(kind="plan", offer="starter", interval="month", period_start=NOW, credits=Decimal(0))
    ledger.grant(
        account_id=account.pk,
        credits=Decimal(100),
        kind="plan",
        label="Plan",
        key="allowance:starter:1",
        now=NOW,
    )
    apply("lost", id="du_2", amount=400)
    apply("warning_needs_response")
    apply("warning_under_review", amount=300)
    [taken] = Correction.objects.filter(purchase_id=paid.pk)
    assert (taken.credits, taken.undone_by_id) == (40, None)
    assert not WithdrawnPlanPayment.objects.exists()
    for status, withdrawn in (("lost", True), ("won", False)):
        apply(status)
        row = WithdrawnPlanPayment.objects.get()
        assert (row.pk, row.withdrawn, row.due, row.changed_at) == (paid.pk, withdrawn, True, NOW)
        assert ledger.balance(account.pk, NOW).debt == 0


@pytest.mark.fault("P14", "P28")
def test_the_rewards_of_an_invitation_follow_the_decision_at_once(
    purchase: Callable[..., Purchase],
    account: Account,
    bob: User,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    inviter = Account.objects.get(person=bob)
    Referral.objects.create(
        inviter=inviter, invited=account, purchase=purchase(), state="rewarded", created_at=NOW
    )
    for status, state in (("needs_response", "rewarded"), ("lost", "taken_back"), ("won", "rewarded")):
        with django_capture_on_commit_callbacks(execute=True):
            apply(status)
        assert Referral.objects.get().state == state, status
