"""Whole answers of the endpoints of codes, automatic top-up and alerts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing.models import AutoTopUp, BillingProfile, Promotion, Purchase
from billing.promotions import referrals
from tests.billing import stripe_sandbox
from tests.billing.api.conftest import NOON
from tests.billing.conftest import change_policies, smallest_pack

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("REFLY-04")
def test_codes_are_redeemed_once_for_each_key(
    api: Any, account: Account, bob: User, account_of: Callable[[User], Account]
) -> None:
    now = timezone.now()
    dates = {"starts_at": now, "ends_at": now + timedelta(days=1)}
    Promotion.objects.create(code="SUMMER", label="-", gives="credits", credits=Decimal("12.5"), **dates)
    first, again = (api.post("redemptions", {"code": " summer"}, key="k") for _ in range(2))
    expected = {"code": "SUMMER", "kind": "promotion", "credits": "12.5"}
    assert (first.status_code, first.json(), again.json()) == (201, expected, expected)
    other = api.post("redemptions", {"code": "SUMMER"}, key="k2")
    assert (other.status_code, other.json()["code"]) == (409, "code_already_used")
    unknown = api.post("redemptions", {"code": "NOPE"}, key="k3")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_code")
    terms = {"inviter_credits": "30", "invited_credits": "20", "assumed": True, "reason": "for this test"}
    change_policies(referral=terms)
    invitation = referrals.code_of(account_of(bob))
    accepted = api.post("redemptions", {"code": invitation.lower()}, key="k4")
    assert accepted.json() == {"code": invitation, "kind": "invitation", "credits": "0"}


def test_automatic_top_up_is_read_and_changed_field_by_field(
    api: Any, account: Account, alice: User, purchase: Callable[..., Purchase]
) -> None:
    change_policies(auto_top_up={"largest_monthly_packs": 5, "assumed": False, "reason": ""})
    assert api.get("auto-top-up").json()["card"] is None
    stripe_sandbox.save_card(account)
    profile = BillingProfile.objects.get(account=account)
    first = {
        "enabled": True,
        "below": "2.5",
        "pack": smallest_pack(),
        "currency": "usd",
        "monthly_amount": 50_000,
        "monthly_count": 4,
    }
    rest = {
        "spent_this_month": 0,
        "bought_this_month": 0,
        "last_outcome": None,
        "confirmation_needed": False,
        "last_tried_at": None,
        "card": {
            "brand": profile.card_brand,
            "last4": profile.card_last4,
            "expires": profile.card_expires,
        },
    }
    assert api.put("auto-top-up", first).json() == first | rest == api.get("auto-top-up").json()
    AutoTopUp.objects.update(set_by=alice, last_outcome="paid", last_tried_at=datetime.fromisoformat(NOON))
    purchase(origin="auto_top_up", currency="usd", amount=700)
    rest |= {
        "spent_this_month": 700,
        "bought_this_month": 1,
        "last_outcome": "paid",
        "last_tried_at": NOON,
    }
    for change in (
        {"below": "3"},
        {"monthly_amount": 60_000},
        {"monthly_count": 5},
        {"pack": smallest_pack(), "below": "1"},
    ):
        first |= change
        assert api.put("auto-top-up", {"enabled": True} | change).json() == first | rest
    assert api.put("auto-top-up", {"enabled": False}).json() == first | rest | {"enabled": False}
    assert AutoTopUp.objects.get().set_by == alice
    refused = api.put("auto-top-up", {"enabled": True, "monthly_count": 6})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "monthly_count")


def test_alerts_send_e_mails_unless_that_is_switched_off(api: Any) -> None:
    given = {"enabled": True, "below": "50"}
    defaults = {"by_email": True, "extra_addresses": [], "also_below": []}
    assert api.put("alerts", given).json() == given | defaults | {"unconfirmed_addresses": []}
    other = {"enabled": False, "below": "0", "by_email": False, "extra_addresses": ["a@example.org"]}
    shown = other | {"unconfirmed_addresses": ["a@example.org"], "also_below": []}
    assert api.put("alerts", other).json() == shown == api.get("alerts").json()
    assert api.put("alerts", given).json() == given | defaults | {"unconfirmed_addresses": []}, "replaced"
