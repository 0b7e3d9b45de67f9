"""The sum of an order as its form shows it, and the purchase that the form then makes."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Promotion, Purchase
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Pack, Sale
from tests.billing.conftest import smallest_pack

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(stripe_api: Any, alice: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(alice)


@pytest.fixture
def pack(catalogue: None) -> Pack:
    """The smallest pack: 10.00 USD, 8.01 in a sale, and a code for 25 % less."""
    now = timezone.now()
    Pack.objects.filter(key=smallest_pack()).update(prices={"usd": 1000}, credits=500)
    pack = Pack.objects.get(key=smallest_pack())
    valid = {"starts_at": now - timedelta(days=1), "ends_at": now + timedelta(days=1)}
    Sale.objects.create(key="sale", pack=pack, label="Sale", prices={"usd": 801}, **valid)
    Promotion.objects.create(code="SUMMER", label="Summer", gives="discount", percent_off=25, **valid)
    catalogue_cache.changed()
    return pack


@pytest.mark.requirement("FLOW-05")
@pytest.mark.parametrize(
    ("quantity", "code", "credits", "list_amount", "discount", "total"),
    [
        (1, "", 500, 1000, 0, 801),
        (3, "", 1500, 3000, 0, 2403),
        (1, "SUMMER", 500, 1000, 200, 601),
        (3, " summer ", 1500, 3000, 600, 1803),  # 600.75, rounded down
    ],
)
def test_the_sum_is_that_of_the_purchase_which_the_form_makes(
    browser: Client,
    pack: Pack,
    quantity: int,
    code: str,
    credits: int,
    list_amount: int,
    discount: int,
    total: int,
) -> None:
    order = {"quantity": quantity, "code": code, "currency": "USD"}
    shown = browser.get(f"/billing/buy/{pack.key}/sum", order).context
    assert (shown["quantity"], shown["credits"], shown["list_amount"]) == (quantity, credits, list_amount)
    assert (shown["discount"], shown["total"], shown["error"]) == (discount, total, "")
    assert shown["code"] == code.strip().upper()

    form = order | {"pack": pack.key, "key": str(uuid.uuid4()), "shown": 801}
    assert browser.post("/billing/purchases/new/", form).status_code == 303
    made = Purchase.objects.get()
    assert (made.quantity, made.credits, made.list_amount) == (quantity, credits, list_amount)
    assert (made.amount, made.currency, made.promotion_code) == (total, "usd", shown["code"])


@pytest.mark.requirement("FLOW-05")
def test_a_code_that_is_refused_leaves_the_sum_without_a_discount(browser: Client, pack: Pack) -> None:
    order = {"quantity": 2, "code": "WINTER", "currency": "usd"}
    shown = browser.get(f"/billing/buy/{pack.key}/sum", order).context
    assert (shown["discount"], shown["total"]) == (0, 1602)
    assert shown["error"] == "This code does not exist. Check the spelling."


@pytest.mark.parametrize(
    ("status", "told"),
    [("created", ["Purchase cancelled. Nothing was charged."]), ("paid", []), ("failed", [])],
)
def test_only_a_purchase_that_is_cancelled_is_said_to_be(
    browser: Client, account: Account, status: str, told: list[str]
) -> None:
    now = timezone.now()
    purchase = Purchase.objects.create(
        account=account, kind="pack", origin="page", amount=1, list_amount=1, currency="usd", credits=0,
        idempotency_key="k", created_at=now, status=status, paid_at=now if status == "paid" else None,
    )  # fmt: skip
    response = browser.post(f"/billing/purchases/{purchase.public_id}/cancel/")
    assert [str(message) for message in get_messages(response.wsgi_request)] == told
