"""/referral-link and /referrals over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Referral
from billing.promotions import referrals
from tests.billing.conftest import change_policies

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("CORE-07", "RECR-05")]
TERMS = {"inviter_credits": "30.5", "invited_credits": "20", "assumed": True, "reason": "for this test"}


def test_the_link_says_what_an_invitation_gives(api: Any, account: Account) -> None:
    change_policies(referral=TERMS | {"qualifies": "first_charge", "most_invitations": 9})
    code = referrals.code_of(account)
    assert api.get("referral-link").json() == {
        "code": code,
        "url": f"{settings.SITE_URL}/invite/{code}/",
        "inviter_credits": "30.5",
        "invited_credits": "20",
        "qualifies": "first_charge",
        "services": None,
        "most_invitations": 9,
    }


def test_a_product_without_referrals_has_no_link(api: Any) -> None:
    change_policies(referral=None)
    refused = api.get("referral-link")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert api.get("referrals").json() == {"data": [], "has_more": False, "next_cursor": None}


def test_referrals_have_their_state_and_say_nothing_of_the_invited_account(
    api: Any, account: Account, bob: User, account_of: Callable[[User], Account]
) -> None:
    change_policies(referral=TERMS)
    referral = referrals.accept(
        account=account_of(bob), code=api.get("referral-link").json()["code"], now=timezone.now()
    )
    [shown] = api.get("referrals").json()["data"]
    assert shown == {
        "id": referral.public_id,
        "state": "joined",
        "reason": None,
        "created_at": shown["created_at"],
        "rewarded_at": None,
    }
    Referral.objects.update(state="no_reward", reason="The same mailbox.")
    assert api.get("referrals").json()["data"][0]["reason"] == "The same mailbox."
