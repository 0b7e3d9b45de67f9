"""Promotion codes and invitation codes."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.ledger.models import Wallet
from billing.models import Promotion, Purchase, Redemption, Referral
from billing.payments import fulfilment
from billing.promotions import codes, redemption, referrals
from billing.purchases import checkout
from billing.refunds import stripe_refunds
from core.amounts import LARGEST_BALANCE
from sandbox.objects import amounts
from tests.billing.conftest import change_policies

pytestmark = pytest.mark.django_db


@pytest.fixture
def promotion(catalogue: None) -> Callable[..., Promotion]:
    def make(**changes: Any) -> Promotion:
        now = timezone.now()
        fields: dict[str, Any] = {"code": "SUMMER", "label": "Summer", "gives": "credits", "credits": 50}
        fields |= {"starts_at": now - timedelta(days=1), "ends_at": now + timedelta(days=1)}
        return Promotion.objects.create(**fields | changes)

    return make


@pytest.fixture
def referral_policy(catalogue: None) -> None:
    change_policies(
        referral={
            "inviter_credits": "30",
            "invited_credits": "20",
            "qualifies": "first_purchase",
            "assumed": True,
            "reason": "for this test",
        }
    )


def available(account: Account) -> Decimal:
    """Credits available for every service."""
    return ledger.balance(account.pk, timezone.now()).available


def total(account: Account) -> Decimal:
    return ledger.balance(account.pk, timezone.now()).total


@pytest.mark.requirement("REFLY-04")
def test_a_code_grants_its_credits_once_to_each_account(
    promotion: Callable[..., Promotion], account: Account, bob: User, account_of: Callable[[User], Account]
) -> None:
    promotion()
    before = total(account)

    assert codes.redeem(account=account, code=" summer ", now=timezone.now()).credits == 50
    with pytest.raises(redemption.CodeRefused) as refusal:
        codes.redeem(account=account, code="SUMMER", now=timezone.now())
    codes.redeem(account=account_of(bob), code="SUMMER", now=timezone.now())

    assert refusal.value.code == "code_already_used"
    assert total(account) == before + 50
    assert Promotion.objects.get(code="SUMMER").redeemed == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"starts_at": "later"}, "code_not_yet"),
        ({"ends_at": "before"}, "code_expired"),
        ({"total_limit": 0}, "code_used_up"),
        ({"plans": ["studio"]}, "code_not_for_plan"),
        ({"gives": "discount", "percent_off": 10}, "code_is_discount"),
    ],
)
def test_a_code_is_refused_with_its_reason(
    promotion: Callable[..., Promotion], account: Account, changes: dict[str, Any], code: str
) -> None:
    times = {"later": timezone.now() + timedelta(hours=1), "before": timezone.now() - timedelta(hours=1)}
    promotion(**{name: times.get(str(value), value) for name, value in changes.items()})

    with pytest.raises(redemption.CodeRefused) as refusal:
        codes.redeem(account=account, code="SUMMER", now=timezone.now())
    assert refusal.value.code == code


@pytest.mark.parametrize("code", ["NOPE", "", "\x00", "ＳＵＭＭＥＲ", "x" * 500])
def test_an_unknown_code_is_refused(promotion: Callable[..., Promotion], account: Account, code: str) -> None:
    promotion()
    with pytest.raises(redemption.CodeRefused):
        codes.redeem(account=account, code=code, now=timezone.now())


def test_a_discount_lowers_the_amount_and_is_released_when_the_purchase_is_cancelled(
    promotion: Callable[..., Promotion], new_purchase: Callable[..., Purchase]
) -> None:
    promotion(code="TENTH", gives="discount", credits=0, percent_off=10, total_limit=1)

    purchase = new_purchase(code="tenth")

    assert purchase.amount == purchase.list_amount - purchase.list_amount * 10 // 100
    with pytest.raises(redemption.CodeRefused):
        new_purchase(code="TENTH", key="other")
    checkout.cancel(purchase, timezone.now())
    assert new_purchase(code="TENTH", key="third").promotion_code == "TENTH"


def test_a_whole_discount_needs_no_payment(
    promotion: Callable[..., Promotion], new_purchase: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    before = balance()
    promotion(code="GIFT", gives="discount", credits=0, percent_off=100)

    purchase = new_purchase(code="GIFT")

    purchase.refresh_from_db()
    assert (purchase.status, purchase.amount) == (Purchase.Status.PAID, 0)
    assert balance() == before + purchase.credits


def test_a_discount_below_stripes_minimum_is_refused_and_not_used_up(
    promotion: Callable[..., Promotion], new_purchase: Callable[..., Purchase]
) -> None:
    promotion(code="ALMOST", gives="discount", credits=0, percent_off=99, total_limit=1)

    with pytest.raises(redemption.CodeRefused) as refusal:
        new_purchase(code="ALMOST")

    assert refusal.value.code == "code_below_minimum"
    assert "ALMOST" in str(refusal.value) and "is $0.50" in str(refusal.value)
    assert Promotion.objects.get(code="ALMOST").redeemed == 0 == Redemption.objects.count()


def test_a_refused_payment_page_does_not_use_up_the_code(
    promotion: Callable[..., Promotion],
    new_purchase: Callable[..., Purchase],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A discounted price in a currency that Stripe converts can be too small there."""
    promotion(code="HALF", gives="discount", credits=0, percent_off=50, total_limit=1)
    monkeypatch.setitem(amounts.MINIMUM, "usd", 10**6)
    with pytest.raises(stripe_gateway.InvalidRequest):
        new_purchase(code="HALF")
    assert Purchase.objects.get().status == Purchase.Status.FAILED
    assert Promotion.objects.get(code="HALF").redeemed == 0

    monkeypatch.setitem(amounts.MINIMUM, "usd", 50)
    assert new_purchase(code="HALF", key="again").promotion_code == "HALF"


def test_a_late_payment_after_a_failure_counts_the_code_again_once(
    promotion: Callable[..., Promotion], new_purchase: Callable[..., Purchase], account: Account
) -> None:
    promotion(code="HALF", gives="discount", credits=0, percent_off=50, total_limit=1)
    now = timezone.now()
    failed = new_purchase(code="HALF")
    fulfilment.mark_failed(failed.pk, reason="declined", now=now)
    fulfilment.mark_failed(failed.pk, reason="declined", now=now)
    other = new_purchase(code="HALF", key="other")  # the released code is used by another purchase
    assert Promotion.objects.get(code="HALF").redeemed == 1

    payment = fulfilment.Payment(amount=failed.amount, currency="usd", payment_id="pi_late")
    for _again in range(2):
        assert fulfilment.record_payment(failed.pk, payment, now).status == Purchase.Status.PAID
    assert Promotion.objects.get(code="HALF").redeemed == 2

    fulfilment.mark_failed(failed.pk, reason="late event", now=now)
    fulfilment.mark_cancelled(other.pk, now)
    assert Promotion.objects.get(code="HALF").redeemed == 1
    with pytest.raises(redemption.CodeRefused):
        new_purchase(code="HALF", key="third")


@pytest.mark.requirement("RECR-05")
def test_both_sides_are_rewarded_once_after_the_first_purchase_until_it_is_refunded(
    referral_policy: None,
    stripe_api: Any,
    paid_purchase: Callable[..., Purchase],
    account: Account,
    bob: User,
    account_of: Callable[[User], Account],
    django_capture_on_commit_callbacks: Any,
) -> None:
    inviter = account_of(bob)
    code = referrals.code_of(inviter)
    codes.redeem(account=account, code=code, now=timezone.now())
    before = total(account), total(inviter)
    referrals.reward_all_due(timezone.now())
    assert (total(account), total(inviter)) == before  # the invited account has not qualified yet

    with django_capture_on_commit_callbacks(execute=True):
        purchase = paid_purchase()
    referrals.reward_all_due(timezone.now())

    assert total(account) == before[0] + purchase.credits + 20
    assert total(inviter) == before[1] + 30
    assert Referral.objects.get().state == Referral.State.REWARDED
    facts = {"id": "re_1", "payment_intent": purchase.stripe_payment_id, "amount": purchase.amount}
    with django_capture_on_commit_callbacks(execute=True):
        stripe_refunds.apply_stripe_refund(facts | {"status": "succeeded", "metadata": {}}, timezone.now())
    assert (total(account), total(inviter)) == before
    assert Referral.objects.get().state == Referral.State.TAKEN_BACK


def test_an_invitation_is_refused_from_oneself_twice_or_late(
    referral_policy: None, account: Account, bob: User, charlie: User, account_of: Callable[[User], Account]
) -> None:
    def refusal(code: str, when: Any = None) -> str:
        with pytest.raises(redemption.CodeRefused) as refused:
            codes.redeem(account=account, code=code, now=when or timezone.now())
        return refused.value.code

    assert refusal(referrals.code_of(account)) == "own_invitation"
    assert refusal(referrals.code_of(account_of(bob)), timezone.now() + timedelta(days=15)) == "not_new"
    accepted = codes.redeem(account=account, code=referrals.code_of(account_of(bob)), now=timezone.now())
    assert (accepted.kind, accepted.credits) == ("invitation", 0)
    assert refusal(referrals.code_of(account_of(charlie))) == "already_invited"


def test_another_spelling_of_the_same_mailbox_is_the_own_invitation(
    referral_policy: None, account: Account
) -> None:
    from tests.conftest import person

    twin = User.objects.get(pk=person("alice+twin").pk)
    with pytest.raises(redemption.CodeRefused) as refused:
        codes.redeem(
            account=Account.objects.get(person=twin), code=referrals.code_of(account), now=timezone.now()
        )
    assert refused.value.code == "own_invitation"


EMPTY: dict[str, Any] = {"services": [], "plans": [], "packs": []}


def test_a_promotion_saved_in_the_admin_with_empty_lists_is_for_every_plan_and_service(
    account: Account, staff: User, signed_in: Callable[[User], Client]
) -> None:
    form = {"code": "summer", "label": "Summer", "gives": "credits", "credits": "50", "percent_off": "0"}
    form |= {
        "lasts": "forever",
        "per_account": "1",
        "total_limit": "",
        "services": "",
        "packs": "",
        "plans": "",
    }
    form |= {"starts_at_0": "2020-01-01", "starts_at_1": "00:00:00"}
    form |= {"ends_at_0": "2099-01-01", "ends_at_1": "00:00:00"}
    response = signed_in(staff).post("/admin/billing/promotion/add/", form)
    assert response.status_code == 302, response.content.decode()
    saved = Promotion.objects.get(code="SUMMER")
    assert (saved.services, saved.plans, saved.packs) == (None, None, None)
    before = available(account)

    codes.redeem(account=account, code="SUMMER", now=timezone.now())

    assert available(account) == before + 50


def test_a_promotion_saved_earlier_with_empty_lists_is_for_every_plan_and_service(
    promotion: Callable[..., Promotion], account: Account
) -> None:
    promotion()
    Promotion.objects.update(**EMPTY)
    before = available(account)

    codes.redeem(account=account, code="SUMMER", now=timezone.now())

    assert available(account) == before + 50


def test_a_discount_saved_earlier_with_empty_lists_is_for_every_pack(
    promotion: Callable[..., Promotion], new_purchase: Callable[..., Purchase]
) -> None:
    promotion(gives="discount", credits=0, percent_off=10)
    Promotion.objects.update(**EMPTY)

    purchase = new_purchase(code="SUMMER")

    assert purchase.amount < purchase.list_amount


def test_the_page_redeems_a_code_and_shows_the_refusal(
    promotion: Callable[..., Promotion], alice: User, signed_in: Callable[[User], Client]
) -> None:
    promotion()
    browser = signed_in(alice)

    session = browser.session
    session["invitation"] = "INV-FOLLOWED"
    session.save()
    assert (
        "50 credits added"
        in browser.post("/billing/redeem/", {"code": "summer"}, follow=True).content.decode()
    )
    assert "invitation" not in browser.session, "the code that was followed is not offered again"
    again = browser.post("/billing/redeem/", {"code": "summer"})
    assert (again.status_code, "already used" in again.content.decode()) == (422, True)
    assert Redemption.objects.count() == 1


def test_the_invitation_link_stores_the_code_and_leads_to_sign_up(
    referral_policy: None, account: Account
) -> None:
    browser = Client()
    response = browser.get(f"/invite/{referrals.code_of(account)}/")
    assert response.status_code == 200 and 'href="/accounts/signup/"' in response.content.decode()
    assert browser.session["invitation"] == referrals.code_of(account)


@pytest.mark.fault("L19")
def test_a_code_is_refused_and_not_used_up_at_the_largest_balance(
    alice: User, account_of: Callable[[User], Account], promotion: Callable[..., Promotion]
) -> None:
    account = account_of(alice)
    promotion()
    Wallet.objects.filter(account_id=account.pk).update(balance=LARGEST_BALANCE)
    with pytest.raises(redemption.CodeRefused) as refusal:
        codes.redeem(account=account, code="SUMMER", now=timezone.now())
    assert refusal.value.code == "balance_too_large"
    assert not Redemption.objects.exists()
