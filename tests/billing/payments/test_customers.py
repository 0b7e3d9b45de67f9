"""The account's customer at Stripe: deleted, of another account or mode, made by several processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core import checks, management
from django.db import connection
from django.test import Client
from django.utils import timezone
from structlog.testing import capture_logs

from accounts import selectors as accounts
from accounts.models import Account, Membership, User
from billing import stripe_gateway, tasks
from billing.models import BillingProfile, Purchase, Reconciliation, StripeEvent, Subscription
from billing.payments import cards, customers
from billing.purchases import checkout, create
from billing.stripe_gateway import accounts as gateway_accounts
from billing.webhooks import reconciliation
from tests.billing import stripe_sandbox
from tests.billing.webhooks.delivery import deliver
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_accounts() -> Iterator[None]:
    yield
    gateway_accounts._account_id.cache_clear()


def plan_purchase(account: Account, key: str = "plan") -> Purchase:
    return create.plan_purchase(
        account=account,
        buyer=None,
        origin="page",
        plan_key="starter",
        interval="month",
        currency="usd",
        confirm=True,
        key=key,
        now=timezone.now(),
    )


def buy_plan(account: Account, key: str = "plan") -> Subscription:
    purchase = plan_purchase(account, key)
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    checkout.refresh_from_stripe(purchase, timezone.now())
    return Subscription.objects.get(account=account)


def test_an_account_without_an_owner_who_can_sign_in_has_a_customer_without_an_address(
    stripe_api: Any, account: Account, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert stripe_api.customers.retrieve(customers.ensure_customer(account)).email is None


def test_a_customer_has_the_address_of_the_first_owner(
    stripe_api: Any, account: Account, alice: User, bob: User
) -> None:
    Membership.objects.create(account=account, user=bob, role=Membership.Role.OWNER)
    customer = customers.ensure_customer(account, email="buyer@example.com")
    assert stripe_api.customers.retrieve(customer).email == accounts.owner_addresses(account.pk)[0]


@pytest.mark.fault("P27")
def test_a_purchase_after_the_customer_was_deleted_is_paid_by_a_new_customer(
    stripe_api: Any, account: Account, new_purchase: Callable[..., Purchase], pay: Callable[..., Any]
) -> None:
    deleted = customers.ensure_customer(account)
    BillingProfile.objects.update(card_id="pm_gone", card_last4="4242")
    stripe_api.customers.delete(deleted)

    purchase = new_purchase()
    pay(purchase)
    checkout.refresh_from_stripe(purchase, timezone.now())

    purchase.refresh_from_db()
    profile = BillingProfile.objects.get(account=account)
    assert purchase.status == Purchase.Status.PAID
    assert profile.stripe_customer_id != deleted
    assert (profile.card_id, profile.card_last4) == ("", "")


@pytest.mark.fault("P27")
def test_cards_that_were_fetched_of_a_deleted_customer_are_not_stored(
    stripe_api: Any, account: Account
) -> None:
    stripe_sandbox.save_card(account)
    fetched = cards.fetch(account.pk)
    stripe_api.customers.delete(customers.ensure_customer(account))
    cards.portal_url(account)  # with a new customer
    with pytest.raises(cards.StaleCards):
        cards.store(fetched, timezone.now())


@pytest.mark.fault("P27")
@pytest.mark.parametrize(
    "request_of", [cards.portal_url, lambda account: cards.setup_page_url(account, key="k")]
)
def test_the_card_page_and_the_customer_portal_open_after_the_customer_was_deleted(
    stripe_api: Any, account: Account, request_of: Callable[[Account], str]
) -> None:
    stripe_api.customers.delete(customers.ensure_customer(account))

    assert request_of(account).startswith("http")


@pytest.mark.fault("P27")
def test_deleting_a_subscribed_customer_ends_the_plan_which_can_be_bought_again(
    stripe_api: Any, account: Account, events: Callable[..., Any]
) -> None:
    old = buy_plan(account).stripe_subscription_id
    stripe_api.customers.delete(BillingProfile.objects.get().stripe_customer_id)

    for event in events():
        assert deliver(event).status_code == 200

    assert not Subscription.objects.get(account=account).paid
    again = buy_plan(account, "again")
    assert again.plan == "starter" and again.stripe_subscription_id != old


def test_the_new_customer_of_an_account_outdates_the_cards_that_were_requested_of_the_former(
    stripe_api: Any, account: Account
) -> None:
    former = customers.ensure_customer(account)
    assert BillingProfile.objects.get().stripe_account == "acct_sandbox/test"
    requested = cards.fetch(account.pk)
    stripe_api.customers.delete(former)
    cards.portal_url(account)

    assert BillingProfile.objects.get().stripe_account == "acct_sandbox/test"
    with pytest.raises(cards.StaleCards):
        cards.store(requested, timezone.now())


def test_a_request_that_misses_another_object_keeps_the_customer(stripe_api: Any, account: Account) -> None:
    customer, sent = customers.ensure_customer(account), list[str]()

    def send(to: str) -> None:
        sent.append(to)
        raise stripe_gateway.ResourceMissing("No such price", "line_items[0][price]")

    with pytest.raises(stripe_gateway.ResourceMissing):
        customers.with_customer(account, send)
    assert sent == [customer] == [BillingProfile.objects.get().stripe_customer_id]


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault("P27")
def test_processes_that_miss_the_customer_at_once_make_one_new_customer(
    stripe_api: Any, account: Account
) -> None:
    stripe_api.customers.delete(customers.ensure_customer(account))

    def open_portal(_number: int) -> str:
        try:
            return cards.portal_url(account)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(open_portal, range(4)))) == 4

    found = stripe_api.customers.search({"query": f"metadata['account']:'{account.public_id}'"}).data
    assert [customer.id for customer in found] == [BillingProfile.objects.get().stripe_customer_id]


def test_a_customer_of_an_earlier_release_is_kept_when_stripe_has_it(
    stripe_api: Any, account: Account
) -> None:
    customer = customers.ensure_customer(account)
    BillingProfile.objects.update(stripe_account="")

    assert customers.ensure_customer(account) == customer
    assert BillingProfile.objects.get().stripe_account == "acct_sandbox/test"


def test_a_deleted_customer_that_stripes_search_still_finds_is_not_used(
    stripe_api: Any, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = stripe_api.customers.create({"name": "Alice"}).id
    stripe_api.customers.delete(deleted)
    monkeypatch.setattr(stripe_gateway, "find_customer", lambda _account: deleted)

    assert customers.ensure_customer(account) != deleted


def test_a_renamed_account_whose_request_was_lost_gets_a_customer(
    stripe_api: Any, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key belongs to one set of parameters, so that the same key with another name is refused."""
    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "find_customer", lambda _account: None)
        customers.ensure_customer(account)
        BillingProfile.objects.update(stripe_customer_id=None)
        account.name = "renamed"

        assert customers.ensure_customer(account)


@pytest.mark.fault("P27")
@pytest.mark.parametrize("key", ["sk_test_sandbox2", "sk_live_sandbox"])
def test_a_database_that_moves_from_the_sandbox_to_another_key_works(
    stripe_api: Any,
    account: Account,
    settings: Any,
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    key: str,
) -> None:
    unpaid, left = new_purchase(key="unpaid"), buy_plan(account)
    tasks.reconcile()
    settings.STRIPE_SECRET_KEY = key

    with capture_logs() as logs:
        reconciliation.run(timezone.now() + timedelta(minutes=20))

    assert [log["refused"] for log in logs if log["event"] == "stripe_account_changed"] == [False]
    assert Subscription.objects.get(account=account).plan != left.plan  # it was paid with a test card
    unpaid.refresh_from_db()
    assert unpaid.status == Purchase.Status.FAILED
    subscription, purchase = buy_plan(account, "real"), new_purchase(key="real pack")
    pay(purchase)
    checkout.refresh_from_stripe(purchase, timezone.now())
    assert (subscription.plan, purchase.status) == ("starter", Purchase.Status.PAID)
    assert BillingProfile.objects.get().stripe_account == stripe_gateway.current_account()
    with capture_logs() as logs:
        report = reconciliation.run(timezone.now() + timedelta(minutes=30))
    assert report is not None and report.findings == []
    assert [log for log in logs if log.get("alert")] == []


def test_a_live_database_is_left_only_on_request_and_paid_periods_stay(
    stripe_api: Any, account: Account, settings: Any
) -> None:
    settings.STRIPE_SECRET_KEY = "sk_live_sandbox"
    subscription = buy_plan(account)
    tasks.reconcile()
    settings.STRIPE_SECRET_KEY = "sk_live_sandbox2"

    with capture_logs() as logs:
        tasks.reconcile()
    assert "adopt_stripe_account" in next(
        log["error"] for log in logs if log["event"] == "reconciliation_refused"
    )
    assert Subscription.objects.get(account=account).paid

    management.call_command("adopt_stripe_account")

    kept = Subscription.objects.get(account=account)
    assert (kept.plan, kept.paid, kept.paid_until) == ("starter", False, subscription.paid_until)
    assert subscription.paid_until is not None
    reconciliation.run(subscription.paid_until + timedelta(minutes=1))
    assert Subscription.objects.get(account=account).plan != "starter"


def test_the_check_names_the_mode_that_the_database_belongs_to(db: None, settings: Any) -> None:
    def ids() -> list[str | None]:
        found = checks.run_checks(tags=["database"], databases=["default"])
        return [message.id for message in found if str(message.id).startswith("billing")]

    now = timezone.now()
    Reconciliation.objects.create(since=now, until=now, finished_at=now, stripe_account="acct_1/live")
    assert ids() == ["billing.W002"]
    settings.STRIPE_SECRET_KEY = "sk_live_x"
    assert ids() == []
    Reconciliation.objects.update(stripe_account="acct_1/test")
    assert ids() == ["billing.W003"]


# 401 and 403


def restrict(settings: Any, permission: str) -> None:
    settings.STRIPE_SECRET_KEY = f"rk_test_sandbox_without_{permission}"
    settings.STRIPE_ACCOUNT = "acct_sandbox"


@pytest.mark.parametrize(
    ("key", "permission"),
    [
        ("rk_test_sandbox_without_checkout_session_write", "checkout_session_write"),
        ("sk_test_sandbox_expired", "secret key"),
        ("sk_test_wrong", "secret key"),
    ],
)
def test_a_refused_key_alerts_staff_by_the_permission_and_does_not_ask_the_buyer_to_try_again(
    stripe_api: Any,
    settings: Any,
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    key: str,
    permission: str,
) -> None:
    customers.ensure_customer(account)
    settings.STRIPE_SECRET_KEY = key
    purchase = create.pack_purchase(
        account=account,
        buyer=alice,
        origin="page",
        pack_key="small",
        quantity=1,
        currency="usd",
        key="k",
        now=timezone.now(),
    )

    with capture_logs() as logs:
        page = signed_in(alice).post(f"/billing/purchases/{purchase.public_id}/pay/", follow=True)

    alerts = [log["permission"] for log in logs if log["event"] == "stripe_access_refused"]
    assert alerts == [permission]
    assert "We have been notified" in page.text and "did not answer" not in page.text
    refusal = stripe_gateway.last_refusal()
    assert refusal is not None and refusal["permission"] in {permission, ""}
    purchase.refresh_from_db()
    assert purchase.status == Purchase.Status.CREATED


def test_an_event_that_needs_a_missing_permission_is_applied_once_it_is_given(
    stripe_api: Any, account: Account, settings: Any, events: Callable[..., Any]
) -> None:
    Buyer().pay(checkout.open_page(plan_purchase(account), timezone.now()))
    [event] = events("customer.subscription.created")
    restrict(settings, "subscription_read")
    assert deliver(event).status_code == 500

    settings.STRIPE_SECRET_KEY = "sk_test_sandbox"
    assert deliver(event).status_code == 200

    assert StripeEvent.objects.get().state == StripeEvent.State.DONE


def test_the_account_of_a_key_that_may_not_read_it_is_unknown(
    stripe_api: Any, account: Account, settings: Any
) -> None:
    customer = customers.ensure_customer(account)
    settings.STRIPE_SECRET_KEY = "rk_test_sandbox_without_accounts_kyc_basic_read"

    assert stripe_gateway.current_account() == "unknown/test"
    assert customers.ensure_customer(account) == customer


def test_a_key_with_other_parameters_is_no_outage(stripe_api: Any) -> None:
    make = {"key": "k", "email": "a@example.com", "account": "acct_x"}
    stripe_gateway.create_customer(name="one", **make)

    with pytest.raises(stripe_gateway.KeyReused):
        stripe_gateway.create_customer(name="two", **make)


def test_the_sandbox_names_the_mode_that_has_the_object(
    stripe_api: Any, account: Account, settings: Any
) -> None:
    customer = customers.ensure_customer(account)
    settings.STRIPE_SECRET_KEY = "sk_live_sandbox"
    with pytest.raises(stripe_gateway.ResourceMissing) as error:
        stripe_gateway.create_portal_session(customer=customer, return_url="https://example.com/")

    assert error.value.param == "customer"
    assert "a similar object exists in test mode, but a live mode key was used" in str(error.value)
    assert stripe_sandbox.api().customers.retrieve(customer).livemode is False
