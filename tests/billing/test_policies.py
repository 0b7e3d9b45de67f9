"""Each policy of a catalogue in two positions, with the effect that the account or its API sees.

A policy without a test here or in `ELSEWHERE` fails the suite.
"""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts import registration
from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import AlertSettings, Grant, Notice, Promotion, Purchase, Referral
from billing.promotions import codes, redemption, referrals
from billing.purchases import checkout, create
from billing.refunds import requests
from pricing.catalogue import policies
from pricing.models import Plan
from sandbox.models import Resource
from tests.billing.conftest import change_policies, smallest_pack
from tests.conftest import person
from tests.some import some
from tests.usage.api.conftest import use
from tests.usage.spending import give, spend

pytestmark = pytest.mark.django_db

ASSUMED = {"assumed": False, "reason": ""}
ELSEWHERE = {
    "plan_dispute": "billing/refunds/test_plan_payments.py",
    "payment_methods": "pricing/catalogue/test_payment_methods.py",
    "payment_methods_in": "pricing/catalogue/test_file.py",
    "providers": "usage/api/test_coverage.py",
    "auto_top_up": "forms/test_money.py",
    "renewal_grace_hours": "billing/subscriptions/test_grace.py",
    "pause": "billing/subscriptions/test_pauses.py",
    "teams": "usage/views/test_members.py",
    "running_holds": "usage/api/test_holds.py",
}


def test_every_policy_is_tested() -> None:
    here = Path(__file__).read_text()
    for name in some(policies.Policies.model_fields):
        if name in ELSEWHERE:
            assert name in (settings.BASE_DIR / "tests" / ELSEWHERE[name]).read_text(), name
        else:
            assert f"{name}=" in here, name


@pytest.mark.parametrize(("days", "window"), [(None, None), (1, 1), (30, 30)])
def test_a_refund_can_be_requested_within_its_window(
    account: Account, days: int | None, window: int | None
) -> None:
    change_policies(refund_window_days=days)
    paid_at = timezone.now()
    purchase = Purchase.objects.create(
        account=account, kind="pack", offer="small", label="Small", credits=500, amount=500, list_amount=500,
        currency="usd", status="paid", stripe_payment_id="pi_1", idempotency_key="1",
        created_at=paid_at, paid_at=paid_at,
    )  # fmt: skip
    give(account, "500", paid_at, purchase_id=purchase.pk)
    if window is None:
        with pytest.raises(requests.RefundRefused, match="cannot be refunded here"):
            requests.refundable(purchase, paid_at)
        return
    end = paid_at + timedelta(days=window)
    allowed = requests.refundable(purchase, end - timedelta(microseconds=1))
    assert (allowed.amount, allowed.credits, allowed.ends_at) == (500, 500, end)
    with pytest.raises(requests.RefundRefused, match=f"within {window} days"):
        requests.refundable(purchase, end)


def referral_terms(**terms: Any) -> dict[str, Any]:
    return {"inviter_credits": "7", "invited_credits": "3", "lasts": "forever", **ASSUMED, **terms}


def rewards(account: Account) -> list[tuple[Decimal, list[str] | None, bool]]:
    """Credits, services and whether they expire, of the account's rewards."""
    found = Grant.objects.filter(account=account, kind="referral")
    return [(grant.credits, grant.services, grant.expires_at is not None) for grant in found]


@pytest.mark.requirement("RECR-05")
@pytest.mark.parametrize("qualifies", ["sign_up", "first_charge", "first_purchase"])
def test_an_invitation_is_rewarded_by_what_qualifies(
    account: Account, bob: User, account_of: Callable[[User], Account], qualifies: str
) -> None:
    change_policies(referral=referral_terms(qualifies=qualifies))
    inviter, now = account_of(bob), timezone.now()
    codes.redeem(account=account, code=referrals.code_of(inviter), now=now)

    def rewarded() -> bool:
        referrals.reward_all_due(now)
        assert bool(rewards(account)) == bool(rewards(inviter))
        return bool(rewards(account))

    assert rewarded() == (qualifies == "sign_up")
    spend(account, "0", now)
    assert rewarded() == (qualifies == "sign_up"), "a use that cost nothing is no charge"
    spend(account, "1", now)
    assert rewarded() == (qualifies in {"sign_up", "first_charge"})
    bought = {"kind": "pack", "offer": "small", "label": "Small", "credits": 1, "currency": "usd"}
    bought |= {"list_amount": 500, "status": "paid", "created_at": now, "paid_at": now}
    gift = Purchase.objects.create(account=account, amount=0, idempotency_key="gift", **bought)
    referrals.mark_qualifying_purchase(gift, now)  # paid by a discount of 100 %
    assert rewarded() == (qualifies in {"sign_up", "first_charge"})
    purchase = Purchase.objects.create(account=account, amount=500, idempotency_key="1", **bought)
    referrals.mark_qualifying_purchase(purchase, now)
    assert rewarded()
    assert rewards(account) == [(3, None, False)]
    assert rewards(inviter) == [(7, None, False)]
    referral = Referral.objects.get()
    assert (referral.state, referral.rewarded_at) == (Referral.State.REWARDED, now)
    assert referral.purchase == (purchase if qualifies == "first_purchase" else None)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({}, (3, None, False)),
        ({"services": ["tag:core"]}, (3, ["tag:core"], False)),
        ({"services": []}, (3, None, False)),
        ({"lasts": "30 days"}, (3, None, True)),
        ({"invited_credits": "0.5"}, (Decimal("0.5"), None, False)),
    ],
    ids=str,
)
def test_a_reward_has_the_terms_of_the_policy(
    account: Account,
    bob: User,
    account_of: Callable[[User], Account],
    terms: dict[str, Any],
    expected: tuple[Any, ...],
) -> None:
    change_policies(referral=referral_terms(qualifies="sign_up", **terms))
    now = timezone.now()
    codes.redeem(account=account, code=referrals.code_of(account_of(bob)), now=now)
    referrals.reward_all_due(now + timedelta(days=2))
    assert rewards(account) == [expected]
    expires_at = Grant.objects.get(account=account, kind="referral").expires_at
    assert expires_at == (now + timedelta(days=32) if terms.get("lasts") else None)


@pytest.mark.parametrize(("most", "accepted"), [(None, 3), (1, 1), (2, 2)])
def test_an_account_can_be_used_for_at_most_so_many_invitations(
    alice: User, bob: User, charlie: User, staff: User, account_of: Any, most: int | None, accepted: int
) -> None:
    change_policies(referral=referral_terms(qualifies="sign_up", most_invitations=most))
    now, code = timezone.now(), referrals.code_of(account_of(staff))
    refused = []
    for user in (alice, bob, charlie):
        try:
            codes.redeem(account=account_of(user), code=code, now=now)
        except redemption.CodeRefused as error:
            refused.append(error.code)
    assert Referral.objects.count() == accepted
    assert refused == ["code_used_up"] * (3 - accepted)


def test_a_product_without_referrals_has_no_invitations(
    account: Account, alice: User, bob: User, account_of: Callable[[User], Account], signed_in: Any
) -> None:
    change_policies(referral=referral_terms(qualifies="sign_up"))
    code = referrals.code_of(account_of(bob))
    browser = signed_in(alice)
    page = browser.get("/billing/invitations/")
    assert page.context["link"].endswith(f"/invite/{referrals.code_of(account)}/")
    assert ">7<" in page.content.decode() or "7 credits" in page.content.decode()
    change_policies(referral=None)
    page = browser.get("/billing/invitations/")
    assert (page.context["code"], page.context["link"]) == ("", "")
    with pytest.raises(redemption.CodeRefused) as refused:
        codes.redeem(account=account, code=code, now=timezone.now())
    assert refused.value.code == "unknown_code"


def test_an_invitation_is_for_accounts_of_at_most_fourteen_days(
    account: Account, bob: User, account_of: Callable[[User], Account]
) -> None:
    change_policies(referral=referral_terms(qualifies="sign_up"))
    code, last = referrals.code_of(account_of(bob)), account.created_at + timedelta(days=14)
    with pytest.raises(redemption.CodeRefused) as refused:
        codes.redeem(account=account, code=code, now=last + timedelta(microseconds=1))
    assert refused.value.code == "not_new"
    codes.redeem(account=account, code=code, now=last)
    assert Referral.objects.get().invited == account


def test_a_promotion_of_the_catalogue_is_redeemed_with_its_terms(
    account: Account, bob: User, charlie: User, account_of: Callable[[User], Account]
) -> None:
    start = timezone.now()
    end = start + timedelta(days=10)
    promotion = {
        "code": "SPRING", "label": "Spring gift", "credits": "12.5", "services": ["tag:core"],
        "starts_at": start.isoformat(), "ends_at": end.isoformat(), "most_redemptions": 2, "lasts": "2 days",
    }  # fmt: skip
    change_policies(promotions=[promotion | ASSUMED])

    def refusal(account: Account, now: Any) -> str:
        with pytest.raises(redemption.CodeRefused) as refused:
            codes.redeem(account=account, code="spring", now=now)
        return refused.value.code

    tick = timedelta(microseconds=1)
    assert refusal(account, start - tick) == "code_not_yet"
    assert refusal(account, end) == "code_expired"
    given = codes.redeem(account=account, code=" spring ", now=start)
    assert (given.code, given.kind, given.credits) == ("SPRING", "promotion", Decimal("12.5"))
    assert refusal(account, start) == "code_already_used"
    codes.redeem(account=account_of(bob), code="SPRING", now=end - tick)
    assert refusal(account_of(charlie), start) == "code_used_up"
    grant = Grant.objects.get(account=account, kind="promotion")
    assert (grant.label, grant.credits, grant.services) == ("Spring gift", Decimal("12.5"), ["tag:core"])
    assert grant.expires_at == start + timedelta(days=2)
    stored = Promotion.objects.get(code="SPRING")
    assert (stored.redeemed, stored.total_limit, stored.from_catalogue) == (2, 2, True)


@pytest.mark.requirement("FLICK-03")
@pytest.mark.parametrize(("once", "at_opening"), [(True, False), (False, True)])
def test_the_free_quota_waits_for_a_verified_address_only_where_it_is_given_once(
    db: None, once: bool, at_opening: bool
) -> None:
    call_command("load_catalogue", "codeflicker", verbosity=0)
    change_policies(free_plan_once_per_address=once)

    def opened(name: str) -> Account:
        return Account.objects.get(person=person(name))

    def credits_of(account: Account) -> bool:
        return bool(ledger.balance(account.pk, timezone.now()).available)

    dora = opened("dora")
    assert credits_of(dora) == at_opening
    before = ledger.balance(dora.pk, timezone.now()).available
    assert dora.person is not None
    registration.confirm_address(dora.person, dora.person.email, timezone.now())
    assert credits_of(dora)
    if at_opening:
        assert ledger.balance(dora.pk, timezone.now()).available == before
    twin = opened("dora+again")
    assert twin.person is not None
    registration.confirm_address(twin.person, twin.person.email, timezone.now())
    assert credits_of(twin) == (not once)


@pytest.mark.parametrize(
    ("policy", "refusal", "count"),
    [
        (None, "not_offered", 1),
        ({"largest_monthly_packs": 1, **ASSUMED}, "out_of_range", 1),
        ({"largest_monthly_packs": 2, **ASSUMED}, None, 2),
        ({"largest_monthly_packs": 20, **ASSUMED}, None, 3),
    ],
    ids=["none", "1", "2", "20"],
)
def test_automatic_top_up_is_offered_up_to_the_policys_number(
    stripe_api: Any,
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    api_of: Any,
    policy: dict[str, Any] | None,
    refusal: str | None,
    count: int,
) -> None:
    from tests.billing import stripe_sandbox

    change_policies(auto_top_up=policy)
    stripe_sandbox.save_card(account)
    form = signed_in(alice).get("/billing/auto-top-up/").context["form"]
    assert form["monthly_count"].value() == count
    body = {"enabled": True, "below": "5", "pack": smallest_pack(), "currency": "usd"}
    body |= {"monthly_amount": 5000, "monthly_count": 2}
    answer = api_of(alice).put("auto-top-up", body)
    assert answer.json().get("code") == refusal or refusal in answer.content.decode()
    assert answer.status_code == (200 if refusal is None else 400)


@pytest.mark.parametrize(
    ("behavior", "code", "collect"), [("inclusive", "", True), ("exclusive", "txcd_10103001", False)]
)
def test_the_payment_page_collects_tax_ids_and_names_the_tax_code_as_configured(
    new_purchase: Callable[..., Purchase], stripe_api: Any, collect: bool, code: str, behavior: str
) -> None:
    change_policies(auto_top_up=None, tax={"behavior": behavior, "code": code, "collect_tax_ids": collect})
    purchase = new_purchase()
    session = stripe_gateway.to_plain(stripe_api.checkout.sessions.retrieve(purchase.stripe_session_id))
    assert session["automatic_tax"]["enabled"] is True
    assert bool((session.get("tax_id_collection") or {}).get("enabled")) == collect
    price, product = (Resource.objects.get(kind=kind).body for kind in ("price", "product"))
    assert price["tax_behavior"] == behavior == purchase.tax_behavior
    assert (product["tax_code"] or "") == code


def test_an_order_made_with_tax_is_paid_with_it_after_the_catalogue_has_none(
    account: Account, alice: User, stripe_api: Any
) -> None:
    change_policies(auto_top_up=None, tax={"behavior": "exclusive", "code": "", "collect_tax_ids": True})
    order: dict[str, Any] = {"account": account, "buyer": alice, "origin": "page", "currency": "usd"}
    purchase = create.pack_purchase(
        pack_key=smallest_pack(), quantity=1, key="order", now=timezone.now(), **order
    )
    change_policies(tax=None)
    checkout.open_page(purchase, timezone.now())
    session = stripe_gateway.to_plain(stripe_api.checkout.sessions.retrieve(purchase.stripe_session_id))
    assert session["automatic_tax"]["enabled"] is True
    assert not (session.get("tax_id_collection") or {}).get("enabled")


def test_without_stripe_tax_nothing_about_tax_is_asked(
    new_purchase: Callable[..., Purchase], stripe_api: Any
) -> None:
    change_policies(tax=None)
    purchase = new_purchase()
    session = stripe_gateway.to_plain(stripe_api.checkout.sessions.retrieve(purchase.stripe_session_id))
    assert not (session.get("automatic_tax") or {}).get("enabled")
    assert not (session.get("tax_id_collection") or {}).get("enabled")
    assert purchase.tax_behavior == ""


@pytest.mark.parametrize(("threshold", "enabled"), [("0", False), ("25", True)])
def test_a_new_account_has_the_catalogues_alert(catalogue: None, threshold: str, enabled: bool) -> None:
    change_policies(low_credits_below=threshold)
    account = Account.objects.get(person=person("dora"))
    saved = AlertSettings.objects.get(pk=account.pk)
    assert (saved.enabled, saved.below, saved.by_email) == (enabled, Decimal(threshold), True)
    now = timezone.now()
    spend(account, "75", now)
    assert not Notice.objects.filter(account=account).exists()  # 25 are left: not below
    spend(account, "0.000001", now)
    assert Notice.objects.filter(account=account, kind=Notice.Kind.LOW).exists() == enabled


@pytest.mark.parametrize(("listed", "status"), [(True, 200), (False, 404)])
def test_the_memorial_wall_exists_where_the_catalogue_has_one(
    alice: User, account: Account, signed_in: Callable[[User], Client], listed: bool, status: int
) -> None:
    from billing.models import Subscription
    from billing.subscriptions import plan_terms

    change_policies(memorial_wall=listed)
    Subscription.objects.filter(account=account).update(plan=Plan.objects.exclude(badge="")[0].key)
    plan_terms.forget(account.pk)
    browser = signed_in(alice)
    assert Client().get("/wall/").status_code == status
    assert browser.post("/wall/listing/", {"on": "yes"}).status_code == (302 if listed else 404)
    assert Account.objects.get(pk=account.pk).on_wall == listed
    assert ('href="/wall/"' in browser.get("/faq/").content.decode()) == listed
    assert browser.post("/wall/listing/", {"on": "no"}).status_code == 302
    assert not Account.objects.get(pk=account.pk).on_wall


@pytest.mark.parametrize(("output", "credits"), [(500, "1.1022"), (2500, "5.5022")])
def test_an_estimate_of_a_text_expects_the_catalogues_answer(
    alice: User, api_of: Any, output: int, credits: str
) -> None:
    change_policies(expected_output_tokens=output)
    answer = api_of(alice).post("estimates", {"service": "claude-sonnet-4", "text": "abcd"}).json()
    assert (answer["credits"], answer["approximate"]) == (credits, True)


@pytest.mark.parametrize("seconds", [5, 8])
def test_an_estimate_of_a_clip_expects_the_catalogues_length(alice: User, api_of: Any, seconds: int) -> None:
    change_policies(expected_seconds=seconds)
    answer = api_of(alice).post("estimates", {"service": "veo-3", "text": "A fox"}).json()
    [line] = answer["lines"]
    assert (line["meter"], Decimal(line["quantity"])) == ("seconds", seconds)
    charged = api_of(alice).post("estimates", {"service": "veo-3", "usage": {"seconds": seconds}}).json()
    assert answer["credits"] == charged["credits"]


@pytest.mark.parametrize("minutes", [1, 15, 60])
def test_an_estimate_is_kept_for_the_catalogues_minutes(
    clock: Any, alice: User, api_of: Any, minutes: int
) -> None:
    change_policies(estimate_minutes=minutes)
    api = api_of(alice)
    estimate = api.post("estimates", use()).json()
    assert estimate["valid_until"] == (timezone.now() + timedelta(minutes=minutes)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    clock.shift(timedelta(minutes=minutes) - timedelta(seconds=1))
    assert api.post("charges", use(estimate=estimate["id"]), key="in-time").status_code == 201
    clock.shift(1)
    late = api.post("charges", use(estimate=estimate["id"]), key="late")
    assert (late.status_code, late.json()["errors"][0]["field"]) == (400, "estimate")
