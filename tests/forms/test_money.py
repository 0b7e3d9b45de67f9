"""Money in forms and on pages, for a currency with two decimals, with none and with three.

`PRICES` is the price of the pack and of the monthly plan in minor units; `SHOWN` is how every page writes it.
"""

import html
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import AutoTopUp, Purchase
from billing.purchases import checkout
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue, Pack, Plan
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies
from tests.billing.conftest import stripe_api as stripe_api
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db

PRICES = {"usd": (500, 990), "jpy": (800, 1500), "kwd": (1500, 3250)}
SHOWN = {"usd": ("$5.00", "$9.90"), "jpy": ("¥800", "¥1,500"), "kwd": ("KWD1.500", "KWD3.250")}
TRIPLE = {"usd": ("$15.00", "$10.00"), "jpy": ("¥2,400", "¥1,600"), "kwd": ("KWD4.500", "KWD3.000")}
EACH = {"usd": "$0.01", "jpy": "¥1.6", "kwd": "KWD0.003"}
CURRENCIES = list(PRICES)

# the amount that is sent -> the minor units stored and the amount shown again, or the words of the refusal
AMOUNTS: dict[str, dict[str, tuple[int, str] | str]] = {
    "usd": {
        "20.00": (2000, "20.00"),
        "20": (2000, "20.00"),
        "20.5": (2050, "20.50"),
        "20.505": "Remove some decimals",
        "5.00": (500, "5.00"),
        "4.99": "lower than the price of one pack",
    },
    "jpy": {
        "1600": (1600, "1600"),
        "1600.00": (1600, "1600"),
        "1600.5": "Remove some decimals",
        "800": (800, "800"),
        "799": "lower than the price of one pack",
    },
    "kwd": {
        "3.000": (3000, "3.000"),
        "3": (3000, "3.000"),
        "3.51": (3510, "3.510"),
        "3.515": "Remove some decimals",  # the last of three decimals cannot be charged
        "1.5": (1500, "1.500"),
        "1.49": "lower than the price of one pack",
    },
}
DEFAULTS = {"usd": "15.00", "jpy": "2400", "kwd": "4.500"}


def sell_in(currency: str) -> None:
    """The only currency of the catalogue; the small pack and the plan Starter have prices in it."""
    pack, plan = PRICES[currency]
    Catalogue.objects.update(currencies=[currency])
    Pack.objects.update(prices={})
    Pack.objects.filter(key="small").update(prices={currency: pack})
    Plan.objects.filter(key="starter").update(prices={"month": {currency: plan}})
    catalogue_cache.changed()


@pytest.fixture
def browser(stripe_api: Any, alice: User, signed_in: Callable[[User], Client]) -> Client:
    change_policies(
        refund_window_days=30, auto_top_up={"largest_monthly_packs": 5, "assumed": False, "reason": ""}
    )
    return signed_in(alice)


def text_of(response: Any) -> str:
    text = " ".join(html.unescape(response.content.decode()).split())
    return text.replace("\u00a0", "")


@pytest.mark.fault("P11")
@pytest.mark.parametrize("currency", CURRENCIES)
def test_the_monthly_limit_of_automatic_top_up_is_in_the_currency_of_the_pack(
    browser: Client, alice: User, account_of: Callable[[User], Account], currency: str
) -> None:
    sell_in(currency)
    account = account_of(alice)
    stripe_sandbox.save_card(account)
    page = "/billing/auto-top-up/"
    assert browser.get(page).context["form"]["monthly_amount"].value() == DEFAULTS[currency]
    form = {"enabled": "on", "below": "10", "pack": "small", "monthly_count": "2"}
    for given, outcome in AMOUNTS[currency].items():
        response = browser.post(page, form | {"monthly_amount": given})
        if isinstance(outcome, str):
            assert response.status_code == 422, given
            assert outcome in str(response.context["form"].errors["monthly_amount"]), given
            continue
        assert response.status_code == 302, given
        saved = AutoTopUp.objects.get(pk=account.pk)
        assert (saved.monthly_amount, saved.currency) == (outcome[0], currency), given
        assert browser.get(page).context["form"]["monthly_amount"].value() == outcome[1], given
    browser.post(page, form | {"monthly_amount": DEFAULTS[currency]})
    Purchase.objects.create(account=account, **_paid(currency), origin=Purchase.Origin.AUTO_TOP_UP)
    text = text_of(browser.get(page))
    pack, _plan = SHOWN[currency]
    most = TRIPLE[currency][1]
    assert f"is charged {pack} ({currency.upper()}) for Small pack: at most 2 times and {most} in" in text
    assert f"1 top-up, {pack}" in text


def test_automatic_top_up_is_shown_in_its_currency_or_converted_when_that_is_no_longer_sold(
    browser: Client, alice: User, account_of: Callable[[User], Account]
) -> None:
    sell_in("jpy")
    prices = {currency: PRICES[currency][0] for currency in ("usd", "jpy")}
    Pack.objects.filter(key="small").update(prices=prices)
    terms = {"pack": "small", "below": 10, "monthly_count": 2, "currency": "jpy"}
    AutoTopUp.objects.create(account=account_of(alice), enabled=True, monthly_amount=7000, **terms)
    for sold, currency, amount in (
        (["usd", "jpy"], "jpy", "7000"),
        (["usd"], "usd", f"{prices['usd'] * 2 / 100:.2f}"),
    ):
        Catalogue.objects.update(currencies=sold)
        catalogue_cache.changed()
        context = browser.get("/billing/auto-top-up/").context
        assert (context["currency"], context["form"]["monthly_amount"].value()) == (currency, amount)
    Pack.objects.filter(key="medium").update(prices=prices, paid_plans_only=True)
    form = browser.get("/billing/auto-top-up/").context["form"]
    assert [key for key, _name in form.fields["pack"].choices] == ["small"], "no pack that needs a paid plan"


@pytest.mark.fault("P11")
@pytest.mark.parametrize("currency", CURRENCIES)
def test_three_packs_cost_three_times_their_price_on_every_page(
    browser: Client, alice: User, account_of: Callable[[User], Account], api_of: Any, currency: str
) -> None:
    sell_in(currency)
    price, (shown, _plan), three = PRICES[currency][0], SHOWN[currency], TRIPLE[currency][0]
    listed = text_of(browser.get("/billing/buy/"))
    assert f"<strong>{shown}</strong>" in listed and f"{EACH[currency]} per credit" in listed
    assert f"<dd>{shown}</dd>" in text_of(browser.get("/billing/buy/small/"))
    form = {"pack": "small", "currency": currency.upper(), "quantity": "3", "key": str(uuid.uuid4())}
    stale = browser.post("/billing/purchases/new/", form | {"shown": price + 1})
    assert "The price has changed" in text_of(stale)
    response = browser.post("/billing/purchases/new/", form | {"shown": price})
    assert response.status_code == 303
    purchase = Purchase.objects.get()
    assert (purchase.amount, purchase.list_amount, purchase.currency) == (price * 3, price * 3, currency)
    assert three in text_of(browser.get(f"/billing/purchases/{purchase.public_id}/left/"))
    Buyer().pay(response["Location"])
    purchase = checkout.refresh_from_stripe(purchase, timezone.now())
    path = f"/billing/purchases/{purchase.public_id}/"
    for page in (path, f"{path}invoice/", f"{path}refund/", "/billing/purchases/", "/billing/"):
        assert three in text_of(browser.get(page)), page
    answer = api_of(alice).get(f"purchases/{purchase.public_id}").json()
    assert (answer["amount"], answer["currency"]) == (price * 3, currency)


@pytest.mark.fault("P11")
@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_plan_is_shown_and_bought_at_its_price(browser: Client, currency: str) -> None:
    sell_in(currency)
    price, shown = PRICES[currency][1], SHOWN[currency][1]
    assert shown in text_of(browser.get("/plans/"))
    preview = browser.get("/plans/starter/?interval=month")
    assert shown in text_of(preview)
    form = {"token": preview.context["preview"].token, "key": str(uuid.uuid4())}
    assert browser.post("/plans/starter/", form).status_code == 303
    purchase = Purchase.objects.get()
    assert (purchase.amount, purchase.currency) == (price, currency)


def _paid(currency: str) -> dict[str, Any]:
    now, price = timezone.now(), PRICES[currency][0]
    return {
        "kind": Purchase.Kind.PACK,
        "offer": "small",
        "label": "Small pack",
        "credits": 500,
        "amount": price,
        "list_amount": price,
        "currency": currency,
        "status": Purchase.Status.PAID,
        "idempotency_key": "auto",
        "created_at": now,
        "paid_at": now,
    }
