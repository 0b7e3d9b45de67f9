"""What each status of a dispute at Stripe means here, what is stored of it, and the evidence for the bank."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from accounts.models import Account
from billing import ledger
from billing.models import Correction, Dispute, Mail, Purchase
from billing.payments import clawbacks
from billing.refunds import dispute_evidence, disputes

pytestmark = pytest.mark.django_db
NOW = datetime(2027, 8, 8, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def purchase(account: Account) -> Callable[..., Purchase]:
    def make(number: int = 1, **fields: Any) -> Purchase:
        values: dict[str, Any] = {"kind": "pack", "origin": "page", "offer": "small", "label": "Small"}
        values |= {"credits": Decimal(100), "amount": 1000, "list_amount": 1000, "currency": "usd"}
        values |= {"status": "paid", "paid_at": NOW, "created_at": NOW, "idempotency_key": f"k{number}"}
        values |= {"stripe_payment_id": f"pi_{number}"}
        made: Purchase = Purchase.objects.create(account=account, **values | fields)
        ledger.grant(
            account_id=account.pk,
            credits=Decimal(100),
            kind="top_up",
            label="Small",
            key=f"g{number}",
            purchase_id=made.pk,
            services=["gpt-4o"],
            priority=number,
            now=NOW,
        )
        return made

    return make


def apply(status: str, now: datetime = NOW, **facts: Any) -> Dispute:
    """Apply a dispute of 10.00 with a status as retrieved now."""
    stripe: dict[str, Any] = {"id": "du_1", "payment_intent": "pi_1", "amount": 1000, "currency": "usd"}
    stripe |= {"status": status} | facts
    ours = Dispute.objects.filter(stripe_dispute_id=stripe["id"])
    version = ours.values_list("version", flat=True).first()
    found = disputes.apply_snapshot(disputes.Snapshot(stripe, version), now)
    assert found is not None
    return found


def case(case_type: str) -> dict[str, Any]:
    return {"payment_method_details": {"card": {"case_type": case_type}}}


@pytest.mark.fault("P14", "P28")
@pytest.mark.parametrize(
    ("status", "facts", "ours", "away", "closed", "email"),
    [
        ("needs_response", {}, "open", True, False, True),
        ("under_review", {}, "open", True, False, True),
        ("won", {}, "won", False, True, False),
        ("lost", {}, "lost", True, True, False),
        ("warning_needs_response", {}, "inquiry", False, False, False),
        ("warning_under_review", {}, "inquiry", False, False, False),
        ("warning_closed", {}, "closed", False, True, False),
        ("prevented", case("block"), "prevented", False, True, False),
        ("prevented", case("resolution"), "lost", True, True, False),
        ("prevented", {}, "lost", True, True, False),
        ("a_status_of_the_future", {}, "open", True, False, True),
    ],
)
def test_each_status_at_stripe(
    purchase: Callable[..., Purchase],
    account: Account,
    status: str,
    facts: dict[str, Any],
    ours: str,
    away: bool,
    closed: bool,
    email: bool,
) -> None:
    bought = purchase()
    before = ledger.balance(account.pk, NOW).total
    for _again in range(2):
        dispute = apply(status, **facts)
    assert (dispute.status, dispute.withdrawn, dispute.stripe_status) == (ours, away, status)
    assert dispute.closed_at == (NOW if closed else None)
    assert (dispute.version, dispute.reason, dispute.evidence_due_at) == (1, "", None)
    assert dispute.case_type == (facts["payment_method_details"]["card"]["case_type"] if facts else "")
    assert before - ledger.balance(account.pk, NOW).total == (100 if away else 0) == dispute.credits
    assert clawbacks.is_withdrawn(bought) == away
    expected = {"label": "Small", "amount": 1000, "currency": "usd", "is_plan": False}
    assert [mail.context for mail in Mail.objects.filter(template="disputed")] == (
        [expected] if email else []
    )


def test_longer_names_of_stripes_than_ours_are_cut(purchase: Callable[..., Purchase]) -> None:
    purchase()
    dispute = apply("s" * 50, reason="r" * 200, **case("c" * 50))
    assert (dispute.stripe_status, dispute.case_type) == ("s" * 40, "c" * 40)
    assert dispute.reason == "r" * 100


def test_the_facts_of_a_dispute_follow_stripe(purchase: Callable[..., Purchase], account: Account) -> None:
    bought = purchase()
    due = int((NOW + timedelta(days=7)).timestamp())
    dispute = apply(
        "warning_needs_response", amount=400, reason="fraudulent", evidence_details={"due_by": due}
    )
    facts = (dispute.amount, dispute.reason, dispute.evidence_due_at, dispute.purchase_id, dispute.account_id)
    assert facts == (400, "fraudulent", NOW + timedelta(days=7), bought.pk, account.pk)
    changes: list[dict[str, Any]] = [
        {"reason": "product_not_received"},
        {"amount": 500},
        {"evidence_details": {"due_by": due + 60}},
        {"evidence_details": {"due_by": None}},
        case("compliance"),
        {"currency": "eur"},
    ]
    for number, change in enumerate(changes, start=2):
        dispute = apply("warning_needs_response", **change)
        assert dispute.version == number, change
    assert (dispute.amount, dispute.currency, dispute.evidence_due_at) == (1000, "eur", None)
    for status, closed in (("warning_closed", True), ("needs_response", False), ("lost", True)):
        assert (apply(status).closed_at is not None) == closed


def test_a_snapshot_older_than_the_last_change_is_not_applied(purchase: Callable[..., Purchase]) -> None:
    purchase()
    old = disputes.Snapshot({"id": "du_1", "payment_intent": "pi_1", "amount": 1, "currency": "usd"}, None)
    apply("needs_response")
    with pytest.raises(disputes.StaleDispute):
        disputes.apply_snapshot(disputes.Snapshot(old.facts | {"status": "won"}, None), NOW)
    with pytest.raises(disputes.StaleDispute):
        disputes.apply_snapshot(disputes.Snapshot(old.facts | {"status": "won"}, 2), NOW)
    foreign = old.facts | {"status": "won", "payment_intent": "pi_unknown"}
    assert disputes.apply_snapshot(disputes.Snapshot(foreign, None), NOW) is None


@pytest.mark.fault("P14")
@pytest.mark.parametrize(
    ("amounts", "taken"),
    [
        ([(400, "usd")], [40]),
        ([(400, "usd"), (600, "usd")], [40, 60]),
        ([(333, "usd"), (667, "usd")], [Decimal("33.3"), Decimal("66.7")]),
        ([(1, "jpy")], [100]),  # in another currency: all of it
        ([(2000, "usd")], [100]),
        ([(800, "usd"), (800, "usd")], [80, 20]),
        ([(1000, "usd"), (1000, "usd")], [100, 0]),
    ],
)
def test_several_claims_take_each_its_part_and_no_credit_twice(
    purchase: Callable[..., Purchase], account: Account, amounts: list[tuple[int, str]], taken: list[Any]
) -> None:
    bought = purchase()
    other = purchase(2)
    for number, (amount, currency) in enumerate(amounts):
        facts = {"id": f"du_{number}", "payment_intent": "pi_1", "amount": amount, "currency": currency}
        disputes.apply_snapshot(disputes.Snapshot(facts | {"status": "lost"}, None), NOW)
    made = Dispute.objects.order_by("stripe_dispute_id")
    assert [dispute.credits for dispute in made] == taken
    left = {one.purchase_id: one.remaining for one in ledger.balance(account.pk, NOW).grants}
    assert left.get(bought.pk, 0) == 100 - sum(taken)
    assert left[other.pk] == 100, "another purchase is not touched"
    assert clawbacks.is_withdrawn(bought) == (sum(taken) == 100)


@pytest.mark.fault("P14")
@pytest.mark.parametrize(
    ("price", "amounts", "taken"),
    [
        (3, [1, 2], ["33.333333", "66.666667"]),
        (3, [2, 1], ["66.666666", "33.333334"]),
        (3, [1, 1], ["33.333333", "33.333333"]),
        (3, [1, 1, 1], ["33.333333", "33.333333", "33.333334"]),
        (7, [3, 5], ["42.857142", "57.142858"]),
        (1, [1], ["100"]),
        (0, [0], ["100"]),
    ],
    ids=str,
)
def test_the_claim_that_takes_the_last_of_the_money_takes_what_rounding_has_left(
    purchase: Callable[..., Purchase], price: int, amounts: list[int], taken: list[str]
) -> None:
    purchase(amount=price)
    for number, amount in enumerate(amounts):
        apply("lost", id=f"du_{number}", amount=amount)
    made = Dispute.objects.order_by("stripe_dispute_id")
    assert [dispute.credits for dispute in made] == [Decimal(credits) for credits in taken]


def test_the_evidence_names_the_uses_of_the_purchases_credits(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    purchase(2)
    bought = purchase(3)
    purchase(4)
    uses = [
        ("a", "gpt-4o", "150"),
        ("b", "gpt-4o", "20"),
        ("c", "claude-sonnet-4", "25"),
        ("d", "gpt-4o", "80"),
    ]
    for minute, (key, service, credits) in enumerate(uses):
        at = NOW + timedelta(minutes=minute)
        request = ledger.ChargeRequest(
            account_id=account.pk,
            credits=Decimal(credits),
            key=key,
            service=service,
            covers=("gpt-4o",),
        )
        ledger.charge(request, at)
    dispute = Dispute.objects.create(
        account=account,
        purchase=bought,
        stripe_dispute_id="du_1",
        stripe_status="needs_response",
        amount=1000,
        currency="usd",
        created_at=NOW,
    )
    free = ledger.balance(account.pk, NOW).total
    evidence = dispute_evidence.collect(dispute)
    assert free >= 0
    assert evidence.spent == 100 == sum(use.credits for use in evidence.uses)
    facts = {use.service: (use.credits, use.calls) for use in evidence.uses}
    assert facts == {"gpt-4o": (75, 3), "claude-sonnet-4": (25, 1)}
    assert len(evidence.charges) == 4
    assert [use.credits for use in evidence.uses] == sorted(
        (use.credits for use in evidence.uses), reverse=True
    )
    newest = [charge.created_at for charge in evidence.charges]
    assert newest == sorted(newest, reverse=True)
    assert (evidence.first_use, evidence.last_use) == (newest[-1], newest[0])


def test_the_evidence_lists_the_newest_hundred_uses_and_none_of_unused_credits(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    purchase()
    dispute = apply("needs_response", amount=1)
    unused = dispute_evidence.collect(dispute)
    assert (unused.spent, unused.first_use, unused.last_use) == (0, None, None)
    assert (unused.uses, unused.charges) == ([], [])
    for n in range(101):
        use = {"account_id": account.pk, "service": "gpt-4o", "covers": ("gpt-4o",)}
        at = NOW + timedelta(minutes=n)
        ledger.charge(ledger.ChargeRequest(credits=Decimal("0.5"), key=f"{n}", **use), at)
    evidence = dispute_evidence.collect(dispute)
    assert (evidence.spent, [use.calls for use in evidence.uses]) == (Decimal("50.5"), [101])
    assert [charge.created_at for charge in evidence.charges] == [
        NOW + timedelta(minutes=n) for n in range(100, 0, -1)
    ]


def test_a_status_that_leaves_the_money_away_takes_nothing_anew(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    bought = purchase()
    statuses = ("warning_needs_response", "warning_under_review", "needs_response", "under_review", "lost")
    for status in statuses:
        apply(status)
    kinds = Correction.objects.filter(account_id=account.pk, purchase_id=bought.pk).values_list(
        "kind", flat=True
    )
    assert list(kinds) == ["claw_back"]
