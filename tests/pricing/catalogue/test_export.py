"""The catalogue with the changes of staff is written as a file and read again without loss."""

from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import drafts, export, file, litellm_import, loading, rate_cards, toml
from pricing.models import Catalogue, Pack, Plan, Rate, RateCard, Sale, Service
from tests.pricing.conftest import NOW, cost

SHIPPED = sorted(path.stem for path in file.DIRECTORY.glob("*.toml"))
TABLES = ("catalogue", "sale", "pack", "plan", "rate", "ratecard", "service")


def state():
    """All that the product is now and at the dates to come."""
    cards = RateCard.objects.filter(state="published").order_by("effective_at", "published_at")
    coming = {card.effective_at: card for card in cards}
    past = [date for date in coming if date <= NOW]
    fields = ("key", "currencies", "brand", "wording", "policies")
    present = {"retired_at": None}
    return {
        "catalogue": list(Catalogue.objects.values(*fields)),
        "translations": export.table(NOW).get("translations", {}),  # of texts that entries still have
        "services": rows_of(Service, "origin", **present),
        "plans": rows_of(Plan, **present),
        "packs": rows_of(Pack, **present),
        "sales": rows_of(Sale, "pack_id", ends_at__gt=NOW),
        "packs on sale": sorted(Sale.objects.filter(ends_at__gt=NOW).values_list("key", "pack__key")),
        "rates": {
            date: {key: row for key, row in drafts.rows(card).items() if active(key)}
            for date, card in coming.items()
            if date > NOW or date == past[-1]
        },
    }


def active(key):
    return Service.objects.filter(key=key, retired_at=None).exists()


def rows_of(model, *without, **which):
    rows = model.objects.filter(**which).order_by("key").values()
    return [{name: one for name, one in row.items() if name not in ("id", *without)} for row in rows]


def empty_the_database():
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"TRUNCATE {', '.join(f'pricing_{name}' for name in TABLES)} CASCADE")
    catalogue_cache.forget()


def publish(card, at):
    seen = rate_cards.fingerprint(rate_cards.rows_of(card.pk))
    rate_cards.publish(card.pk, seen=seen, by="staff", now=NOW, at=at)


def edit_everything():
    """What staff can change: rates now and at a date, a service without a price, offers, an ended sale."""
    first, second, *_ = Service.objects.filter(kind="model", retired_at=None).order_by("position")
    line = {"meter": "seconds", "credits": "0.000001", "per": 7, "whole_blocks": True, "also": ["uses"]}
    banded = line | {"bands": [{"up_to": 14, "credits": "3"}, {"credits": "2"}]}
    del banded["credits"]
    quality = {"multipliers": {"low": "1", "high": "1.50"}, "default": "low"}
    options = {"quality": quality, "odd": {"effect": False}}
    now = rate_cards.copy_in_force(effective_at=NOW, source="staff", now=NOW)
    seen = {key: drafts.seen(row) for key, row in drafts.rows(now).items()}
    drafts.change(
        now.pk,
        {
            first.key: drafts.Change(seen[first.key], {"lines": [banded], "options": options}),
            second.key: drafts.Change(seen.get(second.key, ""), None),
        },
    )
    Rate.objects.filter(card=now, service=first).update(cost={"seconds": "0.0000000001"})
    publish(now, NOW)
    later = rate_cards.copy_in_force(effective_at=NOW + timedelta(days=9), source="staff", now=NOW)
    drafts.change(later.pk, {second.key: drafts.Change("", {"lines": [line], "minimum": "0.5"})})
    publish(later, NOW + timedelta(days=9))
    same = rate_cards.copy_in_force(effective_at=NOW, source="staff", now=NOW)
    drafts.change(same.pk, {second.key: drafts.Change("", {"lines": [line], "minimum": "0.5"})})
    publish(same, NOW + timedelta(days=10, microseconds=1))
    plan = Plan.objects.filter(retired_at=None).order_by("position").first()
    plan.summary, plan.features, plan.badge = 'Odd "text"\\ \t\x7f', ["One\nline", "é 每日"], "'"
    plan.save()
    prices = dict.fromkeys(catalogue_cache.current().currencies, 100_000)
    lower = dict.fromkeys(prices, 99_000)
    count = Pack.objects.filter(retired_at=None).update(credits=Decimal("7.000001"))
    pack = Pack.objects.create(key="staffs", name="Staff's", credits=5, prices=prices, position=count)
    times = {"starts_at": NOW - timedelta(days=1), "ends_at": NOW + timedelta(days=1, microseconds=3)}
    Sale.objects.filter(ends_at__gt=NOW).update(ends_at=NOW)
    Sale.objects.create(key="hers", pack=pack, label="Hers", prices=lower, **times)
    Sale.objects.exclude(key="hers").update(prices=prices)
    catalogue_cache.changed()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_catalogue_that_staff_changed_is_exported_and_loaded_without_loss(load, tmp_path, name):
    load(name)
    fresh = state()
    assert fresh["translations"] == Catalogue.objects.get().translations
    exported = tmp_path / "fresh.toml"
    exported.write_text(export.text(NOW))
    assert load(exported).cards == [] and state() == fresh
    edit_everything()
    edited, cards = state(), RateCard.objects.count()
    assert edited["rates"] != fresh["rates"] and edited["plans"] != fresh["plans"]
    exported.write_text(export.text(NOW))
    assert load(exported).cards == []
    assert (state(), RateCard.objects.count()) == (edited, cards)
    assert not load(exported).changed
    assert load(name).changed  # figures that its own file changes back
    empty_the_database()
    load(exported)
    assert state() == edited
    assert export.text(NOW) == exported.read_text()


def test_values_of_an_option_that_only_some_services_still_have_keep_their_translations(load):
    """Staff gave the first service the qualities low and high; others have also ultra."""
    load("apinfer")
    edit_everything()
    assert state()["translations"]["zh-hans"]["ultra"] == "超高"


def test_a_load_keeps_offers_that_staff_changed_and_writes_those_that_the_file_changed(load, write):
    load(write())
    now = NOW.replace(month=3, year=2026)
    Sale.objects.filter(key="spring").update(ends_at=now)
    Pack.objects.filter(key="small").update(credits=7)
    Pack.objects.create(key="large", name="Large", credits=9, prices={"usd": 900, "eur": 800}, position=1)
    Plan.objects.filter(key="paid").update(name="Pro")
    own = {"label": "Own", "prices": {"usd": 800, "eur": 700}, "starts_at": now}
    Sale.objects.create(key="own", pack=Pack.objects.get(key="large"), ends_at=NOW + timedelta(days=9), **own)
    other = ('intro = "Credits."', 'intro = "Other text."')
    load(write(other))
    assert list(Pack.objects.filter(retired_at=None).values_list("key", "credits")) == [
        ("small", 7),
        ("large", 9),
    ]
    assert Plan.objects.get(key="paid").name == "Pro"
    ends = dict(Sale.objects.values_list("key", "ends_at"))
    assert ends == {"spring": now, "own": NOW + timedelta(days=9)}
    load(write(other, ("credits = 100", "credits = 101")))
    assert Pack.objects.get(key="small").credits == 101
    assert (Plan.objects.get(key="paid").name, Pack.objects.get(key="large").retired_at) == ("Pro", None)
    load(write(other, ("credits = 100", "credits = 101"), ('key = "paid"', 'key = "pro"')))
    assert set(Plan.objects.filter(retired_at=None).values_list("key", flat=True)) == {"free", "pro"}
    load("flowly")
    assert Pack.objects.get(key="large").retired_at is not None


def test_a_file_that_contradicts_what_staff_changed_is_refused_whole(load, write):
    load(write())
    small, span = Pack.objects.get(key="small"), {"starts_at": NOW, "ends_at": NOW + timedelta(days=2)}
    Sale.objects.create(key="hers", pack=small, label="Hers", prices={"usd": 450, "eur": 350}, **span)
    with pytest.raises(file.CatalogueInvalid, match=r"sales.0.prices.usd is 450; expected less than .* 430"):
        load(write(("prices = { usd = 500, eur = 450 }", "prices = { usd = 430, eur = 450 }")))
    assert Pack.objects.get(key="small").prices["usd"] == 500


def test_a_service_whose_price_staff_removed_stays_without_one_until_the_file_changes_it(load, write):
    load(write())
    card = rate_cards.copy_in_force(effective_at=NOW, source="staff", now=NOW)
    drafts.change(card.pk, {"echo": drafts.Change(drafts.seen(drafts.rows(card)["echo"]), None)})
    publish(card, NOW)
    load(write(('intro = "Credits."', 'intro = "Other text."')))
    assert "echo" not in rate_cards.rows_in_force(NOW)
    load(write(("credits = 3", "credits = 4")))
    assert cost("echo", tokens=1000) == 4
    load(
        write(('rate = { lines = [{ meter = "tokens", credits = 3, per = 1000 }] }', "rate.unpriced = true"))
    )
    assert "echo" not in rate_cards.rows_in_force(NOW)


def test_the_command_prints_or_writes_the_file_and_says_when_nothing_is_loaded(load, write, tmp_path):
    with pytest.raises(CommandError, match="No catalogue is loaded"):
        call_command("export_catalogue")
    load(write())
    printed, path = StringIO(), tmp_path / "mine.toml"
    call_command("export_catalogue", stdout=printed)
    call_command("export_catalogue", output=str(path))
    lines = printed.getvalue().splitlines()
    assert lines[1:] == path.read_text().splitlines()[1:]
    assert file.read(str(path)).catalogue.key == "tiny"
    assert loading.load(str(path), now=NOW).cards == []


def test_toml_is_read_as_it_was_written():
    table = {
        "text": 'a "b" \\ \n\t\x00\x1f\x7f\u2028 é 每 😀',
        "whole": 10**18,
        "figure": Decimal("0.000000000000000000001"),
        "true": True,
        "moment": NOW.replace(microsecond=7),
        "empty": [],
        "odd keys": {"a.b": {"ü": "x"}, "": "y"},
        "entries": [{"key": "one", "prices": {"month": {"usd": 1}}}, {"key": "two", "deep": [{"a": [1, 2]}]}],
    }
    assert file.tomllib.loads(toml.dumps(table), parse_float=Decimal) == table


def test_imported_services_are_exported_whatever_their_names_are(load, write, tmp_path):
    """A service that no file can name would refuse every later load and every change of an offer."""
    load(write())
    long = "acme/" + "very-long-" * 9
    prices = {
        long: {
            "mode": "chat",
            "litellm_provider": "Acme & Co " * 9,
            "input_cost_per_token": Decimal("0.000001"),
        }
    }
    terms = {"credit_usd": Decimal("0.002"), "margin": Decimal(0), "matches": {}, "source": "import:x"}
    card = litellm_import.import_litellm(prices, **terms, effective_at=NOW, now=NOW).card
    publish(card, NOW)
    exported, before = tmp_path / "imported.toml", state()
    exported.write_text(export.text(NOW))
    assert load(write(('intro = "Credits."', 'intro = "Other text."'))).cards == []
    assert load(exported).cards == []
    empty_the_database()
    load(exported)
    assert state() == before
    assert len(before["services"]) == 3
