"""The memorial wall: who is listed, and who may be."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, User
from billing.models import Subscription
from billing.subscriptions import plan_terms
from pricing.models import Plan
from usage import memorial_wall

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


def put_on(account: Account, plan: str) -> None:
    Subscription.objects.filter(account=account).update(plan=plan)
    plan_terms.forget(account.pk)


@pytest.fixture
def early_bird(alice: User, account_of: AccountOf) -> Account:
    account = account_of(alice)
    put_on(account, Plan.objects.exclude(badge="").values_list("key", flat=True)[0])
    return account


def names_on_wall() -> str:
    answer = Client().get("/wall/")  # public
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.requirement("REFLY-11")
def test_an_early_bird_is_listed_after_opting_in(
    alice: User, early_bird: Account, signed_in: SignedIn
) -> None:
    client = signed_in(alice)
    settings = client.get("/settings/").content.decode()
    assert "Add my name" in settings
    assert "Early bird" in settings  # the badge in the header
    assert early_bird.name not in names_on_wall()
    client.post("/wall/listing/", {"on": "yes"})
    assert early_bird.name in names_on_wall()
    assert "alice@example.org" not in names_on_wall()
    assert "Remove my name" in client.get("/settings/").content.decode()
    client.post("/wall/listing/", {"on": "no"})
    assert early_bird.name not in names_on_wall()


@pytest.mark.requirement("REFLY-11")
def test_an_account_that_leaves_the_plan_is_no_longer_listed(early_bird: Account) -> None:
    memorial_wall.set_listed(early_bird, listed=True)
    put_on(early_bird, "free")
    assert early_bird.name not in names_on_wall()


@pytest.mark.requirement("REFLY-11")
def test_an_account_without_the_badge_cannot_be_listed(
    charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    client = signed_in(charlie)
    assert "wall/listing" not in client.get("/settings/").content.decode()
    assert client.post("/wall/listing/", {"on": "yes"}).status_code == 404
    assert not account_of(charlie).on_wall


def test_a_product_without_a_memorial_wall_has_no_page(
    monkeypatch: pytest.MonkeyPatch, catalogue: None
) -> None:
    monkeypatch.setattr(memorial_wall, "exists", lambda: False)
    assert Client().get("/wall/").status_code == 404
    page: Any = Client().get("/faq/").content.decode()
    assert "/wall/" not in page


def test_an_erased_account_is_not_listed(early_bird: Account, settings: Any) -> None:
    memorial_wall.set_listed(early_bird, listed=True)
    Account.objects.filter(pk=early_bird.pk).update(erased_at="2026-11-20T00:00:00Z")
    assert early_bird.name not in names_on_wall()


def test_members_are_listed_with_their_badge_and_date_earliest_first(
    alice: User, bob: User, charlie: User, account_of: AccountOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    badge = Plan.objects.get(key="early-bird").badge
    joined = {}
    for days, user in enumerate((charlie, alice, bob)):
        account = account_of(user)
        put_on(account, "early-bird")
        joined[account.name] = datetime(2026, 1, 1 + days, tzinfo=UTC)
        Subscription.objects.filter(account=account).update(created_at=joined[account.name])
    for user in (alice, charlie):
        memorial_wall.set_listed(account_of(user), listed=True)
    expected = [
        memorial_wall.Member(name=name, badge=badge, since=joined[name]) for name in ("Charlie", "Alice")
    ]
    assert memorial_wall.members() == expected
    monkeypatch.setattr(memorial_wall, "MAX_NAMES", 1)
    assert memorial_wall.members() == expected[:1]


def test_a_name_can_be_removed_without_the_badge_and_not_added_without_a_wall(
    early_bird: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    memorial_wall.set_listed(early_bird, listed=True)
    put_on(early_bird, "free-trial")
    memorial_wall.set_listed(early_bird, listed=False)
    early_bird.refresh_from_db()
    assert early_bird.on_wall is False
    put_on(early_bird, "early-bird")
    monkeypatch.setattr(memorial_wall, "exists", lambda: False)
    with pytest.raises(memorial_wall.NotEligible):
        memorial_wall.set_listed(early_bird, listed=True)
