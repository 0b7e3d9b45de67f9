"""What a new purchase contains, when it is refused, and what its payment page at Stripe is asked for."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from accounts.models import Account, User, personal_account_of
from billing import offers, stripe_gateway
from billing.models import Mail, Promotion, Purchase, Subscription
from billing.payments import customers
from billing.purchases import checkout, create
from billing.subscriptions import plan_terms, prices
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue, Pack, Sale

pytestmark = pytest.mark.django_db
NOW = datetime(2027, 7, 7, 12, tzinfo=UTC)
SITE = "https://shop.example"


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def pack(catalogue: None) -> Pack:
    row = Catalogue.objects.get()
    row.currencies = ["usd", "jpy"]
    row.save(update_fields=["currencies"])
    catalogue_cache.changed()
    prices = {"usd": 500, "jpy": 700}
    return Pack.objects.create(key="box", name="Box", credits=100, prices=prices, lasts="6 months")


@pytest.fixture
def buy(account: Account, alice: User, pack: Pack) -> Callable[..., Purchase]:
    """Create a purchase of boxes: `buy(quantity=2)`."""

    def make(**changes: Any) -> Purchase:
        order: dict[str, Any] = {"pack_key": "box", "quantity": 1, "currency": "usd", "key": "k"}
        order |= {"account": account, "buyer": alice, "origin": "page", "now": NOW}
        return create.pack_purchase(**order | changes)

    return make


@pytest.fixture
def subscribe(account: Account, alice: User, catalogue: None) -> Callable[..., Purchase]:
    def make(**changes: Any) -> Purchase:
        order: dict[str, Any] = {"plan_key": "starter", "interval": "month", "currency": "usd", "key": "k"}
        order |= {"account": account, "buyer": alice, "origin": "api", "now": NOW, "confirm": False}
        return create.plan_purchase(**order | changes)

    return make


def refusal(act: Callable[..., Any], **changes: Any) -> str:
    """The name of the error that a purchase is refused with, and what it names; empty when it is made."""
    try:
        act(**changes)
    except create.PurchaseInvalid as error:
        assert error.status == 400
        return f"{error.field} {error.code}"
    except (create.Refusal, offers.Refusal) as error:
        return type(error).__name__
    return ""


@pytest.mark.parametrize("currency", ["usd", "jpy"])
def test_a_purchase_of_packs_has_the_prices_and_credits_of_its_quantity(
    buy: Callable[..., Purchase], pack: Pack, alice: User, currency: str
) -> None:
    dates = {"starts_at": NOW, "ends_at": NOW + timedelta(1)}
    Sale.objects.create(key="s", pack=pack, label="-", prices={"usd": 400, "jpy": 600}, **dates)
    made = buy(quantity=3, currency=currency)
    each, listed = {"usd": (400, 500), "jpy": (600, 700)}[currency]
    assert (made.amount, made.list_amount, made.currency) == (3 * each, 3 * listed, currency)
    assert (made.credits, made.quantity, made.lasts) == (300, 3, "6 months")
    assert (made.label, made.kind, made.offer) == ("3 × Box (300 credits)", "pack", "box")
    assert (made.status, made.buyer, made.origin, made.created_at) == ("created", alice, "page", NOW)
    assert (made.tax_behavior, made.promotion_code, made.interval) == ("", "", "")
    assert buy(key="one").label == "Box (100 credits)"


@pytest.mark.parametrize(
    ("name", "credits", "one", "two"),
    [
        ("Box", "1", "Box (1 credit)", "2 × Box (2 credits)"),
        ("Box", "0.5", "Box (0.5 credits)", "2 × Box (1 credit)"),
        ("100 credits", "100", "100 credits", "2 × 100 credits (200 credits)"),
        ("1,000 bonus credits", "1000", "1,000 bonus credits", "2 × 1,000 bonus credits (2,000 credits)"),
        ("Box 100", "1000", "Box 100 (1,000 credits)", "2 × Box 100 (2,000 credits)"),
    ],
)
def test_a_purchase_names_its_credits_once(
    buy: Callable[..., Purchase], pack: Pack, name: str, credits: str, one: str, two: str
) -> None:
    Pack.objects.filter(pk=pack.pk).update(name=name, credits=Decimal(credits))
    assert [buy(quantity=n, key=str(n)).label for n in (1, 2)] == [one, two]


@pytest.mark.fault("P10")
def test_quantities_and_sums_up_to_their_limits(buy: Callable[..., Purchase], pack: Pack) -> None:
    rows = [(1, ""), (100, ""), (0, "quantity out_of_range"), (101, "quantity out_of_range")]
    assert [refusal(buy, quantity=number, key=str(number)) for number, _ in rows] == [end for _, end in rows]
    for price, expected in ((9_999_999, ""), (10_000_000, "quantity out_of_range")):
        Pack.objects.update(prices={"usd": price})
        assert refusal(buy, quantity=10, key=f"price{price}") == expected
    Pack.objects.update(prices={"usd": 500})
    for credits, expected in ((Decimal(10**8), ""), (Decimal(10**8) + 1, "quantity out_of_range")):
        Pack.objects.update(credits=credits)
        assert refusal(buy, quantity=10, key=f"credits{credits}") == expected


@pytest.mark.fault("P10", "L8")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"promotion_code": "tenth"}, ""),  # codes have no case
        ({"promotion_code": ""}, "PurchaseKeyReused"),
        ({"quantity": 3}, "PurchaseKeyReused"),
        ({"currency": "jpy"}, "PurchaseKeyReused"),
        ({"pack_key": "other"}, "PurchaseKeyReused"),
        ({"shown": 1}, ""),  # the price of the first request counts
    ],
)
def test_a_key_makes_one_purchase_of_the_same_details(
    buy: Callable[..., Purchase], changes: dict[str, Any], expected: str
) -> None:
    terms = {"gives": "discount", "percent_off": 10, "starts_at": NOW, "ends_at": NOW + timedelta(1)}
    Promotion.objects.create(code="TENTH", label="-", **terms)
    order = {"quantity": 2, "promotion_code": "TENTH"}
    first = buy(**order)
    assert (first.amount, first.list_amount, first.promotion_code) == (900, 1000, "TENTH")
    Pack.objects.update(prices={"usd": 999, "jpy": 999})
    assert refusal(buy, **order | changes) == expected
    assert Purchase.objects.get().amount == 900
    assert Promotion.objects.get(code="TENTH").redeemed == 1


def test_a_key_of_a_plan_makes_one_purchase_of_the_same_details(subscribe: Callable[..., Purchase]) -> None:
    made = subscribe(interval="year")
    assert (made.kind, made.offer, made.interval, made.label) == ("plan", "starter", "year", "Starter")
    assert (made.amount, made.list_amount, made.currency, made.credits) == (9900, 9900, "usd", 0)
    assert (made.status, made.origin, made.created_at) == ("created", "api", NOW)
    assert subscribe(interval="year", shown=1) == made
    for changes in ({"interval": "month"}, {"interval": "year", "plan_key": "creator"}):
        assert refusal(subscribe, **changes) == "PurchaseKeyReused"
    assert refusal(subscribe, interval="year", currency="eur") == "PurchaseKeyReused"


@pytest.mark.fault("L8")
def test_a_key_is_one_of_its_account(
    buy: Callable[..., Purchase], subscribe: Callable[..., Purchase], charlie: User
) -> None:
    other = personal_account_of(charlie)
    for act, key in ((buy, "pack"), (subscribe, "plan")):
        assert act(key=key).account != act(key=key, account=other, buyer=charlie).account == other


@pytest.mark.parametrize(
    ("shown", "expected"),
    [(None, ""), (500, ""), (499, "PriceChanged"), (501, "PriceChanged"), (0, "PriceChanged")],
)
def test_the_price_is_the_one_that_was_shown(
    buy: Callable[..., Purchase], subscribe: Callable[..., Purchase], shown: int | None, expected: str
) -> None:
    assert refusal(buy, shown=shown, quantity=2) == expected
    plan_price = None if shown is None else 990 + shown - 500
    assert refusal(subscribe, shown=plan_price, key="plan") == expected
    assert Purchase.objects.count() == (0 if expected else 2)


@pytest.mark.fault("P2")
@pytest.mark.parametrize(
    ("state", "pending", "confirm", "expected"),
    [
        ({}, "", False, ""),
        ({"stripe_subscription_id": "sub_1"}, "", False, "AlreadySubscribed"),
        ({"stripe_subscription_id": "sub_1", "state": "past_due"}, "", True, "AlreadySubscribed"),
        ({"plan": "pro"}, "", False, "ConfirmationNeeded"),
        ({"plan": "pro"}, "", True, ""),
        ({"plan": "pro", "stripe_subscription_id": "sub_1"}, "", True, "AlreadySubscribed"),
        ({}, "plan", False, "PlanPaymentPending"),
        ({}, "pack", False, ""),
    ],
)
def test_an_account_has_one_plan(
    subscribe: Callable[..., Purchase],
    account: Account,
    state: dict[str, Any],
    pending: str,
    confirm: bool,
    expected: str,
) -> None:
    if pending:
        waiting = subscribe(key="waiting")
        Purchase.objects.filter(pk=waiting.pk).update(kind=pending, status="pending")
    if state:
        Subscription.objects.filter(account=account).update(**state)
    plan_terms.forget_all()
    assert refusal(subscribe, confirm=confirm) == expected
    payable = "" if expected == "ConfirmationNeeded" else expected
    assert refusal(create.require_payable, purchase=Purchase(account=account, kind="plan")) == payable
    create.require_payable(Purchase(account=account, kind="pack"))


# The payment page


@pytest.fixture
def requests_to_stripe(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[dict[str, Any]]:
    """Sessions that were requested; Stripe answers each with an open one."""
    sent: list[dict[str, Any]] = []
    settings.SITE_URL = SITE

    def make(*, key: str, params: dict[str, Any]) -> dict[str, Any]:
        sent.append({"key": key, **params})
        return {"id": f"cs_{len(sent)}", "url": f"https://pay/{len(sent)}", "status": "open"}

    monkeypatch.setattr(stripe_gateway, "create_checkout_session", make)
    monkeypatch.setattr(customers, "with_customer", lambda _account, act, email: act("cus_1"))
    monkeypatch.setattr(prices, "ensure_price", lambda **fields: f"price of {sorted(fields.items())}")
    return sent


@pytest.mark.fault("P10", "P11")
def test_the_page_of_packs_asks_for_the_amount_of_the_purchase(
    buy: Callable[..., Purchase], account: Account, requests_to_stripe: list[dict[str, Any]]
) -> None:
    made = buy(quantity=2, currency="jpy")
    assert checkout.open_page(made, NOW) == "https://pay/1" == checkout.open_page(made, NOW)
    [sent] = requests_to_stripe
    name = f"{catalogue_cache.current().brand.name}: 2 × Box (200 credits)"  # type: ignore[union-attr]
    data = {
        "currency": "jpy",
        "unit_amount": 1400,
        "product_data": {"name": name, "metadata": {"pack": "box"}},
    }
    own = {"purchase": made.public_id, "account": account.public_id}
    assert (sent["key"], sent["mode"], sent["customer"]) == (
        f"checkout:{made.pk.hex}:cus_1",
        "payment",
        "cus_1",
    )
    assert sent["line_items"] == [{"price_data": data, "quantity": 1}]
    assert sent["payment_intent_data"] == {"metadata": own, "description": "2 × Box (200 credits)"}
    assert sent["client_reference_id"] == made.public_id
    restored = {"kind": "pack", "offer": "box", "quantity": "2", "credits": "200", "lasts": "6 months"}
    assert sent["metadata"] == own | restored | {"label": "2 × Box (200 credits)"}
    assert sent["success_url"].startswith(f"{SITE}/billing/returned/{made.public_id}:")
    assert sent["cancel_url"].startswith(f"{SITE}/billing/left/{made.public_id}:")
    assert "automatic_tax" not in sent and sent["allowed_payment_method_types"]
    made.refresh_from_db()
    assert (made.stripe_session_id, made.checkout_url) == ("cs_1", "https://pay/1")


def test_the_page_of_a_plan_asks_for_its_price(
    subscribe: Callable[..., Purchase], account: Account, requests_to_stripe: list[dict[str, Any]]
) -> None:
    made = subscribe(interval="year")
    checkout.open_page(made, NOW)
    [sent] = requests_to_stripe
    fields = {
        "plan_key": "starter",
        "interval": "year",
        "currency": "usd",
        "amount": 9900,
        "tax_behavior": "",
    }
    assert sent["line_items"] == [{"price": f"price of {sorted(fields.items())}", "quantity": 1}]
    own = {"purchase": made.public_id, "account": account.public_id, "plan": "starter"}
    assert sent["subscription_data"] == {"metadata": own, "billing_mode": {"type": "flexible"}}
    assert sent["mode"] == "subscription" and "payment_intent_data" not in sent


@pytest.mark.parametrize("status", Purchase.Status.values)
def test_only_a_purchase_that_is_not_paid_opens_a_page(
    buy: Callable[..., Purchase], requests_to_stripe: list[dict[str, Any]], status: str
) -> None:
    made = buy()
    made.status, made.paid_at = status, NOW
    made.save()
    url = checkout.open_page(made, NOW)
    opened = status == "created"
    assert url.startswith("https://pay/1" if opened else f"{SITE}/billing/returned/{made.public_id}:")
    assert len(requests_to_stripe) == opened


@pytest.mark.parametrize(
    ("age", "asked"), [(timedelta(hours=23), True), (timedelta(hours=23, seconds=-1), False)]
)
def test_an_old_purchase_looks_for_the_session_of_an_earlier_attempt(
    buy: Callable[..., Purchase],
    requests_to_stripe: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    age: timedelta,
    asked: bool,
) -> None:
    made = buy()
    found = [
        {"id": "cs_other", "url": "-", "status": "open", "client_reference_id": "pur_other"},
        {"id": "cs_old", "url": "https://old", "status": "open", "client_reference_id": made.public_id},
    ]
    since: list[datetime] = []

    def listed(start: datetime, *, customer: str) -> list[dict[str, Any]]:
        since.append(start)
        return found if customer == "cus_1" else []

    monkeypatch.setattr(stripe_gateway, "list_checkout_sessions", listed)
    assert checkout.open_page(made, NOW + age) == ("https://old" if asked else "https://pay/1")
    assert (since, len(requests_to_stripe)) == (([NOW - timedelta(hours=1)], 0) if asked else ([], 1))


SESSION = {"amount_total": 500, "currency": "usd", "payment_method_types": ["card"]}
INTENT = {
    "id": "pi_1",
    "latest_charge": {"receipt_url": "https://r", "payment_method_details": {"type": "link"}},
}


@pytest.mark.fault("P3")
@pytest.mark.parametrize(
    ("session", "status", "method"),
    [
        ({"status": "open", "payment_status": "unpaid"}, "created", ""),
        ({"status": "complete", "payment_status": "paid", "payment_intent": "pi_1"}, "paid", "card"),
        ({"status": "complete", "payment_status": "paid", "payment_intent": INTENT}, "paid", "link"),
        ({"status": "complete", "payment_status": "no_payment_required"}, "paid", "card"),
        ({"status": "complete", "payment_status": "unpaid"}, "pending", "card"),
        (
            {"status": "complete", "payment_status": "unpaid", "payment_method_types": ["card", "alipay"]},
            "pending",
            "",
        ),
        (
            {"status": "complete", "payment_status": "unpaid", "payment_intent": {"status": "canceled"}},
            "failed",
            "",
        ),
        (
            {
                "status": "complete",
                "payment_status": "unpaid",
                "payment_intent": {"status": "requires_payment_method"},
            },
            "failed",
            "",
        ),
        (
            {"status": "complete", "payment_status": "unpaid", "payment_intent": {"status": "processing"}},
            "pending",
            "card",
        ),
        ({"status": "expired", "payment_status": "unpaid"}, "cancelled", ""),
        ({"status": "complete", "payment_status": "paid", "amount_total": 499}, "quarantined", ""),
        ({"status": "complete", "payment_status": "paid", "amount_total": None}, "quarantined", ""),
        ({"status": "complete", "payment_status": "paid", "currency": "jpy"}, "quarantined", ""),
        (
            {"status": "complete", "payment_status": "paid", "metadata": {"account": "acc_other"}},
            "quarantined",
            "",
        ),
    ],
    ids=str,
)
def test_a_purchase_follows_its_session(
    buy: Callable[..., Purchase], session: dict[str, Any], status: str, method: str
) -> None:
    made = buy()
    for _again in range(2):
        checkout.apply_session(made, SESSION | session, NOW)
    made.refresh_from_db()
    assert (made.status, made.payment_method) == (status, method)
    if session.get("payment_intent") == INTENT:
        assert (made.stripe_payment_id, made.receipt_url) == ("pi_1", "https://r")
    emails = {"paid": "receipt", "pending": "payment_pending", "failed": "payment_failed"}
    expected = [emails[status]] if status in emails else []
    assert list(Mail.objects.values_list("template", flat=True)) == expected


def test_the_banks_details_of_a_transfer_are_kept(buy: Callable[..., Purchase]) -> None:
    made = buy()
    details = {"hosted_instructions_url": "https://i"}
    intent = {"status": "requires_action", "next_action": {"display_bank_transfer_instructions": details}}
    facts = {"status": "complete", "payment_status": "unpaid", "payment_intent": intent}
    checkout.apply_session(made, SESSION | facts | {"payment_method_types": ["customer_balance"]}, NOW)
    made.refresh_from_db()
    assert (made.instructions_url, made.payment_method, made.status) == (
        "https://i",
        "customer_balance",
        "pending",
    )
