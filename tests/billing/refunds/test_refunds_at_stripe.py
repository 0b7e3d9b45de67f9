"""Which refund here a refund at Stripe belongs to, and what is recorded of one that nobody requested here."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Mail, Purchase, Referral, Refund
from billing.promotions import referrals
from billing.refunds import requests, stripe_refunds
from tests.billing.refunds import test_request_terms as terms
from tests.billing.refunds import test_states as states
from tests.billing.refunds.test_request_terms import NOW, claim

pytestmark = pytest.mark.django_db
clock, purchase, at_stripe = terms.clock, terms.purchase, terms.at_stripe


def facts_of(stripe_id: str, amount: int, status: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {"id": stripe_id, "amount": amount, "status": status, "payment_intent": "pi_1"} | more


def recorded(bought: Purchase) -> list[tuple[str, int, str | None]]:
    rows = bought.refunds.order_by("amount", "stripe_refund_id")
    return list(rows.values_list("status", "amount", "stripe_refund_id"))


# a refund here that Stripe's refund re_1 of 4.00 names: what is recorded then, credits taken for the new one
NAMED: list[tuple[dict[str, Any], list[tuple[str, int, str | None]], int]] = [
    ({"status": "approved"}, [("done", 400, "re_1")], 0),
    ({"status": "pending"}, [("done", 400, "re_1")], 0),
    ({"status": "done", "stripe_refund_id": "re_1"}, [("done", 400, "re_1")], 0),
    ({"status": "failed", "stripe_refund_id": "re_1"}, [("failed", 400, "re_1")], 0),
    # its money has left after all
    ({"status": "failed"}, [("done", 400, "re_1"), ("failed", 400, None)], 40),
    # a second refund with the same metadata
    ({"status": "done", "stripe_refund_id": "re_0"}, [("done", 400, "re_0"), ("done", 400, "re_1")], 40),
]


@pytest.mark.fault("P12", "P20")
@pytest.mark.parametrize(("fields", "rows", "taken"), NAMED, ids=str)
def test_a_refund_at_stripe_is_the_one_that_it_names(
    purchase: Callable[..., Purchase],
    account: Account,
    fields: dict[str, Any],
    rows: list[tuple[str, int, str | None]],
    taken: int,
) -> None:
    bought = purchase()
    named = claim(bought, amount=400, requested_by=bought.buyer, **fields)
    before = ledger.balance(account.pk, NOW).total
    for _again in range(2):
        stripe_refunds.apply_stripe_refund(facts_of("re_1", 400, metadata={"refund": named.public_id}), NOW)
    assert recorded(bought) == rows
    assert before - ledger.balance(account.pk, NOW).total == taken


@pytest.mark.fault("P12")
@pytest.mark.parametrize(
    ("totals", "amounts", "rows"),
    [
        ([500], [500], [(500, "re_0")]),
        ([500], [200], [(200, "re_0"), (300, None)]),
        ([500], [200, 300], [(200, "re_0"), (300, "re_1")]),
        ([500], [200, 400], [(200, "re_0"), (300, None), (400, "re_1")]),
        ([300, 500], [200], [(200, "re_0"), (300, None)]),
        ([300, 500], [300, 200], [(200, "re_1"), (300, "re_0")]),
        ([], [200, 300], [(200, "re_0"), (300, "re_1")]),
    ],
    ids=str,
)
def test_refunds_that_arrive_after_their_total_replace_its_row(
    purchase: Callable[..., Purchase],
    account: Account,
    totals: list[int],
    amounts: list[int],
    rows: list[tuple[int, str | None]],
) -> None:
    bought = purchase()
    before = ledger.balance(account.pk, NOW).total
    for total in totals:
        stripe_refunds.apply_refunded_total(bought, total, NOW)
    for number, amount in enumerate(amounts):
        stripe_refunds.apply_stripe_refund(facts_of(f"re_{number}", amount), NOW)
    assert recorded(bought) == [("done", *row) for row in rows]
    bought.refresh_from_db()
    assert bought.refunded == sum(amount for amount, _stripe_id in rows)
    assert before - ledger.balance(account.pk, NOW).total == Decimal(bought.refunded) / 10
    assert {refund.credits == Decimal(refund.amount) / 10 for refund in bought.refunds.all()} == {True}
    assert ledger.audit.run(now=NOW).findings == []


@pytest.mark.parametrize("other", ["pending", "requested", "failed", "asked for"])
def test_a_refund_is_matched_only_with_the_row_of_a_total(
    purchase: Callable[..., Purchase], other: str
) -> None:
    bought = purchase()
    if other == "asked for":
        claim(bought, "done", amount=300, requested_by=bought.buyer)
    else:
        claim(bought, other, amount=300)
    stripe_refunds.apply_stripe_refund(facts_of("re_1", 300), NOW)
    assert [(amount, stripe_id) for _status, amount, stripe_id in recorded(bought)] == [
        (300, "re_1"),
        (300, None),
    ]


def test_a_refund_in_the_dashboard_is_recorded_as_stripes_decision(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    purchase()
    made = stripe_refunds.apply_stripe_refund(facts_of("re_1", 300, "failed"), NOW)
    assert made is not None
    assert (made.status, made.credits, made.error, made.currency) == ("failed", 0, "", "usd")
    late = stripe_refunds.apply_stripe_refund(facts_of("re_1", 300, "pending"), NOW)
    assert late is not None and (late.pk, late.status) == (made.pk, "failed")
    done = stripe_refunds.apply_stripe_refund(facts_of("re_2", 300, "pending"), NOW)
    assert done is not None
    assert (done.status, done.decided_by, done.account_id) == ("done", "Stripe", account.pk)
    assert (done.created_at, done.decided_at, done.closed_at) == (NOW, NOW, NOW)
    assert stripe_refunds.apply_stripe_refund(facts_of("re_3", 1, payment_intent="pi_x"), NOW) is None
    assert not Mail.objects.filter(template="refunded").exists()


def test_a_refund_without_a_payment_belongs_to_no_purchase(purchase: Callable[..., Purchase]) -> None:
    purchase(stripe_payment_id=None)
    assert stripe_refunds.apply_stripe_refund(facts_of("re_1", 1, payment_intent=None), NOW) is None
    assert not Refund.objects.exists()


def test_staff_see_each_refund_of_a_quarantined_payment_once(purchase: Callable[..., Purchase]) -> None:
    bought = purchase(status="quarantined", error="Paid 5 USD")
    for stripe_id, amount in (("re_1", 5), ("re_1", 5), ("re_2", 7)):
        assert stripe_refunds.apply_stripe_refund(facts_of(stripe_id, amount), NOW) is None
    bought.refresh_from_db()
    assert bought.error == "Paid 5 USD; 5 USD refunded at Stripe (re_1); 7 USD refunded at Stripe (re_2)"
    Purchase.objects.update(error="x" * 500)
    stripe_refunds.apply_stripe_refund(facts_of("re_3", 9), NOW)
    bought.refresh_from_db()
    assert len(bought.error) == 500 and bought.error.endswith("x; 9 USD refunded at Stripe (re_3)")


def test_an_outage_is_noted_until_stripe_has_the_refund(
    purchase: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests.create(purchase=purchase(), user=None, message="", now=NOW)

    def fail(**_arguments: Any) -> None:
        raise stripe_gateway.StripeUnavailable("e" * 600)

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "create_refund", fail)
        waiting = requests.approve(asked, actor="erin", reason="z" * 2000, now=NOW)
    assert (waiting.status, waiting.error, waiting.decision) == ("approved", "e" * 500, "z" * 1000)
    for status, ours in ((None, "pending"), ("succeeded", "done")):
        Refund.objects.update(error="e")
        facts = facts_of("re_1", 1000) | {"status": status, "metadata": {"refund": asked.public_id}}
        stripe_refunds.apply_stripe_refund(facts, NOW)
        asked.refresh_from_db()
        assert (asked.status, asked.error) == (ours, "")


def test_an_approved_refund_that_stripe_has_is_looked_up_and_not_made_again(
    purchase: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch, at_stripe: list[dict[str, Any]]
) -> None:
    bought = purchase()
    approved = claim(bought, "approved", amount=400)

    def find(*, payment_id: str, refund: str) -> dict[str, Any]:
        assert (payment_id, refund) == ("pi_1", approved.public_id)
        return facts_of("re_9", 400, metadata={"refund": refund})

    monkeypatch.setattr(stripe_gateway, "find_refund", find)
    assert requests.send_approved(NOW) == 1
    approved.refresh_from_db()
    assert (approved.status, approved.stripe_refund_id, at_stripe) == ("done", "re_9", [])
    assert requests.send_approved(NOW) == 0


def test_one_run_sends_a_hundred_approved_refunds(
    purchase: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch
) -> None:
    bought = purchase()
    values: dict[str, Any] = {"account": bought.account, "purchase": bought, "status": "approved"}
    values |= {"amount": 1, "currency": "usd", "created_at": NOW}
    Refund.objects.bulk_create(Refund(**values) for _number in range(101))
    sent: list[Refund] = []
    monkeypatch.setattr(requests, "send", lambda refund, _now, *, again: sent.append(refund))
    assert requests.send_approved(NOW) == len(sent) == 100


def test_a_failure_without_a_reason_is_named_by_its_status(
    purchase: Callable[..., Purchase], at_stripe: list[dict[str, Any]]
) -> None:
    asked = requests.create(purchase=purchase(), user=None, message="", now=NOW)
    requests.approve(asked, actor="erin", reason="", now=NOW)
    stripe_refunds.apply_stripe_refund(facts_of("re_1", 1000, "canceled"), NOW)
    asked.refresh_from_db()
    assert (asked.status, asked.error) == ("failed", "canceled")
    stripe_refunds.mark_failed(asked.pk, "later", NOW)
    asked.refresh_from_db()
    assert asked.error == "canceled"


@pytest.mark.parametrize("status", ["requested", "refused", "withdrawn"])
def test_a_request_that_was_not_approved_cannot_fail(purchase: Callable[..., Purchase], status: str) -> None:
    asked = claim(purchase(refunded=5), status, amount=5)
    stripe_refunds.mark_failed(asked.pk, "no", NOW)
    asked.refresh_from_db()
    assert (asked.status, asked.purchase.refunded) == (status, 5)


def test_failed_refunds_are_applied_first_and_each_group_in_the_order_of_creation() -> None:
    order = [("d", "succeeded", 3), ("b", "canceled", 2), ("c", "pending", None), ("a", "failed", 1)]
    found = [facts_of(name, 1, status, created=created) for name, status, created in order]
    assert [refund["id"] for refund in stripe_refunds.failed_first(found)] == ["a", "b", "c", "d"]


def test_the_banks_reference_is_cut_to_what_is_stored(purchase: Callable[..., Purchase]) -> None:
    bought = purchase()
    details = {"type": "card", "card": {"reference": "r" * 300, "reference_status": "s" * 30}}
    stripe_refunds.apply_stripe_refund(facts_of("re_1", 300, destination_details=details), NOW)
    stripe_refunds.apply_stripe_refund(facts_of("re_1", 300, destination_details=details), NOW)
    refund = bought.refunds.get()
    assert (refund.reference, refund.reference_status) == ("r" * 255, "s" * 20)


@pytest.mark.fault("P14", "P20")
def test_the_rewards_of_an_invitation_follow_a_refund_at_once(
    purchase: Callable[..., Purchase],
    account: Account,
    bob: User,
    at_stripe: list[dict[str, Any]],
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    bought = purchase()
    inviter = Account.objects.get(person=bob)
    Referral.objects.create(
        inviter=inviter, invited=account, purchase=bought, state="rewarded", created_at=NOW
    )

    def reward_after(stripe_id: str, status: str) -> str:
        with django_capture_on_commit_callbacks(execute=True):
            stripe_refunds.apply_stripe_refund(facts_of(stripe_id, 1000, status), NOW)
        return Referral.objects.get().state

    assert reward_after("re_0", "succeeded") == "taken_back"  # made in the dashboard
    assert reward_after("re_0", "failed") == "rewarded"
    asked = requests.create(purchase=bought, user=None, message="", now=NOW)
    requests.approve(asked, actor="erin", reason="", now=NOW)
    assert reward_after("re_1", "succeeded") == "taken_back"


@pytest.mark.fault("C5")
@pytest.mark.django_db(transaction=True)
def test_rewards_that_cannot_follow_fail_neither_refund_nor_dispute(
    purchase: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def fail(purchase_id: Any, _now: Any) -> None:
        asked.append(purchase_id)
        raise ZeroDivisionError

    monkeypatch.setattr(referrals, "follow_purchase", fail)
    bought = purchase()
    refund = stripe_refunds.apply_stripe_refund(facts_of("re_1", 300), NOW)
    dispute = states.apply("lost", amount=700)
    assert (refund.status if refund else "", dispute.status) == ("done", "lost")
    assert asked == [bought.pk] * 2
