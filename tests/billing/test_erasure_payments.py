"""Payments, cards, teams and texts of a user who is erased, and what arrives at the same time."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import erasure as account_erasure
from accounts import invitations, memberships
from accounts.models import Account, Invitation, Membership, User
from billing import erasure, ledger, stripe_gateway
from billing.models import BillingProfile, Mail, Purchase, Refund, Subscription
from billing.payments import cards, fulfilment
from billing.purchases import checkout, create
from billing.refunds import requests
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack
from tests.billing.payments.conftest import complete_setup_page
from tests.billing.payments.conftest import plan as plan
from tests.billing.payments.conftest import process_new_events as process_new_events
from tests.billing.payments.test_overdue_plans import overdue_plan as overdue_plan
from tests.sandbox.conftest import Buyer

pytestmark = [pytest.mark.django_db, pytest.mark.fault("O6")]
MANY = Decimal(10**9)


def erase(user: User, *, shown: Decimal = MANY) -> None:
    erasure.erase(user, timezone.now(), shown=shown)


def methods_at_stripe(stripe_api: Any, account: Account) -> list[str]:
    customer = BillingProfile.objects.get(account=account).stripe_customer_id
    return [method.id for method in stripe_api.payment_methods.list({"customer": customer}).data]


def test_no_saved_card_is_left_at_stripe(stripe_api: Any, alice: User, account: Account) -> None:
    stripe_sandbox.save_card(account, "visa")
    stripe_sandbox.save_card(account, "mastercard")
    assert len(methods_at_stripe(stripe_api, account)) == 2
    erase(alice)
    assert methods_at_stripe(stripe_api, account) == []
    assert BillingProfile.objects.get(account=account).card_last4 == ""


def test_a_card_whose_page_was_open_is_removed_when_it_is_saved(
    stripe_api: Any, alice: User, account: Account, process_new_events: Callable[..., None]
) -> None:
    session = complete_setup_page(account)
    page = Buyer()
    url = cards.setup_page_url(account, key=uuid.uuid4().hex)
    erase(alice)
    page.pay(url, "5555 5555 5555 4444")
    process_new_events()
    assert not cards.save_card_from_session(account, session, timezone.now())
    assert methods_at_stripe(stripe_api, account) == []
    assert BillingProfile.objects.get(account=account).card_last4 == ""


def test_the_open_invoice_of_an_overdue_plan_is_void(
    stripe_api: Any, alice: User, account: Account, overdue_plan: Subscription
) -> None:
    subscription = str(overdue_plan.stripe_subscription_id)
    [open_one] = stripe_api.invoices.list({"subscription": subscription, "status": "open"}).data
    erase(alice)
    assert stripe_api.invoices.retrieve(open_one.id).status == "void"
    assert stripe_api.subscriptions.retrieve(subscription).status == "canceled"
    alice.refresh_from_db()
    assert not alice.is_active


def test_an_automatic_payment_without_a_response_stops_the_deletion(
    stripe_api: Any, alice: User, account: Account, new_purchase: Callable[..., Purchase]
) -> None:
    Purchase.objects.filter(pk=new_purchase().pk).update(origin="auto_top_up", stripe_session_id=None)
    with pytest.raises(erasure.PaymentPending):
        erase(alice)
    assert Purchase.objects.get().status == "created"


@pytest.mark.parametrize("status", ["open", "paid"])
def test_an_open_invoice_that_is_being_paid_or_was_stops_the_deletion(
    stripe_api: Any,
    alice: User,
    overdue_plan: Subscription,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    monkeypatch.setattr(stripe_gateway, "void_invoice", lambda _id: {"status": status})
    with pytest.raises(erasure.PaymentPending):
        erase(alice)
    alice.refresh_from_db()
    assert alice.is_active


def test_a_payment_page_that_is_closed_meanwhile_is_not_opened(
    stripe_api: Any, alice: User, account: Account
) -> None:
    purchase = create.pack_purchase(
        account=account,
        buyer=alice,
        origin="page",
        pack_key=smallest_pack(),
        quantity=1,
        currency="usd",
        key="second tab",
        now=timezone.now(),
    )
    erase(alice)
    assert checkout.open_page(purchase, timezone.now()) == checkout.return_url(purchase)
    assert not stripe_api.checkout.sessions.list({}).data


def test_nothing_can_be_bought_for_a_deleted_account(stripe_api: Any, alice: User, account: Account) -> None:
    erase(alice)
    terms: dict[str, Any] = {"account": account, "buyer": alice, "origin": "page", "currency": "usd"}
    with pytest.raises(account_erasure.AccountErased):
        create.pack_purchase(**terms, pack_key=smallest_pack(), quantity=1, key="late", now=timezone.now())
    with pytest.raises(account_erasure.AccountErased):
        create.plan_purchase(
            **terms, plan_key="starter", interval="month", confirm=True, key="late", now=timezone.now()
        )
    assert not Purchase.objects.exists()


def test_a_payment_that_arrives_later_credits_nothing_and_waits_for_staff(
    stripe_api: Any, alice: User, account: Account, new_purchase: Callable[..., Purchase]
) -> None:
    purchase = new_purchase()
    erase(alice)
    before = ledger.balance(account.pk, timezone.now()).total
    payment = fulfilment.Payment(amount=purchase.amount, currency="usd", payment_id="pi_late")
    late = fulfilment.record_payment(purchase.pk, payment, timezone.now())
    assert late.status == Purchase.Status.QUARANTINED and "deleted before" in late.error
    assert ledger.balance(account.pk, timezone.now()).total == before


def test_nobody_loses_more_credits_than_were_shown(
    stripe_api: Any, alice: User, account: Account, new_purchase: Callable[..., Purchase]
) -> None:
    shown = erasure.credits_of([account], timezone.now())
    purchase = new_purchase()
    Buyer().pay(str(purchase.checkout_url))  # in the second tab; its event has not arrived
    with pytest.raises(erasure.CreditsChanged):
        erase(alice, shown=shown)
    purchase.refresh_from_db()
    assert purchase.status == "paid"
    with pytest.raises(erasure.CreditsChanged):
        erase(alice, shown=shown)
    alice.refresh_from_db()
    assert alice.is_active
    erase(alice, shown=erasure.credits_of([account], timezone.now()))
    alice.refresh_from_db()
    assert not alice.is_active


def test_a_team_without_other_members_is_deleted_with_its_only_owner(
    stripe_api: Any, team: Account, alice: User, bob: User, signed_in: Callable[[User], Client]
) -> None:
    now = timezone.now()
    page = signed_in(alice).get("/settings/delete/").content.decode()
    assert "The team “Wonderland”" not in page
    memberships.remove(Membership.objects.get(account=team, user=bob), now)
    invitations.invite(account_id=team.pk, email="carol@example.org", role="member", by=alice.pk, now=now)
    page = signed_in(alice).get("/settings/delete/").content.decode()
    assert "The team “Wonderland”, which has no other members, is deleted, too." in page
    erase(alice)
    team.refresh_from_db()
    assert (team.name, team.erased_at is not None) == ("Deleted account", True)
    assert ledger.balance(team.pk, now + timedelta(days=40)).allowances == ()
    assert not Invitation.objects.exists()


def test_a_member_who_joins_meanwhile_keeps_the_team(
    stripe_api: Any, team: Account, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    memberships.remove(Membership.objects.get(account=team, user=bob), timezone.now())
    removed = cards.remove_all

    def join(account_id: uuid.UUID, now: Any) -> None:
        removed(account_id, now)
        if not Membership.objects.filter(account=team, user=bob).exists():
            memberships.add(account=team, user=bob, role="owner", now=now)

    monkeypatch.setattr(cards, "remove_all", join)
    with pytest.raises(account_erasure.MembersChanged):
        erase(alice)
    erase(alice)
    team.refresh_from_db()
    alice.refresh_from_db()
    assert team.erased_at is None and not alice.is_active


def test_a_requested_refund_is_still_decided_and_paid(
    stripe_api: Any,
    alice: User,
    account: Account,
    new_purchase: Callable[..., Purchase],
    process_new_events: Callable[..., None],
    signed_in: Callable[[User], Client],
) -> None:
    purchase = new_purchase()
    Buyer().pay(str(purchase.checkout_url))
    process_new_events()
    purchase.refresh_from_db()
    refund = requests.create(purchase=purchase, user=alice, message="I am Alice.", now=timezone.now())
    assert "The refund that you requested" in signed_in(alice).get("/settings/delete/").content.decode()
    erase(alice)
    paid_back = requests.approve(refund, actor="staff", reason="", now=timezone.now())
    assert paid_back.status in {Refund.Status.DONE, Refund.Status.PENDING}
    assert paid_back.amount == purchase.amount
    assert not Mail.objects.exclude(recipients=[]).exists()
