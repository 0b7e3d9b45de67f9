"""The price list: search, filters, groups, plans; and prices of the workshop through lookup and estimates."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pricing import estimates, estimator, lookup, selectors
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import rate_cards
from pricing.models import Plan, RateCard, Service
from pricing.rates.rate import Band, Rate, RateLine
from tests.pricing.conftest import NOW

WORKSHOP = Path(__file__).parents[1] / "usage" / "api" / "workshop.toml"
ALL = ["writer", "painter", "film", "gift", "sketch", "frame", "upload"]


@pytest.fixture(autouse=True)
def workshop(load):
    load(WORKSHOP)


def keys(**filters):
    return [service.facts.key for service in selectors.services(now=NOW, **filters)]


def quote(service, *, action="", now=NOW, zero=False, **usage):
    return lookup.price_use(service=service, action=action, usage=usage, now=now, zero_allowed=zero)


def retire(key):
    Service.objects.filter(key=key).update(retired_at=NOW)
    catalogue_cache.changed()


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ALL),
        ({"text": "WRI"}, ["writer"]),
        ({"text": "letters quick"}, []),  # speed is not searched
        ({"text": "letters core"}, ["writer"]),
        ({"text": "core paint"}, []),
        ({"text": "aint"}, ["painter"]),
        ({"text": "art"}, ["painter"]),
        ({"modality": "image", "kind": "action"}, ["frame"]),
        ({"tier": "basic", "text": "writer"}, ["writer"]),
        ({"tier": "basic", "modality": "image"}, []),
        ({"tag": "fast", "tier": "premium"}, []),
    ],
)
def test_services_are_searched_and_filtered_by_everything_given(filters, found):
    assert keys(**filters) == found


def test_a_retired_service_is_not_listed_and_is_still_found_by_its_key():
    retire("painter")
    assert "painter" not in keys()
    assert selectors.service_by_key("painter", NOW).facts.retired
    assert selectors.filters() == selectors.Filters(
        modalities=["text", "video", "image", "file"], tiers=["basic"], tags=["core", "fast", "drawn"]
    )
    assert "painter" not in [row.service.key for row in estimates.compare(now=NOW, usage={"images": 1})]
    assert "painter" not in selectors.scopes() and "writer" in selectors.scopes()


def test_the_lowest_price_of_an_action_is_that_of_a_model_that_is_sold():
    assert selectors.service_by_key("sketch", NOW).lowest == 0, "a gift"
    retire("gift")
    assert selectors.service_by_key("sketch", NOW).lowest == selectors.price_of_unit(
        lookup.rate_in_force("writer", NOW)
    )


def test_the_example_is_the_cheapest_model_that_costs_something_or_else_an_action():
    examples = []
    for retired in ((), ("writer", "painter", "film"), ("upload", "frame")):
        for key in retired:
            retire(key)
        found = selectors.example_use(NOW)
        examples.append(found and (found[0].facts.key, found[1]))
    assert examples == [("film", {"seconds": 5}), ("upload", {"uses": 1}), None], "gifts cost nothing"


def test_services_are_grouped_by_kind_and_modality_models_first():
    actions_first = sorted(selectors.services(now=NOW), key=lambda service: service.facts.kind)
    groups = [
        (kind, modality, [service.facts.key for service in found])
        for kind, modality, found in selectors.by_kind(actions_first)
    ]
    assert groups == [
        ("model", "text", ["writer", "gift"]),
        ("model", "image", ["painter"]),
        ("model", "video", ["film"]),
        ("action", "text", ["sketch"]),
        ("action", "image", ["frame"]),
        ("action", "file", ["upload"]),
    ]


def test_plans_stand_in_the_order_of_the_file_without_retired_ones():
    assert [plan.key for plan in selectors.plans()] == ["hall", "free", "studio", "bench"]
    Plan.objects.filter(key__in=["studio", "free"]).update(retired_at=NOW)
    assert [plan.key for plan in selectors.plans()] == ["hall", "bench"]
    assert selectors.free_plan() is None


@pytest.mark.parametrize(
    ("use", "counts"),
    [
        ({"service": "writer", "input_tokens": 5, "output_tokens": 5}, None),
        ({"service": "writer", "action": "sketch", "input_tokens": 5, "output_tokens": 5}, ("drafts", 1)),
        ({"service": "gift", "action": "sketch", "uses": 4}, ("drafts", 4)),
        ({"service": "upload", "uses": 3}, ("files", 3)),
        ({"service": "painter", "action": "upload", "uses": 2}, ("files", 2)),
        ({"service": "upload", "uses": 0, "zero": True}, ("files", 0)),
        ({"service": "writer", "action": "sketch", "zero": True}, ("drafts", 0)),
        ({"service": "painter", "action": "frame", "uses": 2}, None),
    ],
)
def test_a_use_counts_its_uses_or_one_of_the_quota_of_its_action(use, counts):
    assert quote(**use).counts == counts


def test_a_use_may_be_paid_by_credits_for_its_model_or_its_action():
    assert quote("writer", input_tokens=1, output_tokens=1).covers == ("writer", "tag:core", "tag:fast")
    both = ("writer", "tag:core", "tag:fast", "sketch", "tag:drawn")
    assert quote("writer", action="sketch", input_tokens=1, output_tokens=1).covers == both


def test_models_are_compared_for_the_meters_they_have():
    use = {"images": 1, "seconds": 6, "uses": 2, "input_tokens": 1000, "output_tokens": 500}
    compared = estimates.compare(now=NOW, usage=use)
    assert [(row.service.key, row.quote.credits, row.times_cheapest) for row in compared] == [
        ("gift", 0, None),
        ("writer", 3, None),
        ("painter", 5, None),
        ("film", 6, None),
    ]
    images = estimates.compare(now=NOW, usage=use, modality="image")
    assert [(row.service.key, row.times_cheapest) for row in images] == [("painter", 1)]
    del use["uses"]
    rows = estimates.compare(now=NOW, usage=use)
    assert [(row.service.key, row.times_cheapest) for row in rows] == [
        ("writer", 1),
        ("painter", Decimal("1.7")),
        ("film", 2),
    ]
    half = estimates.compare(now=NOW, usage={"images": 1, "input_tokens": 4000, "output_tokens": 0})
    assert [(row.service.key, row.times_cheapest) for row in half] == [
        ("writer", 1),
        ("painter", Decimal("1.3")),  # 1.25, rounded half up
    ]
    use["seconds"] = 5  # 3 credits, as much as Writer, which comes first in the catalogue
    assert [row.service.key for row in estimates.compare(now=NOW, usage=use)] == ["writer", "film", "painter"]


def shown(key, **data):
    found = estimator.estimator(selectors.service_by_key(key, NOW), data, now=NOW)
    assert found is not None
    return found


def test_the_estimator_prices_a_typical_use_then_the_one_entered():
    assert shown("painter").quote.credits == 5
    assert shown(
        "painter", **{"images": "11", "option-speed": "slow", "option-quality": "high"}
    ).quote.credits == (Decimal("39.375"))
    assert shown("writer").quote.credits == 4  # 2,000 input and 500 output tokens
    assert shown("writer", text="abcd" * 10).quote.credits == Decimal("1.21")
    assert shown("sketch").quote.credits == 8, "with the first model"
    assert shown("sketch", model="gift", uses="3").quote.credits == 0
    assert shown("sketch", model="painter").quote.credits == 8, "a model of another kind is not offered"
    assert (shown("film", seconds="0").quote, shown("film", seconds="0").problem) == (
        None,
        "Every quantity is zero. Send at least one quantity above zero.",
    )
    invalid = shown("film", seconds="-1")
    assert (invalid.quote, invalid.problem, set(invalid.form.errors)) == (None, "", {"seconds"})
    before_all_cards = NOW - timedelta(days=900)
    unpriced = selectors.service_by_key("writer", before_all_cards)
    assert (unpriced.rate, estimator.estimator(unpriced, {}, now=before_all_cards)) == (None, None)


def test_an_action_that_costs_its_model_has_no_estimate_without_a_priced_model():
    card = rate_cards.copy_in_force(effective_at=NOW, source="staff", now=NOW)
    card.rates.filter(service__key__in=["writer", "gift"]).delete()
    rate_cards.put_in_force(RateCard.objects.get(pk=card.pk), by="test", now=NOW)
    assert estimator.estimator(selectors.service_by_key("sketch", NOW), {}, now=NOW) is None
    with pytest.raises(lookup.ServiceUnpriced) as refused:
        quote("writer", input_tokens=1, output_tokens=1)
    assert refused.value.key == "writer"


def test_the_card_in_force_is_the_newest_and_of_one_instant_the_one_published_last():
    for number, multiplier in enumerate((3, 7)):
        card = rate_cards.copy_in_force(effective_at=NOW, source="staff", now=NOW)
        card.rates.filter(service__key="frame").update(multiplier=multiplier)
        published = NOW - timedelta(hours=5 - number)
        rate_cards.put_in_force(RateCard.objects.get(pk=card.pk), by="test", now=published)
    before = NOW - timedelta(microseconds=1)
    assert (quote("frame", uses=1, now=before).credits, quote("frame", uses=1).credits) == (7, 49)
    assert rate_cards.rows_in_force(NOW)["frame"]["multiplier"] == 7
    assert rate_cards.rows_in_force(before)["frame"]["multiplier"] == 1
    assert rate_cards.rows_in_force(NOW - timedelta(days=900)) == {}


def test_the_price_of_a_unit_is_that_of_the_quantities_that_the_price_list_names():
    tokens = rate(("input_tokens", "0.5", 1000), ("output_tokens", "2", 1000), ("image_tokens", "9", 1000))
    assert selectors.unit_usage(tokens) == {"input_tokens": 1000, "output_tokens": 1000}
    assert selectors.price_of_unit(tokens) == Decimal("2.5")
    assert selectors.price_of_unit(rate(("image_tokens", "9", 1000))) == 9


def rate(*lines):
    return Rate(
        "echo",
        "1",
        NOW,
        lines=tuple(
            RateLine(meter, (Band(None, Decimal(credits)),), per=per) for meter, credits, per in lines
        ),
    )
