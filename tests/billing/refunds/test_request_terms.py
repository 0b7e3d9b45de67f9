"""What of a purchase can be refunded, each condition at its boundary, and what each decision records."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db.models import QuerySet

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Dispute, Mail, Purchase, Refund
from billing.refunds import requests, stripe_refunds
from tests.billing.conftest import change_policies, smallest_pack

pytestmark = pytest.mark.django_db
NOW = datetime(2027, 6, 10, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
PAID = NOW - timedelta(days=3)
END = PAID + timedelta(days=30)


def decisions() -> QuerySet[Mail]:
    """The e-mails after the one that confirms the request."""
    return Mail.objects.exclude(template="refund_requested")


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def purchase(refund_window: None, account: Account, alice: User) -> Callable[..., Purchase]:
    """A pack of 100 credits for 10.00, paid three days ago: `purchase(spent=25, refunded=200)`."""

    def make(*, spent: int = 0, held: int = 0, **fields: Any) -> Purchase:
        values: dict[str, Any] = {"kind": "pack", "origin": "page", "offer": smallest_pack(), "label": "Pack"}
        values |= {"credits": Decimal(100), "amount": 1000, "list_amount": 1000, "currency": "usd"}
        values |= {"status": "paid", "paid_at": PAID, "created_at": PAID, "stripe_payment_id": "pi_1"}
        made: Purchase = Purchase.objects.create(
            account=account, buyer=alice, idempotency_key="key", **values | fields
        )
        ledger.grant(
            account_id=account.pk,
            credits=Decimal(100),
            kind="top_up",
            label="Pack",
            key="grant",
            purchase_id=made.pk,
            services=["gpt-4o"],
            priority=1,
            now=NOW,
        )
        use = {"account_id": account.pk, "service": "gpt-4o", "covers": ("gpt-4o",)}
        if spent:
            ledger.charge(ledger.ChargeRequest(credits=Decimal(spent), key="use", **use), NOW)
        if held:
            until = NOW + timedelta(hours=1)
            request = ledger.ChargeRequest(credits=Decimal(held), key="hold", **use)
            ledger.hold(request, now=NOW, expires_at=until)
        return made

    return make


def claim(purchase: Purchase, status: str, **fields: Any) -> Refund:
    values: dict[str, Any] = {"amount": 1, "currency": "usd", "created_at": NOW}
    return Refund.objects.create(
        account=purchase.account, purchase=purchase, status=status, **values | fields
    )


@pytest.mark.requirement("APIN-10")
@pytest.mark.parametrize(
    ("fields", "at", "expected"),
    [
        ({}, NOW, 1000),
        ({}, END - TICK, 1000),
        ({}, END, "window_over"),
        ({"spent": 25}, NOW, 750),
        ({"spent": 25, "held": 10}, NOW, 650),
        ({"spent": 99, "amount": 99}, NOW, "nothing_unspent"),  # less than a cent is left
        ({"spent": 100}, NOW, "nothing_unspent"),
        ({"stripe_payment_id": None}, NOW, "nothing_unspent"),
        ({"credits": Decimal(0)}, NOW, "nothing_unspent"),
        ({"refunded": 400}, NOW, 600),
        ({"refunded": 400, "spent": 50}, NOW, 500),
        ({"refunded": 999}, NOW, 1),
        ({"refunded": 1000}, NOW, "not_refundable"),
        ({"kind": "plan"}, NOW, "not_refundable"),
        ({"currency": "jpy", "spent": 33, "amount": 999}, NOW, 669),
        ({"currency": "kwd", "spent": 33, "amount": 5120}, NOW, 3430),
        ({"currency": "isk", "spent": 33, "amount": 50_000}, NOW, 33_500),
        *[({"status": status}, NOW, "not_paid") for status in Purchase.Status.values if status != "paid"],
    ],
    ids=str,
)
def test_what_can_be_refunded(
    purchase: Callable[..., Purchase], fields: dict[str, Any], at: datetime, expected: int | str
) -> None:
    bought = purchase(**fields)
    if isinstance(expected, str):
        with pytest.raises(requests.RefundRefused) as refused:
            requests.refundable(bought, at)
        assert (refused.value.code, refused.value.field) == (expected, "purchase")
        assert not bought.refunds.exists()
        return
    offer = requests.refundable(bought, at)
    left = 100 - fields.get("spent", 0) - fields.get("held", 0)
    assert (offer.amount, offer.credits, offer.ends_at) == (expected, left, END)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"spent": 100}, "All credits of this purchase have been spent."),
        ({"spent": 100, "refunded": 400}, "have been refunded, the others have been spent."),
        (
            {"stripe_payment_id": None, "amount": 0},
            "Nothing was paid for the unspent credits of this purchase",
        ),
        ({"stripe_payment_id": None}, "or too little to be refunded."),
        ({"spent": 99, "amount": 99}, "or too little to be refunded."),
    ],
    ids=str,
)
def test_why_nothing_can_be_refunded(
    purchase: Callable[..., Purchase], fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(requests.RefundRefused, match=re.escape(words)):
        requests.refundable(purchase(**fields), NOW)


def test_the_catalogue_can_have_no_refunds(purchase: Callable[..., Purchase]) -> None:
    bought = purchase()
    change_policies(refund_window_days=None)
    with pytest.raises(requests.RefundRefused) as refused:
        requests.refundable(bought, NOW)
    assert refused.value.code == "not_refundable"


@pytest.mark.parametrize("status", Refund.Status.values)
def test_one_request_at_a_time(purchase: Callable[..., Purchase], status: str) -> None:
    bought = purchase()
    claim(bought, status)
    if status in {"requested", "approved", "pending"}:
        with pytest.raises(requests.RefundRefused) as refused:
            requests.create(purchase=bought, user=None, message="", now=NOW)
        assert refused.value.code == "already_requested"
    else:
        assert requests.refundable(bought, NOW).amount == 1000


@pytest.mark.parametrize("withdrawn", [True, False])
def test_a_payment_whose_money_a_bank_has_withdrawn_is_not_refunded(
    purchase: Callable[..., Purchase], withdrawn: bool
) -> None:
    bought = purchase()
    facts = {"stripe_dispute_id": "du_1", "stripe_status": "-", "amount": 1, "currency": "usd"}
    Dispute.objects.create(
        account=bought.account, purchase=bought, withdrawn=withdrawn, created_at=NOW, **facts
    )
    if withdrawn:
        with pytest.raises(requests.RefundRefused, match="disputed"):
            requests.refundable(bought, NOW)
    else:
        assert requests.refundable(bought, NOW).amount == 1000


def test_a_request_records_what_was_offered_and_who_asked(
    purchase: Callable[..., Purchase], alice: User, account: Account
) -> None:
    bought = purchase(spent=25)
    asked = requests.create(purchase=bought, user=alice, message="x" * 2000, now=NOW)
    assert (asked.status, asked.amount, asked.credits, asked.currency) == ("requested", 750, 75, "usd")
    assert (asked.requested_by, asked.buyer_reason, asked.created_at) == (alice, "x" * 1000, NOW)
    assert (asked.account_id, asked.purchase_id) == (account.pk, bought.pk)
    bought.refresh_from_db()
    assert bought.refunded == 0


def test_a_refusal_and_a_withdrawal_end_a_request(purchase: Callable[..., Purchase], alice: User) -> None:
    bought = purchase()
    with pytest.raises(requests.RefundRefused) as refused:
        requests.withdraw(bought, NOW)
    assert refused.value.code == "already_decided"

    first = requests.create(purchase=bought, user=alice, message="", now=NOW)
    assert requests.withdraw(bought, NOW) == first
    first.refresh_from_db()
    assert (first.status, first.closed_at, first.decided_at) == ("withdrawn", NOW, None)
    assert not decisions().exists()

    second = requests.create(purchase=bought, user=alice, message="", now=NOW)
    requests.refuse(second, actor="erin", reason="y" * 2000, now=NOW)
    second.refresh_from_db()
    assert (second.status, second.decided_by, second.decision) == ("refused", "erin", "y" * 1000)
    assert (second.decided_at, second.closed_at) == (NOW, NOW)
    mail = decisions().get()
    assert (mail.template, mail.context["decision"], mail.context["amount"]) == (
        "refund_refused",
        "y" * 1000,
        1000,
    )
    for decided in (first, second):
        for act in (requests.approve, requests.refuse):
            with pytest.raises(requests.RefundRefused) as again:
                act(decided, actor="erin", reason="", now=NOW)
            assert again.value.code == "already_decided"
    assert ledger.balance(bought.account_id, NOW).total >= 100


@pytest.fixture
def at_stripe(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Requests to create a refund; Stripe answers that it is pending."""
    made: list[dict[str, Any]] = []

    def create(**arguments: Any) -> dict[str, Any]:
        made.append(arguments)
        return {"id": f"re_{len(made)}", "status": "pending", "metadata": {"refund": arguments["refund"]}}

    monkeypatch.setattr(stripe_gateway, "create_refund", create)
    return made


def test_an_approval_takes_the_unspent_credits_first_and_stripe_is_asked_for_that_amount(
    purchase: Callable[..., Purchase], account: Account, at_stripe: list[dict[str, Any]]
) -> None:
    bought = purchase(spent=25, held=10)
    asked = requests.create(purchase=bought, user=None, message="", now=NOW)
    before = ledger.balance(account.pk, NOW).total
    done = requests.approve(asked, actor="erin", reason="fair", now=NOW)
    assert (done.status, done.amount, done.credits) == ("pending", 650, 65)
    assert (done.decided_by, done.decision, done.decided_at, done.closed_at) == ("erin", "fair", NOW, None)
    assert before - ledger.balance(account.pk, NOW).total == 65
    bought.refresh_from_db()
    assert bought.refunded == 650
    [request] = at_stripe
    assert request == {
        "key": done.key,
        "payment_id": "pi_1",
        "amount": 650,
        "refund": done.public_id,
    }
    assert not decisions().exists()
    with pytest.raises(requests.RefundRefused):
        requests.approve(asked, actor="erin", reason="", now=NOW)
    assert requests.send(done, NOW).status == "pending" and len(at_stripe) == 1


def test_an_approval_of_credits_spent_since_is_refused_and_changes_nothing(
    purchase: Callable[..., Purchase], at_stripe: list[dict[str, Any]]
) -> None:
    bought = purchase()
    asked = requests.create(purchase=bought, user=None, message="", now=NOW)
    use = {"account_id": bought.account_id, "service": "gpt-4o", "covers": ("gpt-4o",)}
    ledger.charge(ledger.ChargeRequest(credits=Decimal(100), key="use", **use), NOW)
    with pytest.raises(requests.RefundRefused) as refused:
        requests.approve(asked, actor="erin", reason="", now=NOW)
    assert refused.value.code == "nothing_unspent"
    asked.refresh_from_db()
    assert (asked.status, at_stripe) == ("requested", [])


# Stripe's status of our approved refund, one after the other: status here, credits back, e-mails
PATHS: list[tuple[list[str], str, bool, list[str]]] = [
    ([], "pending", False, []),
    (["pending"], "pending", False, []),
    (["requires_action"], "pending", False, []),
    (["succeeded"], "done", False, ["refunded"]),
    (["succeeded", "succeeded"], "done", False, ["refunded"]),
    (["succeeded", "pending"], "done", False, ["refunded"]),
    (["failed"], "failed", True, ["refund_failed"]),
    (["failed", "failed"], "failed", True, ["refund_failed"]),
    (["canceled"], "failed", True, ["refund_failed"]),
    (["failed", "succeeded"], "failed", True, ["refund_failed"]),
    (["succeeded", "failed"], "failed", True, ["refunded", "refund_failed"]),
    (["succeeded", "canceled", "pending"], "failed", True, ["refunded", "refund_failed"]),
]


@pytest.mark.fault("P12", "P20")
@pytest.mark.parametrize(("updates", "status", "returned", "emails"), PATHS, ids=str)
def test_a_refund_follows_stripes_updates_in_any_order(
    purchase: Callable[..., Purchase],
    account: Account,
    at_stripe: list[dict[str, Any]],
    updates: list[str],
    status: str,
    returned: bool,
    emails: list[str],
) -> None:
    bought = purchase(spent=25)
    full = ledger.balance(account.pk, NOW).total
    asked = requests.create(purchase=bought, user=None, message="", now=NOW)
    requests.approve(asked, actor="erin", reason="", now=NOW)
    for update in updates:
        facts: dict[str, Any] = {"id": "re_1", "status": update, "amount": 750, "payment_intent": "pi_1"}
        stripe_refunds.apply_stripe_refund(facts | {"failure_reason": "lost_or_stolen_card"}, NOW)
    refund = Refund.objects.get()
    bought.refresh_from_db()
    assert (refund.status, refund.stripe_refund_id) == (status, "re_1")
    assert full - ledger.balance(account.pk, NOW).total == (0 if returned else 75)
    assert bought.refunded == (0 if returned else 750)
    assert [mail.template for mail in decisions().order_by("pk")] == emails
    assert refund.closed_at == (NOW if status != "pending" else None)
    assert refund.error == ("lost_or_stolen_card" if returned else "")
    for mail in Mail.objects.all():
        figures = {"amount": 750, "currency": "usd", "label": "Pack", "purchase": bought.public_id}
        assert figures.items() <= mail.context.items()
    assert ledger.audit.run(now=NOW).findings == []


def test_the_banks_reference_is_stored_as_it_arrives(
    purchase: Callable[..., Purchase], at_stripe: list[dict[str, Any]]
) -> None:
    bought = purchase()
    asked = requests.create(purchase=bought, user=None, message="", now=NOW)
    requests.approve(asked, actor="erin", reason="", now=NOW)
    facts: dict[str, Any] = {"id": "re_1", "status": "pending"}
    for details, expected in (
        ({"type": "card", "card": {"reference_status": "pending"}}, ("", "pending")),
        ({"type": "card", "card": {"reference": "R1", "reference_status": "available"}}, ("R1", "available")),
        ({}, ("R1", "available")),
    ):
        stripe_refunds.apply_stripe_refund(facts | {"destination_details": details}, NOW)
        asked.refresh_from_db()
        assert (asked.reference, asked.reference_status) == expected


def test_a_refund_that_stripe_refuses_is_marked_and_the_credits_return(
    purchase: Callable[..., Purchase], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_arguments: Any) -> None:
        raise stripe_gateway.InvalidRequest("The charge is disputed.")

    monkeypatch.setattr(stripe_gateway, "create_refund", refuse)
    bought = purchase()
    before = ledger.balance(account.pk, NOW).total
    asked = requests.create(purchase=bought, user=None, message="", now=NOW)
    done = requests.approve(asked, actor="erin", reason="", now=NOW)
    assert (done.status, done.error) == ("failed", "The charge is disputed.")
    assert ledger.balance(account.pk, NOW).total == before
    bought.refresh_from_db()
    assert bought.refunded == 0


@pytest.mark.fault("P12")
@pytest.mark.parametrize(
    ("recorded", "total", "created"),
    [
        ([], 400, 400),
        ([("done", 400)], 400, None),
        ([("done", 400)], 500, 100),
        ([("requested", 400)], 400, 400),
        ([("refused", 400)], 400, 400),
        ([("withdrawn", 400)], 400, 400),
        ([("approved", 400)], 400, None),
        ([("failed", 400)], 400, 400),  # our request that Stripe refused
        ([("failed", 400, "re_9")], 400, None),  # Stripe's total contains those that failed
    ],
    ids=str,
)
def test_the_total_of_a_charge_is_compared_with_the_recorded_refunds(
    purchase: Callable[..., Purchase], recorded: list[tuple[Any, ...]], total: int, created: int | None
) -> None:
    bought = purchase()
    for status, amount, *stripe_id in recorded:
        claim(bought, status, amount=amount, stripe_refund_id=stripe_id[0] if stripe_id else None)
    known = set(Refund.objects.values_list("pk", flat=True))
    stripe_refunds.apply_refunded_total(bought, total, NOW)
    new = Refund.objects.exclude(pk__in=known)
    assert [refund.amount for refund in new] == ([] if created is None else [created])
    for refund in new:
        assert (refund.status, refund.decided_by, refund.credits) == ("done", "Stripe", created / 10)  # type: ignore[operator]


def test_the_total_of_an_unpaid_purchase_creates_nothing(purchase: Callable[..., Purchase]) -> None:
    bought = purchase(status="quarantined")
    stripe_refunds.apply_refunded_total(bought, 400, NOW)
    assert not Refund.objects.exists()
