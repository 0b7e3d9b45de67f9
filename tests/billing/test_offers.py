"""Packs on sale: prices, currencies, sales and plans that may buy."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.utils import timezone

from billing import offers
from core import currencies
from core.templatetags.money import money
from pricing.models import Pack, Sale

pytestmark = pytest.mark.django_db


@pytest.fixture
def apinfer(db: None) -> None:
    call_command("load_catalogue", "apinfer", verbosity=0)


@pytest.mark.requirement("APIN-01")
def test_packs_have_the_price_of_one_credit_and_the_saving(apinfer: None) -> None:
    packs = offers.list_packs(currency="cny", paid_plan=False, now=timezone.now())

    assert [(offer.pack.credits, offer.amount, offer.each, offer.saving_percent) for offer in packs] == [
        (100, 1000, Decimal("0.1"), 0),
        (5000, 5000, Decimal("0.01"), 90),
        (50000, 50000, Decimal("0.01"), 90),
    ]
    assert [offer.pack.popular for offer in packs] == [False, True, False]
    assert all(offer.pack.lasts == "forever" for offer in packs)  # APIN-09


@pytest.mark.requirement("FLOW-05")
def test_a_sale_applies_from_its_start_until_before_its_end(apinfer: None) -> None:
    pack = Pack.objects.get(key="basic")
    start = timezone.now()
    end = start + timedelta(days=1)
    Sale.objects.create(key="s", pack=pack, label="Sale", prices={"cny": 800}, starts_at=start, ends_at=end)

    def amount(at: object) -> int:
        return offers.get_pack(key="basic", currency="cny", paid_plan=False, now=at).amount

    instant = timedelta(microseconds=1)
    assert [amount(at) for at in (start - instant, start, end - instant, end)] == [1000, 800, 800, 1000]


def test_of_two_sales_the_one_that_began_last_counts_while_it_runs(apinfer: None) -> None:
    pack, now, day = Pack.objects.get(key="basic"), timezone.now(), timedelta(days=1)
    for key, price, since, until in (("a", 700, 0, 4), ("b", 900, 1, 3)):
        dates = {"starts_at": now + since * day, "ends_at": now + until * day}
        Sale.objects.create(key=key, pack=pack, label="Sale", prices={"cny": price}, **dates)
    amounts = [
        offers.get_pack(key="basic", currency="cny", paid_plan=False, now=now + days * day).amount
        for days in (0, 1, 2, 3, 4)
    ]
    assert amounts == [700, 900, 900, 700, 1000]


@pytest.mark.requirement("RECR-06")
def test_packs_for_paid_plans_are_refused_on_a_free_plan(db: None) -> None:
    call_command("load_catalogue", "recraft", verbosity=0)
    now = timezone.now()
    currency = offers.resolve_currency(None)

    packs = offers.list_packs(currency=currency, paid_plan=False, now=now)
    assert [int(offer.pack.credits) for offer in packs] == [200, 800, 1000, 1600]
    assert not any(offer.allowed for offer in packs)
    with pytest.raises(offers.PaidPlanRequired):
        offers.get_pack(key=packs[0].key, currency=currency, paid_plan=False, now=now)
    assert offers.get_pack(key=packs[0].key, currency=currency, paid_plan=True, now=now).allowed


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("amount", "currency", "major", "shown"),
    [(500, "jpy", "500", "¥500"), (500, "usd", "5.00", "$5.00"), (1234, "kwd", "1.234", "KWD1.234")],
)
def test_minor_units_are_those_of_the_currency(amount: int, currency: str, major: str, shown: str) -> None:
    assert currencies.to_major(amount, currency) == Decimal(major)
    assert money(amount, currency) == shown


def test_the_error_for_an_unknown_currency_names_the_available_ones(apinfer: None) -> None:
    with pytest.raises(offers.UnknownCurrency, match="CNY"):
        offers.resolve_currency("eur")


@pytest.fixture
def pack(db: None) -> Callable[..., Pack]:
    """A pack beside those of the catalogue, which are retired: `pack("a", 100, {"usd": 1000})`."""
    Pack.objects.update(retired_at=timezone.now())

    def make(key: str, credits: object, prices: dict[str, int], **fields: object) -> Pack:
        return Pack.objects.create(key=key, name=key, credits=credits, prices=prices, **fields)

    return make


def on_sale(pack: Pack, prices: dict[str, int], *, starts: int = -1, ends: int = 1, key: str = "s") -> Sale:
    now = timezone.now()
    days = {"starts_at": now + timedelta(starts), "ends_at": now + timedelta(ends)}
    return Sale.objects.create(key=f"{key}-{pack.key}", pack=pack, label="Sale", prices=prices, **days)


def test_the_packs_of_a_currency_with_their_savings(pack: Callable[..., Pack]) -> None:
    pack("large", 1000, {"usd": 5000, "jpy": 5000}, position=1)
    small = pack("small", 100, {"usd": 1000, "jpy": 1000}, position=2)
    pack("dollars", 10, {"usd": 300}, position=3)
    pack("gone", 1, {"jpy": 1}, retired_at=timezone.now())
    on_sale(small, {"jpy": 800})
    other = on_sale(pack("members", 200, {"jpy": 2100}, position=0, paid_plans_only=True), {"usd": 1})

    def listed(currency: str, *, paid_plan: bool) -> list[tuple[object, ...]]:
        packs = offers.list_packs(currency=currency, paid_plan=paid_plan, now=timezone.now())
        return [(o.key, o.amount, o.list_amount, o.saving_percent, o.allowed) for o in packs]

    assert listed("jpy", paid_plan=False) == [
        ("members", 2100, 2100, 0, False),  # dearer than the smallest, whose sale counts
        ("large", 5000, 5000, 37, True),  # 5.00 instead of 8.00
        ("small", 800, 1000, 0, True),
    ]
    assert [row[-1] for row in listed("jpy", paid_plan=True)] == [True, True, True]
    assert [row[:4] for row in listed("usd", paid_plan=True)] == [
        ("large", 5000, 5000, 83),  # 0.05 instead of 0.30 of the smallest
        ("small", 1000, 1000, 66),
        ("dollars", 300, 300, 0),
    ]
    assert listed("eur", paid_plan=True) == []
    assert other.pack.key == "members"
    found = offers.get_pack(key="small", currency="jpy", paid_plan=False, now=timezone.now())
    assert (found.each, found.sale is not None) == (Decimal(8), True)


@pytest.mark.parametrize(
    ("key", "currency", "error"),
    [
        ("small", "usd", None),
        ("gone", "usd", offers.UnknownOffer),
        ("nothing", "usd", offers.UnknownOffer),
        ("small", "jpy", offers.UnknownCurrency),
        ("members", "usd", offers.PaidPlanRequired),
    ],
)
def test_why_a_pack_cannot_be_bought(
    pack: Callable[..., Pack], key: str, currency: str, error: type[Exception] | None
) -> None:
    pack("small", 100, {"usd": 1000})
    pack("gone", 100, {"usd": 1000}, retired_at=timezone.now())
    pack("members", 100, {"usd": 1000}, paid_plans_only=True)
    ask = {"key": key, "currency": currency, "paid_plan": False, "now": timezone.now()}
    if error is None:
        assert offers.get_pack(**ask).amount == 1000
        return
    with pytest.raises(error):
        offers.get_pack(**ask)


@pytest.mark.parametrize(
    ("plan", "interval", "currency", "code"),
    [
        ("starter", "month", "usd", ""),
        ("starter", "year", "usd", ""),
        ("starter", "week", "usd", "unknown_interval"),
        ("starter", "month", "jpy", "unknown_currency"),
        ("nothing", "month", "usd", "unknown_plan"),
        ("pro", "month", "usd", "plan_closed"),
        ("free-trial", "month", "usd", "unknown_plan"),
    ],
)
def test_why_a_plan_cannot_be_bought(
    catalogue: None, plan: str, interval: str, currency: str, code: str
) -> None:
    try:
        found, amount = offers.get_plan_price(key=plan, interval=interval, currency=currency)
    except (offers.UnknownOffer, offers.UnknownCurrency, offers.PlanClosed) as error:
        assert error.code == code
    else:
        assert (found.key, amount, code) == (plan, found.prices[interval][currency], "")


def test_the_currency_of_a_request(catalogue: None) -> None:
    first = offers.currencies()[0]
    assert (offers.resolve_currency(None), offers.resolve_currency(""), offers.resolve_currency(first)) == (
        first,
        first,
        first,
    )
