"""Loading is idempotent, a changed figure takes effect at its date, and another product can be loaded."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from pricing import lookup, selectors
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import file as catalogue_file
from pricing.catalogue import loading, rate_cards
from pricing.models import Catalogue, Pack, Plan, RateCard, Sale, Service
from tests.pricing.conftest import NOW, cost

SHIPPED = sorted(path.stem for path in catalogue_file.DIRECTORY.glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_loading_twice_changes_nothing(load, name):
    assert load(name).changed
    before = [
        list(model.objects.order_by("pk").values()) for model in (Catalogue, Service, RateCard, Plan, Pack)
    ]
    again = load(name, NOW + timedelta(days=1))
    assert (again.changed, again.cards) == (False, [])
    assert before == [
        list(model.objects.order_by("pk").values()) for model in (Catalogue, Service, RateCard, Plan, Pack)
    ]


@pytest.mark.requirement("CORE-06")
def test_a_changed_figure_creates_a_new_card_from_the_time_of_loading_and_keeps_the_old_one(load, write):
    load(write())
    assert cost("echo", tokens=1000) == 3
    loaded = load(write(("credits = 3", "credits = 4")))
    assert loaded.cards == ["2026-11-20"]
    assert cost("echo", tokens=1000) == 4
    assert cost("echo", tokens=1000, now=NOW - timedelta(seconds=1)) == 3
    old = lookup.price_use(service="echo", usage={"tokens": 1000}, now=NOW, rate_version="2026-01-01")
    assert (old.credits, old.rate_version) == (3, "2026-01-01")


@pytest.mark.requirement("CORE-06")
def test_a_figure_can_be_loaded_before_its_date(load, write):
    load(write())
    load(write(("credits = 3", "credits = 4"), ("effective_at = 2026-01-01", "effective_at = 2026-12-01")))
    assert cost("echo", tokens=1000) == 3
    assert cost("echo", tokens=1000, now=datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=UTC)) == 3
    assert cost("echo", tokens=1000, now=datetime(2026, 12, 1, tzinfo=UTC)) == 4


SCHEDULED = (
    'rate = { lines = [{ meter = "tokens", credits = 3, per = 1000 }] }',
    """rate = { lines = [{ meter = "tokens", credits = 3, per = 1000 }] }
[[services.changes]]
effective_at = 2026-12-24T00:00:00Z
rate = { lines = [{ meter = "tokens", credits = 9, per = 1000 }] }""",
)


def test_a_scheduled_change_removed_from_the_file_is_withdrawn(load, write):
    christmas = datetime(2026, 12, 24, tzinfo=UTC)
    load(write(SCHEDULED))
    assert cost("echo", tokens=1000, now=christmas) == 9
    load(write())
    assert cost("echo", tokens=1000, now=christmas) == 3
    load(write(SCHEDULED))
    assert cost("echo", tokens=1000, now=christmas) == 9


def test_a_figure_that_another_has_replaced_is_not_loaded_later(load, write):
    load(write(SCHEDULED))
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    assert load(write(SCHEDULED, ("credits = 3", "credits = 4")), now=new_year).cards == []
    assert cost("echo", tokens=1000, now=new_year) == 9
    loaded = load(write(SCHEDULED, ("credits = 9", "credits = 8")), now=new_year)
    assert (loaded.cards, cost("echo", tokens=1000, now=new_year)) == (["2027-01-01"], 8)


def test_a_changed_wording_creates_no_new_card_and_withdraws_none(load, write):
    load(write(SCHEDULED))
    before = list(RateCard.objects.values("pk", "state"))
    loaded = load(write(SCHEDULED, ('intro = "Credits."', 'intro = "Other text."')))
    assert (loaded.changed, loaded.cards) == (True, [])
    assert list(RateCard.objects.values("pk", "state")) == before
    assert catalogue_cache.current().wording.intro == "Other text."


def test_what_becomes_of_a_hold_that_nobody_captures_is_that_of_the_action_or_of_its_model(load, write):
    def at_expiry(service, action=""):
        return lookup.at_expiry_of(*lookup.facts_of(service, action))

    of_model = ('name = "Echo"', 'name = "Echo"\nat_expiry = "capture_reported"')
    load(write())
    assert (at_expiry("echo"), at_expiry("echo", "paint")) == ("release", "release")
    load(write(of_model))
    assert (at_expiry("echo"), at_expiry("echo", "paint")) == ("capture_reported", "capture_reported")
    load(write(of_model, ('name = "Paint"', 'name = "Paint"\nat_expiry = "capture_estimate"')))
    assert (at_expiry("echo"), at_expiry("echo", "paint")) == ("capture_reported", "capture_estimate")
    load(write())
    assert at_expiry("echo") == "release"


def test_loading_keeps_a_card_published_by_staff(load, write):
    load(write())
    card = rate_cards.copy_in_force(effective_at=NOW, source="staff", now=NOW)
    card.rates.filter(service__key="echo").update(multiplier=2)
    rate_cards.publish(card.pk, seen=rate_cards.fingerprint(rate_cards.rows_of(card.pk)), by="staff", now=NOW)
    assert not load(write()).changed
    load(write(('intro = "Credits."', 'intro = "Other text."')))
    assert cost("echo", tokens=1000) == 6


def test_objects_removed_from_the_file_are_retired_and_keep_their_history(load, write):
    load(write())
    renamed = [
        ('\n[[packs]]\nkey = "small"\nname = "Small"', '\n[[packs]]\nkey = "tiny"\nname = "Tiny"'),
        ('pack = "small"', 'pack = "tiny"'),
        ('key = "paint"', 'key = "draw"'),
    ]
    load(write(*renamed))
    assert not {"paint"} & {service.facts.key for service in selectors.services(now=NOW)}
    assert selectors.service_by_key("paint", NOW).facts.retired
    with pytest.raises(lookup.ServiceUnpriced):
        cost("echo", action="paint", tokens=1)
    assert cost("echo", action="paint", tokens=1000, now=NOW - timedelta(seconds=1)) == 3
    assert Pack.objects.get(key="small").retired_at == NOW
    load(write())
    assert Pack.objects.get(key="small").retired_at is None


def test_a_current_sale_removed_from_the_file_ends_and_a_future_one_is_deleted(load, write):
    march = datetime(2026, 3, 10, tzinfo=UTC)
    spring = write().read_text()
    without = (spring[spring.index("[[sales]]") :], "")
    load(write(), now=march)
    load(write(without), now=march)
    assert Sale.objects.get().ends_at == march
    Sale.objects.all().delete()
    load(write(), now=datetime(2026, 1, 5, tzinfo=UTC))
    load(write(without), now=datetime(2026, 1, 6, tzinfo=UTC))
    assert not Sale.objects.exists()


def test_one_installation_can_become_another_product_and_back(load):
    load("refly")
    load("apinfer")
    assert cost("qwen-image", images=1) == Decimal("1.75")
    with pytest.raises(lookup.ServiceUnpriced):
        cost("veo-3", seconds=1)
    assert {plan.key for plan in selectors.plans()} == {"pay-as-you-go"}
    load("refly", NOW + timedelta(hours=1))
    assert cost("veo-3", seconds=1, now=NOW + timedelta(hours=1)) == 840
    assert selectors.free_plan().key == "free-trial"


def test_a_new_product_needs_only_a_file(load, tmp_path):
    load(write_orchestra(tmp_path))
    catalogue = catalogue_cache.current()
    assert (catalogue.brand.name, catalogue.currencies) == ("Kapelle", ("chf", "jpy"))
    assert cost("violin", seconds=Decimal("90.5"), options={"hall": "concert"}) == Decimal("226.25")
    assert cost("score", characters=2001) == 9
    assert cost("orchestra", messages=3) == 5
    assert cost("violin", action="record", seconds=10) == 30
    assert catalogue.policies.referral.inviter_credits == 25
    assert Pack.objects.get().prices == {"chf": 1200, "jpy": 1900}


def write_orchestra(tmp_path):
    path = tmp_path / "kapelle.toml"
    path.write_text("""
key = "kapelle"
currencies = ["chf", "jpy"]
effective_at = 2026-06-01T00:00:00Z
brand = { name = "Kapelle", accent = "#7a1f3d" }
wording = { support_email = "hallo@kapelle.example", intro = "Music by the second." }
policies = { referral = { inviter_credits = 25, invited_credits = 5 } }
bases = { play = [{ meter = "seconds", credits = 1 }] }
packs = [{ key = "night", name = "A night", credits = 400, prices = { chf = 1200, jpy = 1900 } }]

[options.hall]
multipliers = { studio = 1, concert = 1.25 }
default = "studio"

[[services]]
key = "violin"
name = "Violin"
modality = "strings"
options = ["hall"]
rate = { base = "play", multiplier = 2 }

[[services]]
key = "score"
name = "Score"
modality = "paper"
rate = { lines = [{ meter = "characters", credits = 3, per = 1000, whole_blocks = true }] }

[[services]]
key = "orchestra"
name = "Orchestra"
modality = "strings"
rate = { lines = [{ meter = "messages", credits = 1 }], minimum = 5 }

[[services]]
key = "record"
name = "Record"
kind = "action"
modality = "strings"
rate = { cost_of_model = true, multiplier = 1.5 }

[[plans]]
key = "listener"
name = "Listener"
rank = 0
free = true
""")
    return path


def test_the_command_reports_the_result(db, write):
    output = StringIO()
    call_command("load_catalogue", str(write()), stdout=output)
    call_command("load_catalogue", str(write()), stdout=output)
    call_command("load_catalogue", str(write(('name = "Echo"', 'name = "Echo 2"'))), stdout=output)
    assert output.getvalue().splitlines() == [
        "tiny: loaded; new rate cards: 2026-01-01.",
        "tiny: already loaded, nothing has changed.",
        "tiny: loaded; the rates are what they were.",
    ]


@pytest.mark.django_db(transaction=True)
def test_concurrent_loads_create_one_card(write):
    path = str(write())

    def run():
        loading.load(path, now=NOW)
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert RateCard.objects.count() == 1
    assert Service.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_change_is_seen_from_its_commit_on_although_others_have_read_before_it(write):
    loading.load(str(write()), now=NOW)
    names = []

    def read():
        names.append(catalogue_cache.current().services["echo"].name)
        connection.close()

    with transaction.atomic():
        Service.objects.filter(key="echo").update(name="Changed")
        catalogue_cache.changed()
        other = threading.Thread(target=read)
        other.start()
        other.join()
    assert [*names, catalogue_cache.current().services["echo"].name] == ["Echo", "Changed"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_drafts_have_different_versions(write):
    loading.load(str(write()), now=NOW)

    def create_draft():
        rate_cards.copy_in_force(effective_at=NOW, source="staff", now=NOW)
        connection.close()

    threads = [threading.Thread(target=create_draft) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drafts = RateCard.objects.filter(state="draft")
    assert drafts.count() == 6
    assert all(card.rates.count() == 2 for card in drafts)


def test_a_figure_that_the_file_changes_replaces_that_of_staff_and_no_other(load, write):
    second = (
        '[[services]]\nkey = "paint"',
        '[[services]]\nkey = "hum"\nname = "Hum"\nmodality = "audio"\n'
        'rate = { lines = [{ meter = "uses", credits = 5 }] }\n\n[[services]]\nkey = "paint"',
    )
    load(write(second))
    card = rate_cards.copy_in_force(effective_at=NOW, source="staff", now=NOW)
    card.rates.exclude(service__key="paint").update(multiplier=2)
    rate_cards.publish(card.pk, seen=rate_cards.fingerprint(rate_cards.rows_of(card.pk)), by="staff", now=NOW)
    assert (cost("echo", tokens=1000), cost("hum", uses=1)) == (6, 10)
    later = NOW + timedelta(minutes=1)
    assert load(write(second, ("credits = 3", "credits = 4")), now=later).cards == ["2026-11-20.2"]
    assert (cost("echo", tokens=1000, now=later), cost("hum", uses=1, now=later)) == (4, 10)


def test_everything_of_the_file_is_stored(load, write):
    load(
        write(
            (
                'tags = ["fast"]',
                'tags = ["fast"]\ntier = "t"\nspeed = "s"\nusage_class = "u"\nbest_for = "b"',
            ),
            ("rank = 1\n", 'rank = 1\nlegacy = true\ncarry_over = true\nbadge = "B"\nsummary = "S"\n'),
            ("credits = 100\n", 'credits = 100\nsummary = "P"\npopular = true\nlasts = "1 year"\n'),
        )
    )
    echo = Service.objects.get(key="echo")
    facts = (
        echo.name,
        echo.kind,
        echo.modality,
        echo.tags,
        echo.tier,
        echo.speed,
        echo.usage_class,
        echo.best_for,
    )
    assert facts == ("Echo", "model", "text", ["fast"], "t", "s", "u", "b")
    assert (echo.position, echo.origin, echo.quota, echo.retired_at) == (0, "catalogue", "", None)
    plan = Plan.objects.get(key="paid")
    assert (plan.rank, plan.prices, plan.legacy, plan.carry_over, plan.badge, plan.summary, plan.free) == (
        1,
        {"month": {"usd": 900, "eur": 800}},
        True,
        True,
        "B",
        "S",
        False,
    )
    pack = Pack.objects.get()
    assert (pack.credits, pack.prices, pack.summary, pack.popular, pack.lasts) == (
        100,
        {"usd": 500, "eur": 450},
        "P",
        True,
        "1 year",
    )
    sale = Sale.objects.get()
    assert (sale.pack, sale.label, sale.prices) == (pack, "Spring", {"usd": 400, "eur": 350})
    assert (sale.starts_at, sale.ends_at) == (
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 4, 1, tzinfo=UTC),
    )
    stored = Catalogue.objects.get()
    assert (stored.key, stored.currencies, stored.loaded_at) == ("tiny", ["usd", "eur"], NOW)
