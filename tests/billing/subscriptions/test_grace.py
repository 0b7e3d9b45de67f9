"""The hour in which a renewal's invoice is a draft, and the grace period until its payment fails."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import AutoTopUp, Entry, Mail, Purchase, Subscription
from billing.payments import customers
from billing.purchases import auto_top_up
from billing.subscriptions import changes, invoices, previews, prices, stripe_sync
from billing.webhooks import reconciliation
from sandbox import scheduled_actions, store
from tests.billing.conftest import change_policies, smallest_pack
from tests.billing.subscriptions.conftest import bonus, buy_starter, change_plan, of_kind
from tests.billing.subscriptions.test_proration import spend
from tests.sandbox.conftest import Buyer

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P21")]


@pytest.fixture
def to_renewal(starter: Subscription, advance: Callable[..., None]) -> Callable[..., None]:
    """Advance to 10 minutes after the period's end, or as given: `to_renewal(minutes=61)`."""

    def advance_to(**after: Any) -> None:
        starter.refresh_from_db()
        end = starter.paid_until + timedelta(**after or {"minutes": 10})
        advance(seconds=int((end - timezone.now()).total_seconds()))
        starter.refresh_from_db()

    return advance_to


@pytest.fixture
def failing_card(starter: Subscription, account: Account, stripe_api: Any) -> None:
    """The subscription's card is replaced by one that is declined at the renewal."""
    customer = customers.ensure_customer(account)
    card = stripe_api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    stripe_api.customers.update(customer, {"invoice_settings": {"default_payment_method": card.id}})
    stripe_api.subscriptions.update(starter.stripe_subscription_id, {"default_payment_method": card.id})


def month_grants(account: Account) -> list[Decimal]:
    entries = Entry.objects.filter(account=account, kind="grant", grant__kind="bonus").order_by("seq")
    return list(entries.values_list("credits", flat=True))


def plan_page(browser: Client) -> str:
    return browser.get("/billing/subscription/").content.decode()


def assert_books(account: Account) -> None:
    assert ledger.audit.run(now=timezone.now()).findings == []


def test_the_month_begins_while_the_invoice_is_a_draft(
    starter: Subscription,
    account: Account,
    alice: User,
    to_renewal: Callable[..., None],
    signed_in: Callable[[User], Client],
) -> None:
    spend(account, 900)
    to_renewal()

    assert (starter.state, starter.paid_until, bonus(account)) == ("active", starter.period_start, 1000)
    assert "is being processed" in plan_page(signed_in(alice))

    spend(account, 300)
    to_renewal(minutes=61)

    assert (starter.state, starter.paid_until) == ("active", starter.period_end)
    assert bonus(account) == 700 + 200  # 200 of the 300 were daily credits
    assert month_grants(account) == [1000, 1000]
    assert "is being processed" not in plan_page(signed_in(alice))
    assert_books(account)


def test_the_credits_go_on_before_any_event_arrives(
    starter: Subscription, account: Account, clock: Any
) -> None:
    clock.move_to(starter.paid_until + timedelta(minutes=1))
    assert bonus(account) == 1000


def test_no_top_up_is_bought_because_of_a_pending_renewal(
    starter: Subscription, account: Account, to_renewal: Callable[..., None]
) -> None:
    customer = customers.ensure_customer(account)
    method = stripe_gateway.retrieve_default_payment_method(customer)
    assert method is None or method["id"]
    settings: dict[str, Any] = {"enabled": True, "below": Decimal(10**6), "pack": smallest_pack()}
    settings |= {"currency": "usd", "monthly_amount": 100_000, "monthly_count": 3}
    AutoTopUp.objects.create(account=account, **settings)

    to_renewal()
    spend(account, 1100)
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == ""
    assert not Purchase.objects.filter(origin="auto_top_up").exists()

    to_renewal(minutes=61)
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) != ""


def test_a_failed_payment_takes_back_what_is_unspent_and_a_late_one_brings_it_again(
    starter: Subscription, account: Account, to_renewal: Callable[..., None], failing_card: None, advance: Any
) -> None:
    spend(account, 1200)
    to_renewal()
    spend(account, 300 + 200)
    assert bonus(account) == 700

    to_renewal(minutes=61)
    assert (starter.state, bonus(account), starter.unpaid_credits) == ("past_due", 0, 300)
    assert Mail.objects.filter(template="payment_overdue").count() == 1

    Buyer().pay(starter.recovery_url)
    advance(minutes=5)
    starter.refresh_from_db()
    assert (starter.state, bonus(account), starter.unpaid_credits) == ("active", 700, 0)
    changes.cancel(account, timezone.now())
    changes.resume(account, timezone.now())
    assert bonus(account) == 700
    to_renewal()
    assert bonus(account) == 1000
    assert_books(account)


def test_credits_used_of_an_unpaid_period_are_deducted_from_the_next_subscription(
    starter: Subscription,
    account: Account,
    alice: User,
    to_renewal: Callable[..., None],
    failing_card: None,
    advance: Any,
) -> None:
    to_renewal()
    spend(account, 200 + 900)
    advance(days=20)
    starter.refresh_from_db()
    assert (starter.plan, starter.paid, starter.unpaid_credits) == ("free-trial", False, 900)

    Purchase.objects.filter(idempotency_key="plan").update(idempotency_key="plan-before")
    buy_starter(account, alice, "month")

    starter.refresh_from_db()
    assert (bonus(account), starter.unpaid_credits) == (100, 0)
    to_renewal()
    assert bonus(account) == 1000
    assert_books(account)


def test_nothing_is_granted_in_advance_while_credits_are_unpaid(
    starter: Subscription, account: Account, to_renewal: Callable[..., None], advance: Any
) -> None:
    starter.unpaid_credits = Decimal(1500)
    starter.save()
    changes.cancel(account, timezone.now())
    changes.resume(account, timezone.now())
    to_renewal()
    assert bonus(account) == 0
    to_renewal(minutes=61)
    assert bonus(account) == 0
    assert starter.unpaid_credits == 500
    Subscription.objects.filter(pk=starter.pk).update(amount=1)  # Stripe's subscription is applied again
    stripe_sync.synchronize(str(starter.stripe_subscription_id), timezone.now())
    starter.refresh_from_db()
    assert (starter.amount, bonus(account), starter.unpaid_credits) == (990, 0, 500)
    to_renewal(minutes=61)
    assert (bonus(account), starter.unpaid_credits) == (500, 0)
    to_renewal()
    assert bonus(account) == 1000


def test_the_grace_period_ends_without_payment(
    starter: Subscription, account: Account, to_renewal: Callable[..., None], clock: Any
) -> None:
    change_policies(renewal_grace_hours=24)
    to_renewal()
    [draft] = store.where("invoice", status="draft")
    store.save(draft | {"automatically_finalizes_at": None})

    clock.shift(timedelta(hours=23))
    reconciliation.run(timezone.now())
    starter.refresh_from_db()
    assert (starter.state, bonus(account)) == ("active", 1000)
    clock.shift(timedelta(hours=1))
    reconciliation.run(timezone.now())
    starter.refresh_from_db()
    assert (starter.state, bonus(account)) == ("past_due", 0)


def test_the_plan_is_not_changed_while_its_renewal_is_pending(
    starter: Subscription, account: Account, advance: Any, to_renewal: Callable[..., None]
) -> None:
    advance(hours=1)
    end = starter.paid_until - timedelta(minutes=1)
    advance(seconds=int((end - timezone.now()).total_seconds()))
    before = previews.preview(
        account, plan_key="creator", interval="month", currency="usd", now=timezone.now()
    )
    to_renewal()
    with pytest.raises(previews.ChangeRefused) as refused:
        change_plan(account, "creator")
    assert refused.value.code == "renewal_pending"
    with pytest.raises((previews.ChangeRefused, previews.ConfirmationStale)):
        changes.confirm(account, before.token, timezone.now())
    to_renewal(minutes=61)
    assert change_plan(account, "creator").plan == "creator"


def test_a_cancelled_plan_gets_nothing_in_advance(
    starter: Subscription, account: Account, clock: Any, advance: Any
) -> None:
    advance(hours=1)
    changes.cancel(account, timezone.now())
    clock.move_to(starter.paid_until + timedelta(seconds=1))
    assert bonus(account) == 0


def test_a_scheduled_downgrade_gives_the_smaller_plans_credits_in_advance(
    starter: Subscription, account: Account, to_renewal: Callable[..., None], advance: Any
) -> None:
    advance(hours=1)
    change_plan(account, "creator")
    change_plan(account, "starter", "month")
    to_renewal()
    assert bonus(account) == 1000
    spend(account, int(of_kind(account, "daily")) + 100)
    to_renewal(minutes=61)
    assert (starter.plan, bonus(account)) == ("starter", 900)
    assert_books(account)


def test_a_downgrade_is_not_withdrawn_while_the_renewal_that_charges_the_smaller_plan_is_pending(
    starter: Subscription, account: Account, to_renewal: Callable[..., None], advance: Any
) -> None:
    advance(hours=1)
    change_plan(account, "creator")
    change_plan(account, "starter", "month")
    to_renewal()
    with pytest.raises(previews.ChangeRefused) as refused:
        changes.resume(account, timezone.now())
    assert refused.value.code == "renewal_pending"
    to_renewal(minutes=61)
    assert (starter.plan, bonus(account)) == ("starter", 1000)


@pytest.mark.parametrize("outcome", ["paid", "failed", "void"])
def test_an_upgrade_at_stripe_in_the_draft_hour_does_not_pay_the_renewal(
    starter: Subscription,
    account: Account,
    to_renewal: Callable[..., None],
    advance: Any,
    stripe_api: Any,
    outcome: str,
) -> None:
    to_renewal()
    price = prices.ensure_price(plan_key="creator", interval="month", currency="usd", amount=1990)
    change = {
        "items": [{"id": starter.stripe_item_id, "price": price}],
        "billing_cycle_anchor": {"type": "now"},
        "proration_behavior": "always_invoice",
    }
    stripe_api.subscriptions.update(starter.stripe_subscription_id, change)
    advance(minutes=1)
    starter.refresh_from_db()
    assert (starter.plan, starter.paid_until < starter.period_end) == ("starter", True)
    assert bonus(account) == 1000
    if outcome == "failed":
        customer = customers.ensure_customer(account)
        card = stripe_api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
        stripe_api.subscriptions.update(starter.stripe_subscription_id, {"default_payment_method": card.id})
    [draft] = store.where("invoice", status="draft")
    if outcome == "void":
        stripe_api.invoices.finalize_invoice(draft["id"])
        stripe_api.invoices.void_invoice(draft["id"])
    advance(minutes=50)

    starter.refresh_from_db()
    if outcome == "failed":
        assert (starter.plan, starter.state, bonus(account)) == ("starter", "past_due", 0)
        Buyer().pay(starter.recovery_url)
        advance(minutes=1)
        starter.refresh_from_db()
    assert (starter.plan, starter.state, starter.paid_until) == ("creator", "active", starter.period_end)
    assert 2999 < bonus(account) <= 3001
    assert_books(account)


def test_a_year_that_begins_unpaid_goes_on(
    clock: Any, stripe_api: Any, account: Account, alice: User, advance: Any
) -> None:
    yearly = buy_starter(account, alice, "year")
    clock.move_to(yearly.paid_until + timedelta(minutes=5))
    scheduled_actions.run_due(timezone.now())
    assert bonus(account) == 1000
    advance(hours=1)
    for days in (31, 30):
        advance(days=days)
        assert bonus(account) == 1000


def test_the_payment_of_an_invoice_is_the_one_that_is_paid() -> None:
    payments = [
        {"status": status, "payment": {"payment_intent": f"pi_{status}"}}
        for status in ("canceled", "paid", "open")
    ]
    assert invoices.payment_id({"payments": {"data": payments}}) == "pi_paid"
    assert invoices.payment_id({"payments": {"data": payments[::2]}}) == "pi_open"
    assert invoices.payment_id({"payment_intent": "pi_old"}) == "pi_old"


def test_a_plan_whose_payment_is_overdue_can_be_cancelled_and_resumed(
    starter: Subscription, account: Account, to_renewal: Callable[..., None], failing_card: None
) -> None:
    to_renewal()
    to_renewal(minutes=61)
    for change, cancels in ((changes.cancel, True), (changes.resume, False)):
        changed = change(account, timezone.now())
        assert (changed.state, changed.cancel_at_period_end) == ("past_due", cancels)
