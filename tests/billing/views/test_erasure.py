"""Deleting the own account: payments end first, the person is anonymised, the ledger stays."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts import erasure as erasing
from accounts.models import Account, Membership, User
from billing import erasure, ledger, stripe_gateway
from billing.models import AutoTopUp, BillingProfile, Entry, Mail, Purchase, Subscription
from billing.subscriptions import stripe_sync
from tests.conftest import PASSWORD
from tests.usage.spending import give
from usage.models import ChargeReport, Export, ExportPart

pytestmark = pytest.mark.django_db
PATH = "/settings/delete/"
SignedIn = Callable[[User], Client]


@pytest.fixture
def browser(stripe_api: Any, alice: User, signed_in: SignedIn) -> Client:
    """Alice, who has just entered her password again."""
    client = signed_in(alice)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def confirm(browser: Client, typed: str) -> Any:
    """Type the address on the page, which names the credits that are lost."""
    shown = re.search(r'name="credits" value="([^"]*)"', browser.get(PATH).content.decode())
    assert shown is not None
    return browser.post(PATH, {"email": typed, "credits": shown[1]})


def gone(user: User) -> bool:
    user.refresh_from_db()
    return not user.is_active


@pytest.mark.fault("O6")
def test_a_deleted_account_is_anonymised_and_keeps_its_ledger(
    browser: Client, alice: User, account: Account, api_of: Callable[..., Any]
) -> None:
    give(account, "50", timezone.now())
    api, email = api_of(alice), alice.email
    EmailAddress.objects.get_or_create(user=alice, email=email, defaults={"verified": True})
    BillingProfile.objects.update_or_create(account=account, defaults={"invoice_name": "Alice Liddell"})
    before = list(Entry.objects.filter(account=account).order_by("seq").values_list("seq", "hash"))
    page = browser.get(PATH).content.decode()
    assert "You lose 150 credits" in page and email in page and "cancelled at once" not in page

    response = confirm(browser, email.upper())
    assert (response.status_code, response.headers["Location"]) == (302, "/accounts/login/")
    assert "Your account was deleted." in browser.get("/accounts/login/").content.decode()

    assert gone(alice)
    account.refresh_from_db()
    assert (account.name, account.erased_at is not None) == ("Deleted account", True)
    assert email not in alice.email and not alice.get_full_name() and not alice.has_usable_password()
    assert not EmailAddress.objects.filter(user=alice).exists()
    assert BillingProfile.objects.get(account=account).invoice_name == ""
    after = list(Entry.objects.filter(account=account).order_by("seq").values_list("seq", "hash"))
    assert after[: len(before)] == before
    assert api.get("balance").status_code == 401
    assert browser.get("/").status_code == 302
    assert not Client().login(email=email, password=PASSWORD)


@pytest.mark.fault("O6")
def test_ways_to_sign_in_exports_and_texts_of_the_user_are_deleted(
    browser: Client, alice: User, account: Account, stripe_api: Any
) -> None:
    now = timezone.now()
    Authenticator.objects.create(user=alice, type="webauthn", data={"name": "Alice's phone"})
    SocialAccount.objects.create(user=alice, provider="oidc", uid="1", extra_data={"name": "Alice"})
    export = Export.objects.create(account=account, requested_by=alice, filters={}, created_at=now)
    ExportPart.objects.create(export=export, number=1, data=b"x")
    report = ChargeReport.objects.create(
        account=account, charge_id=uuid.uuid4(), reason="I am Alice.", created_at=now
    )

    confirm(browser, alice.email)

    assert gone(alice)
    for rows in (Authenticator.objects, SocialAccount.objects, Export.objects, ExportPart.objects):
        assert not rows.exists()
    report.refresh_from_db()
    assert report.reason == ""


@pytest.mark.fault("O6")
def test_the_subscription_is_cancelled_at_stripe_first(
    browser: Client, subscribe: Callable[..., Subscription], alice: User, account: Account
) -> None:
    stripe_id = str(subscribe("starter").stripe_subscription_id)
    page = browser.get(PATH).content.decode()
    assert "Your plan is cancelled at once." in page
    confirm(browser, alice.email)
    assert gone(alice)
    assert stripe_gateway.retrieve_subscription(stripe_id)["status"] == "canceled"
    current = Subscription.objects.get(account=account)
    assert (current.plan, current.stripe_subscription_id) == ("free-trial", None)
    assert BillingProfile.objects.get(account=account).card_id == ""


@pytest.mark.fault("O6")
def test_a_deleted_account_gets_no_credits_any_more_whatever_arrives_later(
    browser: Client,
    subscribe: Callable[..., Subscription],
    alice: User,
    account: Account,
    process_all_events: Callable[[], Any],
) -> None:
    stripe_id = str(subscribe("starter").stripe_subscription_id)
    confirm(browser, alice.email)
    process_all_events()
    stripe_sync.synchronize(stripe_id, timezone.now())
    balance = ledger.balance(account.pk, timezone.now() + timedelta(days=40))
    assert balance.allowances == () and balance.daily is None and balance.available == 0


@pytest.mark.fault("O6")
def test_when_stripe_does_not_answer_nothing_is_erased(
    browser: Client,
    subscribe: Callable[..., Subscription],
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscribe("starter")

    def unavailable(_id: str) -> None:
        raise stripe_gateway.StripeUnavailable("down")

    monkeypatch.setattr(stripe_gateway, "cancel_subscription", unavailable)
    response = confirm(browser, alice.email)
    assert response.status_code == 422 and "payment provider did not answer" in response.content.decode()
    assert not gone(alice)


def test_a_subscription_that_stripe_does_not_know_ends_here(
    browser: Client,
    subscribe: Callable[..., Subscription],
    alice: User,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscribe("starter")

    def missing(_id: str) -> None:
        raise stripe_gateway.ResourceMissing("gone")

    monkeypatch.setattr(stripe_gateway, "cancel_subscription", missing)
    confirm(browser, alice.email)
    assert gone(alice) and Subscription.objects.get(account=account).plan == "free-trial"


def test_a_payment_that_is_processed_stops_the_deletion(
    browser: Client, alice: User, new_purchase: Callable[..., Purchase]
) -> None:
    purchase = new_purchase()
    Purchase.objects.filter(pk=purchase.pk).update(status=Purchase.Status.PENDING)
    response = confirm(browser, alice.email)
    assert response.status_code == 422 and "still being processed" in response.content.decode()
    assert not gone(alice)


def test_an_open_checkout_is_closed_and_automatic_top_up_ends(
    browser: Client, alice: User, account: Account, new_purchase: Callable[..., Purchase]
) -> None:
    purchase = new_purchase()
    AutoTopUp.objects.create(
        account=account, enabled=True, below=1, pack="small", currency="usd", monthly_amount=1
    )
    Mail.objects.create(
        account=account, key="sent", template="receipt", recipients=[alice.email], created_at=timezone.now()
    )
    confirm(browser, alice.email)
    purchase.refresh_from_db()
    assert purchase.status == Purchase.Status.CANCELLED
    assert not AutoTopUp.objects.get().enabled
    assert not Mail.objects.filter(recipients__contains=["alice@example.org"]).exists()


@pytest.mark.parametrize("typed", ["", "alice", "bob@example.org"])
def test_another_text_than_the_own_address_deletes_nothing(browser: Client, alice: User, typed: str) -> None:
    response = confirm(browser, typed)
    assert response.status_code == 422 and not gone(alice)


@pytest.mark.fault("Z8")
def test_the_only_owner_of_a_team_has_to_hand_it_over(
    browser: Client, team: Account, alice: User, bob: User
) -> None:
    response = confirm(browser, alice.email)
    assert response.status_code == 422 and "only owner of" in response.content.decode()
    assert not gone(alice)
    Membership.objects.filter(account=team, user=bob).update(role=Membership.Role.OWNER)
    confirm(browser, alice.email)
    assert gone(alice) and not Membership.objects.filter(account=team, user=alice).exists()


def test_staff_do_not_delete_themselves(stripe_api: Any, staff: User) -> None:
    with pytest.raises(erasing.IsStaff):
        erasure.erase(staff, timezone.now(), shown=Decimal(0))


def test_the_deletion_asks_for_the_password_when_the_sign_in_is_old(
    stripe_api: Any, alice: User, signed_in: SignedIn
) -> None:
    response = signed_in(alice).post(PATH, {"email": alice.email})
    assert response.status_code == 302 and "/reauthenticate/" in response.headers["Location"]
    assert not gone(alice)


def test_the_same_address_can_sign_up_again_and_starts_anew(
    browser: Client, alice: User, account: Account
) -> None:
    email = alice.email
    give(account, "50", timezone.now())
    confirm(browser, email)
    again = User.objects.create_user(email)
    assert again.pk != alice.pk
    secret = api_keys.issue(
        kind="account", name="p", scopes=["read"], account=account, created_by=alice, now=timezone.now()
    ).secret
    response = Client().get("/api/v1/balance", headers={"Authorization": f"Bearer {secret}"})
    assert response.status_code == 401
