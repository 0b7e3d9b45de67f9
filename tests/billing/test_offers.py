"""Packs on sale: prices, currencies, sales and plans that may buy."""

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
