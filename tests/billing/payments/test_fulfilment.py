"""What each call does to a purchase in each status: status, credits, e-mails, code, times."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import connection, transaction

from accounts.models import Account, User
from billing import ledger
from billing.ledger.models import Wallet
from billing.models import AutoTopUp, Mail, Promotion, Purchase, Redemption, Referral, Subscription
from billing.payments import fulfilment
from billing.payments.taxes import Tax
from billing.promotions import referrals
from billing.subscriptions import plan_terms
from pricing.models import Pack, Plan
from tests.billing.conftest import change_policies, smallest_pack

pytestmark = pytest.mark.django_db
NOW = datetime(2027, 3, 5, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(days=1)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def purchase(account: Account, alice: User) -> Callable[..., Purchase]:
    """A purchase of three packs in yen, which a code has made cheaper: `purchase("failed")`."""

    def make(status: str = "created", *, code: bool = True, **fields: Any) -> Purchase:
        closed = status in {"failed", "cancelled"}
        values: dict[str, Any] = {
            "kind": "pack",
            "origin": "page",
            "offer": smallest_pack(),
            "label": "3 × Small",
            "quantity": 3,
            "credits": Decimal(300),
            "lasts": "12 months",
            "amount": 900,
            "list_amount": 1000,
            "currency": "jpy",
            "promotion_code": "TENTH" if code else "",
            "status": status,
            "idempotency_key": f"key-{Purchase.objects.count()}",
            "created_at": BEFORE,
            "paid_at": BEFORE if status == "paid" else None,
            "closed_at": BEFORE if closed else None,
        }
        made: Purchase = Purchase.objects.create(account=account, buyer=alice, **values | fields)
        if code:
            promotion = Promotion.objects.create(
                code="TENTH", label="-", gives="discount", percent_off=10, starts_at=BEFORE, ends_at=NOW
            )
            Promotion.objects.update(redeemed=0 if closed else 1)
            released = BEFORE if closed else None
            Redemption.objects.create(
                promotion=promotion,
                account=account,
                purchase=made,
                nth=1,
                created_at=BEFORE,
                released_at=released,
            )
        return made

    return make


def pay(purchase: Purchase, **fields: Any) -> Purchase:
    facts: dict[str, Any] = {"amount": purchase.amount, "currency": purchase.currency, "payment_id": "pi_1"}
    return fulfilment.record_payment(purchase.pk, fulfilment.Payment(**facts | fields), NOW)


CALLS: dict[str, Callable[[Purchase], Purchase]] = {
    "pay": pay,
    "pend": lambda one: fulfilment.mark_pending(one.pk, method="sepa_debit", now=NOW),
    "fail": lambda one: fulfilment.mark_failed(one.pk, reason="The bank refused.", now=NOW),
    "cancel": lambda one: fulfilment.mark_cancelled(one.pk, NOW),
}
# call, status before: status after, e-mail, uses of the code; all other calls change nothing
EFFECTS = {
    ("pay", "created"): ("paid", "receipt", 1),
    ("pay", "pending"): ("paid", "receipt", 1),
    ("pay", "failed"): ("paid", "receipt", 1),
    ("pay", "cancelled"): ("paid", "receipt", 1),
    ("pend", "created"): ("pending", "payment_pending", 1),
    ("pend", "cancelled"): ("pending", "payment_pending", 1),
    ("fail", "created"): ("failed", "payment_failed", 0),
    ("fail", "pending"): ("failed", "payment_failed", 0),
    ("cancel", "created"): ("cancelled", None, 0),
}


@pytest.mark.fault("P3", "P5")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", Purchase.Status.values)
def test_each_call_in_each_status(
    purchase: Callable[..., Purchase], account: Account, status: str, call: str
) -> None:
    before = purchase(status)
    credits = ledger.balance(account.pk, NOW).total
    unchanged = (status, None, 0 if status in {"failed", "cancelled"} else 1)
    after, email, uses = EFFECTS.get((call, status), unchanged)

    for _repeated in range(2):
        assert CALLS[call](before).status == after

    changed = Purchase.objects.get(pk=before.pk)
    assert changed.status == after
    assert ledger.balance(account.pk, NOW).total - credits == (
        300 if (call, email) == ("pay", "receipt") else 0
    )
    assert list(Mail.objects.values_list("template", flat=True)) == ([email] if email else [])
    assert Promotion.objects.get().redeemed == uses
    assert Redemption.objects.get().released_at == (None if uses else before.closed_at or NOW)
    paid, closed = after == "paid", after in {"failed", "cancelled"}
    assert changed.paid_at == ((before.paid_at or NOW) if paid else None)
    # a pending purchase keeps the time of its cancellation, which nothing shows
    if (call, status) != ("pend", "cancelled"):
        assert changed.closed_at == ((before.closed_at or NOW) if closed else None)
    assert bool(changed.invoice_number) == (paid and email is not None)
    if call == "pend" and email:
        assert changed.payment_method == "sepa_debit"
    assert changed.error == ("The bank refused." if after == "failed" and email else "")


def test_the_granted_credits_are_those_of_the_purchase(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    bought = pay(purchase())
    [grant] = [one for one in ledger.balance(account.pk, NOW).grants if one.purchase_id == bought.pk]
    assert (grant.kind, grant.label, grant.credits) == ("top_up", "3 × Small", 300)
    assert grant.expires_at == NOW.replace(year=2028)
    [mail] = Mail.objects.all()
    figures = {"credits": "300", "amount": 900, "currency": "jpy", "label": "3 × Small", "kind": "pack"}
    assert figures.items() <= mail.context.items()
    assert (mail.context["number"], mail.context["purchase"]) == (bought.invoice_number, bought.public_id)


@pytest.mark.fault("P10", "P11")
@pytest.mark.parametrize(
    ("fields", "payment", "mismatch"),
    [
        ({}, {}, ""),
        ({}, {"amount": 899}, "899 JPY, expected 900 JPY"),
        ({}, {"amount": 901}, "901 JPY"),
        ({}, {"currency": "usd"}, "900 USD, expected 900 JPY"),
        ({}, {"amount": 700, "balance_used": 200}, ""),
        ({}, {"amount": 700, "balance_used": 100}, "800 JPY"),
        ({}, {"amount": 1000, "balance_used": -100}, ""),
        ({}, {"amount": 1080, "tax": Tax(amount=180, added=180)}, ""),
        ({}, {"amount": 1080, "tax": Tax(amount=180, added=0)}, "1080 JPY"),
        ({"tax_behavior": "exclusive"}, {"amount": 1080}, ""),
        ({"tax_behavior": "inclusive"}, {"amount": 1080}, "1080 JPY"),
        ({}, {"account": "acc_other"}, "another account: acc_other"),
        ({}, {"payment_id": "pi_taken"}, "already belongs to another purchase"),
    ],
)
def test_a_payment_that_is_not_the_purchases_is_quarantined(
    purchase: Callable[..., Purchase],
    account: Account,
    fields: dict[str, Any],
    payment: dict[str, Any],
    mismatch: str,
) -> None:
    purchase("paid", code=False, stripe_payment_id="pi_taken")
    credits = ledger.balance(account.pk, NOW).total
    done = pay(purchase(code=False, **fields), **payment)
    assert (done.status, mismatch in done.error) == ("quarantined" if mismatch else "paid", True)
    assert ledger.balance(account.pk, NOW).total - credits == (0 if mismatch else 300)
    assert done.closed_at == (NOW if mismatch else None)
    expected = None if payment.get("payment_id") == "pi_taken" else "pi_1"
    assert Purchase.objects.get(pk=done.pk).stripe_payment_id == expected
    assert not mismatch or not Mail.objects.exists()


def test_the_account_named_at_stripe_may_be_the_own_one(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    assert pay(purchase(), account=account.public_id).status == "paid"


def test_a_pack_for_paid_plans_is_credited_on_a_paid_plan_only(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    Pack.objects.update(paid_plans_only=True)
    assert pay(purchase(code=False)).status == "quarantined"
    Subscription.objects.update(plan="starter")
    assert pay(purchase(code=False), payment_id="pi_2").status == "paid"
    Subscription.objects.update(plan=Plan.objects.get(free=True).key)
    plan_terms.forget_all()
    a_plan = purchase(code=False, kind="plan", credits=0, offer="starter")
    assert pay(a_plan, payment_id="pi_3").status == "paid", "a plan itself needs none"


@pytest.mark.fault("P8")
def test_staff_release_a_quarantined_purchase_once(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    credits = ledger.balance(account.pk, NOW).total
    held = pay(purchase(code=False), amount=5)
    for _again in range(2):
        done = fulfilment.credit_quarantined(held, actor="erin: checked", now=NOW)
    assert (done.status, done.amount, done.error) == ("paid", 900, "Released by erin: checked")
    assert ledger.balance(account.pk, NOW).total == credits + 300
    unpaid = purchase(code=False)
    assert fulfilment.credit_quarantined(unpaid, actor="erin", now=NOW).status == "created"


def test_details_that_arrive_later_fill_what_is_missing_and_replace_nothing(
    purchase: Callable[..., Purchase],
) -> None:
    first = pay(purchase(code=False), payment_id=None, method="card")
    later = {"payment_id": "pi_9", "invoice_id": "in_9", "method": "sepa_debit", "receipt_url": "https://r/9"}
    pay(first, **later, tax=Tax(amount=90, added=0, country="JP", tax_id="T1"))
    pay(first, payment_id="pi_10", invoice_id="in_10", receipt_url="https://r/10", tax=Tax(amount=1, added=0))
    done = Purchase.objects.get(pk=first.pk)
    assert (done.stripe_payment_id, done.stripe_invoice_id) == ("pi_9", "in_9")
    assert (done.payment_method, done.receipt_url) == ("card", "https://r/9")
    assert (done.tax, done.country, done.billed_to["tax_id"]) == (90, "JP", "T1")
    fulfilment.record_charge_details(first.pk, receipt_url="https://r/11", method="link")
    done.refresh_from_db()
    assert (done.payment_method, done.receipt_url) == ("card", "https://r/9")
    bare = purchase(code=False)
    fulfilment.record_charge_details(bare.pk, receipt_url="https://r/1", method="link")
    bare.refresh_from_db()
    assert (bare.payment_method, bare.receipt_url) == ("link", "https://r/1")


def test_details_of_the_payment_of_another_purchase_are_not_stored(
    purchase: Callable[..., Purchase],
) -> None:
    first = pay(purchase(code=False), payment_id=None)
    purchase("paid", code=False, stripe_payment_id="pi_taken")
    pay(first, payment_id="pi_taken", method="card", receipt_url="https://r/1")
    done = Purchase.objects.get(pk=first.pk)
    assert (done.stripe_payment_id, done.payment_method, done.receipt_url) == (None, "", "")


@pytest.mark.parametrize("origin", ["page", "auto_top_up"])
@pytest.mark.parametrize(
    ("intent", "automatic", "on_page"),
    [
        ("succeeded", "paid", "paid"),
        ("processing", "pending", "created"),
        ("requires_payment_method", "failed", "created"),
        ("canceled", "failed", "created"),
        ("requires_action", "created", "created"),
    ],
)
def test_only_automatic_top_ups_follow_an_intent_that_has_not_succeeded(
    purchase: Callable[..., Purchase],
    account: Account,
    origin: str,
    intent: str,
    automatic: str,
    on_page: str,
) -> None:
    bought = purchase(code=False, origin=origin)
    AutoTopUp.objects.create(
        account=account, enabled=True, below=1, pack="x", currency="jpy", monthly_amount=1
    )
    facts = {
        "id": "pi_1",
        "status": intent,
        "amount_received": 900,
        "currency": "jpy",
        "metadata": {"purchase": bought.public_id},
        "last_payment_error": {"message": "No."},
        "latest_charge": {"receipt_url": "https://r", "payment_method_details": {"type": "link"}},
    }
    applied = fulfilment.apply_payment_intent(facts, NOW)
    assert applied is not None
    expected = automatic if origin == "auto_top_up" else on_page
    assert (applied.purchase.status, applied.changed) == (expected, expected != "created")
    assert (applied.payment_id, applied.error) == ("pi_1", {"message": "No."})
    if expected == "paid":
        assert (applied.purchase.receipt_url, applied.purchase.payment_method) == ("https://r", "link")
    assert not Mail.objects.filter(template="payment_failed").exists()
    again = fulfilment.apply_payment_intent(facts, NOW)
    assert again is not None and not again.changed
    assert fulfilment.apply_payment_intent({**facts, "metadata": {}}, NOW) is None


def test_instructions_of_a_transfer_are_stored_once(purchase: Callable[..., Purchase]) -> None:
    bought = purchase(code=False)
    for url in ("", "https://i/1", "https://i/2"):
        fulfilment.mark_pending(bought.pk, method="customer_balance", now=NOW, instructions_url=url)
    bought.refresh_from_db()
    assert (bought.instructions_url, bought.usual_days) == ("https://i/1", 3)
    assert Mail.objects.get().context["days"] == 3


def test_what_a_payment_states_is_recorded_and_what_it_does_not_state_is_kept(
    purchase: Callable[..., Purchase],
) -> None:
    stated = {"invoice_id": "in_1", "method": "card", "receipt_url": "https://r/1"}
    known = {"stripe_payment_id": "pi_0", "stripe_invoice_id": "in_0", "payment_method": "sepa_debit"}
    known["receipt_url"] = "https://r/0"
    pay(purchase(code=False, offer="stated"), **stated)
    pay(purchase(code=False, offer="known", **known), payment_id=None)
    found = Purchase.objects.order_by("-offer").values_list(*known)
    assert list(found) == [("pi_1", "in_1", "card", "https://r/1"), tuple(known.values())]


@pytest.mark.fault("P20")
@pytest.mark.parametrize(
    ("qualifies", "recorded"), [("first_purchase", True), ("first_charge", False), ("sign_up", False)]
)
def test_the_payment_of_an_invited_account_is_recorded_where_it_qualifies(
    purchase: Callable[..., Purchase], account: Account, bob: User, qualifies: str, recorded: bool
) -> None:
    terms = {"inviter_credits": "30", "invited_credits": "20", "assumed": True, "reason": "for this test"}
    change_policies(referral=terms | {"qualifies": qualifies})
    inviter = Account.objects.get(person=bob)
    Referral.objects.create(inviter=inviter, invited=account, created_at=BEFORE)
    paid = pay(purchase(code=False))
    assert Referral.objects.get().purchase == (paid if recorded else None)


@pytest.mark.fault("P2")
def test_a_surplus_payment_is_refunded_whole_once_and_grants_nothing(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    plan = purchase(code=False, kind="plan", offer="starter", credits=0, refunded=0)
    payment = fulfilment.Payment(amount=900, currency="jpy", payment_id="pi_1")
    later = replace(payment, invoice_id="in_1", receipt_url="https://receipt/1")
    for known in (payment, later):
        done = fulfilment.record_surplus_payment(plan.pk, known, NOW)
        assert (done.status, done.refunded) == ("paid", 900)
    assert (done.stripe_invoice_id, done.receipt_url) == ("in_1", "https://receipt/1")
    [refund] = done.refunds.all()
    assert (refund.status, refund.amount, refund.currency) == ("approved", 900, "jpy")
    assert (refund.decided_by, refund.created_at, refund.decided_at) == ("automatic", NOW, NOW)
    assert [mail.template for mail in Mail.objects.all()] == ["second_plan_refunded"]
    wrong = purchase(code=False, kind="plan", offer="starter", credits=0)
    odd = fulfilment.Payment(amount=1, currency="jpy", payment_id="pi_2")
    assert fulfilment.record_surplus_payment(wrong.pk, odd, NOW).status == "quarantined"
    assert not wrong.refunds.exists()
    part = purchase("paid", code=False, kind="plan", stripe_payment_id="pi_3", refunded=300)
    assert fulfilment.refund_surplus(part.pk, NOW).refunds.get().amount == 600
    unpaid = purchase("paid", code=False, kind="plan", amount=0)
    assert not fulfilment.refund_surplus(unpaid.pk, NOW).refunds.exists()
    assert Wallet.objects.get(account_id=account.pk).debt == 0


@pytest.mark.fault("C5")
@pytest.mark.django_db(transaction=True)
def test_what_follows_a_payment_runs_after_its_commit_and_never_after_a_rollback(
    purchase: Callable[..., Purchase], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def follow(account_id: UUID, now: datetime) -> None:
        assert not connection.in_atomic_block, "another connection would not see the payment"
        seen.append(Purchase.objects.get(account_id=account_id).status)

    monkeypatch.setattr(referrals, "reward_if_due", follow)
    made = purchase(code=False)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        pay(made)
        raise ZeroDivisionError
    assert (seen, Purchase.objects.get().status) == ([], "created")
    pay(made)
    assert seen == ["paid"]
