"""The page on which staff try a promotion, and the grants that a charge would use."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Max
from django.test import Client
from django.utils import timezone

from accounts import staff_roles
from accounts.models import Account, User
from billing import ledger
from billing.models import Charge, Entry, Promotion, Redemption, Subscription, Wallet
from billing.promotions import codes
from tests.billing.conftest import stripe_api as stripe_api
from tests.conftest import person
from tests.usage.spending import give, spend

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(alice, account_of) -> Account:
    return account_of(alice)


def promotion(**changes: Any) -> Promotion:
    now = timezone.now()
    fields: dict[str, Any] = {"code": "SPRING", "label": "Spring", "gives": "credits", "credits": 50}
    fields |= {"starts_at": now + timedelta(days=3), "ends_at": now + timedelta(days=9), "lasts": "30 days"}
    return Promotion.objects.create(**fields | changes)


def tried(browser: Client, made: Promotion, **query: Any) -> Any:
    return browser.get(f"/admin/billing/promotion/{made.pk}/trial/", {"try": "1"} | query)


def text(response: Any) -> str:
    words = re.sub(
        r"<style.*?</style>|<script.*?</script>|<[^>]+>", " ", response.content.decode(), flags=re.S
    )
    return " ".join(words.split())


def state() -> list[Any]:
    """Everything that a redemption or a charge would change."""
    return [
        list(Wallet.objects.order_by("pk").values()),
        list(Promotion.objects.filter(from_catalogue=False).order_by("pk").values()),
        Entry.objects.aggregate(Max("pk")),
        *(model.objects.count() for model in (Redemption, Account, Subscription, Entry, Charge)),
    ]


def test_a_promotion_is_tried_before_it_starts_and_nothing_remains(account, alice, staff, signed_in):
    made, browser = promotion(), signed_in(staff)
    was, before = ledger.balance(account.pk, timezone.now()).total, state()
    page = tried(browser, made, customer=alice.email)
    assert page.context["facts"][0] == ("Credits", "50")
    assert dict(page.context["facts"])["Balance afterwards"] == f"{was + 50:f}".rstrip("0").rstrip(".")
    assert page.context["at"] == made.starts_at
    assert "Expires" in dict(page.context["facts"])
    assert "Refused" not in text(page)
    new = tried(browser, made)
    assert new.context["who"] == "A new customer"
    assert new.context["facts"][0] == ("Credits", "50")
    early = {"at_0": f"{made.starts_at - timedelta(days=1):%Y-%m-%d}", "at_1": "12:00:00"}
    assert tried(browser, made, customer=account.public_id, **early).context["code"] == "code_not_yet"
    late = {"at_0": f"{made.ends_at + timedelta(days=1):%Y-%m-%d}", "at_1": "12:00:00"}
    assert tried(browser, made, customer=account.public_id, **late).context["code"] == "code_expired"
    assert state() == before


def test_the_answer_is_that_of_the_redemption(account, bob, account_of, staff, signed_in):
    made = promotion(starts_at=timezone.now() - timedelta(days=1), total_limit=1, services=["gpt-4o"])
    browser = signed_in(staff)
    assert dict(tried(browser, made).context["facts"])["Services"] == "gpt-4o"
    codes.redeem(account=account, code="SPRING", now=timezone.now())
    assert tried(browser, made, customer=account.public_id).context["code"] == "code_used_up"
    Promotion.objects.filter(pk=made.pk).update(total_limit=5)
    assert tried(browser, made, customer=account.public_id).context["code"] == "code_already_used"
    Promotion.objects.filter(pk=made.pk).update(plans=["studio"])
    assert tried(browser, made, customer=account_of(bob).public_id).context["code"] == "code_not_for_plan"


def test_a_discount_is_tried_with_what_is_bought(account, staff, signed_in, stripe_api):
    made, browser = promotion(gives="discount", credits=0, percent_off=25, packs=["small"]), signed_in(staff)
    order = {"customer": account.public_id, "pack": "small", "quantity": "2", "currency": "usd"}
    before = state()
    facts = dict(tried(browser, made, **order).context["facts"])
    assert set(facts) == {"Price", "Discount", "To pay"}
    paid, price, less = (Decimal(facts[name].strip("$")) for name in ("To pay", "Price", "Discount"))
    assert (paid, less) == (price - less, price / 4)
    assert tried(browser, made, **order | {"pack": "large"}).context["code"] == "code_not_for_pack"
    for field, given in {"pack": "none", "quantity": "0", "currency": "xxx"}.items():
        page = tried(browser, made, **order | {field: given})
        assert field in page.context["form"].errors
        assert "facts" not in page.context
    assert state() == before


def test_staff_choose_a_customer_only_where_they_may_see_one(
    account, alice, charlie, account_of, staff, signed_in
):
    made = promotion()
    manager = person("carl")
    staff_roles.assign(manager, staff_roles.Role.CATALOGUE_MANAGER, by=staff)
    page = tried(signed_in(User.objects.get(pk=manager.pk)), made, customer=alice.email)
    assert page.context["who"] == "A new customer"
    browser = signed_in(staff)
    Account.objects.filter(pk__in=[account.pk, account_of(charlie).pk]).update(name="Twin")
    for term, words in {
        "nobody@example.net": "No customer was found",
        "Twin": "Several customers",
        "x\0": "Null characters",
    }.items():
        assert words in str(tried(browser, made, customer=term).context["form"].errors["customer"])
    past = {"at_0": "2001-01-01", "at_1": "00:00:00"}
    assert "in the past" in str(tried(browser, made, **past).context["form"].errors["at"])
    Account.objects.filter(pk=account.pk).update(erased_at=timezone.now())
    erased = tried(browser, made, customer=account.public_id)
    assert "was erased" in str(erased.context["form"].errors["customer"])
    path = f"/admin/billing/promotion/{made.pk}/trial/"
    assert signed_in(alice).get(path).status_code == 302
    assert browser.get("/admin/billing/promotion/999999/trial/").status_code == 404
    assert "who" not in browser.get(path).context


def test_the_page_of_a_customer_shows_which_grants_a_charge_would_use(account, staff, signed_in):
    now, browser = timezone.now(), signed_in(staff)
    Wallet.objects.filter(account=account).update(moved_at=None)
    give(account, "10", now, label="Soon", expires_at=now + timedelta(days=2))
    give(account, "10", now, label="For others", services=["gpt-4o"], priority=1)
    give(account, "10", now, label="Never")
    before, path = state(), f"/admin/accounts/account/{account.pk}/customer/"
    query = {"service": "claude-sonnet-4", "credits": "12"}
    in_force = [grant.label for grant in ledger.balance(account.pk, now).grants]
    page = browser.get(path, query)
    drawn = [(label, amount) for _number, label, _kind, amount, _left in page.context["burn_draws"]]
    assert "For others" in in_force
    assert [label for label, _amount in drawn] == [label for label in in_force if label != "For others"][
        : len(drawn)
    ]
    assert sum(Decimal(amount) for _label, amount in drawn) == 12
    assert state() == before
    real = spend(account, "12", now, service="claude-sonnet-4")
    assert [f"{one.credits:f}".rstrip("0").rstrip(".") for one in real.drawn] == [
        amount for _l, amount in drawn
    ]
    refused = browser.get(path, query | {"credits": "100000"})
    assert "This costs 100000 credits" in text(refused)
    assert refused.context["burn_draws"] == []
    for wrong in ({"credits": "-1"}, {"credits": "1e5"}, {"credits": "0"}, {"service": "none"}):
        page = browser.get(path, query | wrong)
        assert page.context["burn_form"].errors.keys() == wrong.keys()
        assert "burn_draws" not in page.context
