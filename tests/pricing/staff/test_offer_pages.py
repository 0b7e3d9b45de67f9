"""Plans, packs and sales are edited as forms: valid as in a file, and never over somebody else's change."""

import html
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from billing import offers as billing_offers
from billing.models import StripePrice, Subscription
from core.models import StaffAct
from pricing.catalogue import export
from pricing.models import Pack, Plan, Sale

HOSTILE = ("NaN", "Infinity", "1e400", "-1", "0", "1" * 40, "1,50", "1_0", "0.001", "١٢")


@pytest.fixture
def browser(staff, signed_in):
    return signed_in(staff)


def path_of(row):
    return f"/admin/pricing/{row._meta.model_name}/{row.pk}/change/"


def shown(browser, path):
    """The values of the form as a browser would send them back."""
    form = browser.get(path).context["form"]
    values = {name: form[name].value() for name in form.fields}
    moments = {name: f"{value:%Y-%m-%dT%H:%M:%S}" for name, value in values.items() if hasattr(value, "hour")}
    sent = {name: "on" if value is True else value for name, value in (values | moments).items()}
    return {name: "" if value is None else value for name, value in sent.items() if value is not False}


def send(browser, path, **changes):
    data = {name: value for name, value in (shown(browser, path) | changes).items() if value is not None}
    return browser.post(path, data)


def errors(response):
    found = response.context["form"].errors.items()
    return {name: html.unescape(" ".join(sentences)) for name, sentences in found}


def test_a_form_that_is_sent_back_unchanged_changes_nothing(browser):
    now = timezone.now()
    before = export.text(now)
    for row in (*Plan.objects.all(), *Pack.objects.all(), *Sale.objects.filter(ends_at__gt=now)):
        assert send(browser, path_of(row)).status_code == 302, row
    assert export.text(now) == before
    assert not StaffAct.objects.filter(act__endswith=".change").exists()


def test_a_pack_is_changed_withdrawn_and_added(browser):
    pack = Pack.objects.order_by("position").first()
    price = {f"price-{currency}": "12.34" for currency in pack.prices}
    assert send(browser, path_of(pack), credits="7.5", popular="on", **price).status_code == 302
    pack.refresh_from_db()
    assert (pack.credits, pack.popular, set(pack.prices.values())) == (7.5, True, {1234})
    act = StaffAct.objects.get(act="pack.change")
    assert (act.after["credits"], act.before["prices"] != act.after["prices"]) == ("7.5", True)
    send(browser, path_of(pack), withdrawn="on")
    pack.refresh_from_db()
    assert pack.retired_at is not None
    send(browser, path_of(pack), withdrawn=None)
    pack.refresh_from_db()
    assert pack.retired_at is None
    new = {"key": "extra", "name": "Extra", "credits": "5", "lasts": "12 months"} | price
    assert send(browser, "/admin/pricing/pack/add/", **new).status_code == 302
    assert Pack.objects.get(key="extra").position == Pack.objects.filter(retired_at=None).count() - 1
    again = send(browser, "/admin/pricing/pack/add/", **new)
    assert "no other entry" in errors(again)["key"]
    assert "match pattern" in errors(send(browser, "/admin/pricing/pack/add/", **new | {"key": "No!"}))["key"]


def test_hostile_figures_are_refused_beside_their_field(browser):
    pack = Pack.objects.order_by("position").first()
    plan = Plan.objects.exclude(prices={}).filter(legacy=False).first()
    (currency, *_) = pack.prices
    interval = next(iter(plan.prices))
    before = export.table(timezone.now())
    for given in HOSTILE:
        for row, name in ((pack, f"price-{currency}"), (plan, f"{interval}-{currency}")):
            assert name in errors(send(browser, path_of(row), **{name: given})), (name, given)
    for given in ("NaN", "1e400", "-1", "0", "1" * 40, "1,50", "1_0", "", "0.0000001"):
        assert "credits" in errors(send(browser, path_of(pack), credits=given)), given
        if plan.allowances:
            name = "allowance-credits-0"
            assert name in errors(send(browser, path_of(plan), **{name: given})), given
    for given in ("-1", "1.5", "1" * 40, "NaN", ""):
        assert "rank" in errors(send(browser, path_of(plan), rank=given)), given
    assert export.table(timezone.now()) == before


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        ("name", "", "missing"),
        ("lasts", "soon", "match pattern"),
        ("methods-usd", "card, cheque", "'card'"),
        ("price-usd", "", "a price in usd too"),
        ("price-usd", "0.01", "smallest payment"),
        ("name", "x" * 201, "at most 200"),
    ],
)
def test_a_pack_that_no_file_may_have_is_refused_with_the_words_of_a_file(browser, field, given, words):
    pack = Pack.objects.order_by("position").first()
    assert words in errors(send(browser, path_of(pack), **{field: given}))[field]


def test_a_plan_is_changed_and_its_subscribers_keep_their_price(browser, alice, account_of):
    plan = Plan.objects.exclude(prices={}).filter(legacy=False).first()
    account, price = account_of(alice), plan.prices["month"]["usd"]
    terms = {"plan": plan.key, "interval": "month", "currency": "usd", "amount": price}
    Subscription.objects.filter(account=account).update(**terms, stripe_subscription_id="sub_1")
    StripePrice.objects.create(
        stripe_price_id="price_1", plan_key=plan.key, interval="month", currency="usd", amount=price
    )
    page = html.unescape(browser.get(path_of(plan)).content.decode())
    assert "1 subscriber pays for this plan and keeps the price" in page
    changes = {"month-usd": "99.99", "features": "One\n\nTwo ", "allowance-reason-0": "Guessed"}
    assert send(browser, path_of(plan), **changes).status_code == 302
    plan.refresh_from_db()
    assert (plan.prices["month"]["usd"], plan.features) == (9999, ["One", "Two"])
    assert (plan.allowances[0]["assumed"], plan.allowances[0]["reason"]) == (True, "Guessed")
    assert Subscription.objects.get(account=account).amount == price
    assert StripePrice.objects.get().amount == price
    offered = billing_offers.get_plan_price(key=plan.key, interval="month", currency="usd")
    assert offered[1] == 9999
    spare = len(plan.allowances)
    response = send(browser, path_of(plan), **{f"allowance-key-{spare}": "x"})
    assert "missing" in errors(response)[f"allowance-label-{spare}"]
    response = send(browser, path_of(plan), **{"allowance-services-0": "tag:none"})
    assert "key of a service" in errors(response)["allowance-services-0"]
    free = Plan.objects.get(free=True)
    assert "not `legacy`" in errors(send(browser, path_of(free), legacy="on"))["__all__"]


def test_a_sale_is_added_changed_and_ended_in_time(browser):
    pack, now = Pack.objects.order_by("position").first(), timezone.now()
    lower = {f"price-{currency}": "0.99" for currency in pack.prices}
    times = {
        "starts_at": f"{now:%Y-%m-%dT%H:%M:%S}",
        "ends_at": f"{now + timedelta(days=9):%Y-%m-%dT%H:%M:%S}",
    }
    new = {"key": "autumn", "pack": pack.key, "label": "Autumn"} | times | lower
    add = "/admin/pricing/sale/add/"
    for wrong, field, words in (
        ({"price-usd": "900000"}, "price-usd", "less than the pack's own price"),
        ({"ends_at": "2020-01-01T00:00:00", "starts_at": "2019-01-01T00:00:00"}, "ends_at", "a date to come"),
        ({"ends_at": times["starts_at"]}, "__all__", "must come after"),
        ({"ends_at": ""}, "ends_at", "required"),
        ({"pack": "none"}, "pack", "valid choice"),
    ):
        assert words in errors(send(browser, add, **new | wrong))[field], wrong
    assert send(browser, add, **new).status_code == 302
    sale = Sale.objects.get(key="autumn")
    assert (sale.label, set(sale.prices.values())) == ("Autumn", {99})
    send(browser, path_of(sale), label="Fall")
    sale.refresh_from_db()
    assert (sale.label, sale.starts_at) == ("Fall", now.replace(microsecond=0))
    too_cheap = {f"price-{currency}": "0.98" for currency in pack.prices}
    assert "sales" in errors(send(browser, path_of(pack), **too_cheap))["__all__"]
    Sale.objects.filter(key="autumn").update(ends_at=now)
    assert browser.post(path_of(sale), {}).status_code == 403
    assert "Autumn" not in browser.get(path_of(sale)).content.decode()


def test_a_stale_form_changes_nothing(browser):
    pack = Pack.objects.order_by("position").first()
    stale = shown(browser, path_of(pack))
    send(browser, path_of(pack), credits="7")
    response = browser.post(path_of(pack), stale | {"credits": "8"}, follow=True)
    assert "Somebody else changed" in response.content.decode()
    assert response.context["form"]["credits"].value() == "7"
    pack.refresh_from_db()
    assert pack.credits == 7


@pytest.mark.django_db(transaction=True)
def test_of_two_staff_who_change_a_pack_at_once_one_is_refused(staff, signed_in):
    browsers, barrier, saved = [signed_in(staff) for _ in range(2)], threading.Barrier(2), []
    pack = Pack.objects.order_by("position").first()
    data = shown(browsers[0], path_of(pack))

    def save(number):
        barrier.wait()
        response = browsers[number].post(path_of(pack), data | {"credits": str(70 + number)})
        saved.append(response.url == "/admin/pricing/pack/")
        connection.close()

    threads = [threading.Thread(target=save, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(saved) == [False, True]
    assert StaffAct.objects.filter(act="pack.change").count() == 1
