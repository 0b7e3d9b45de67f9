"""Forms that are sent in a query: filters of the price list, estimator, comparison, days of a simulation.

`tests/usage/views/test_forms.py` has those of usage and history. `QUERIES` has the fields of each form here.
"""

import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from pricing import forms
from pricing.catalogue import file as catalogue_file
from pricing.catalogue import loading, rate_cards
from pricing.models import RateCard
from pricing.rates.meters import LARGEST_QUANTITY
from usage.staff.price_simulation import DaysForm

pytestmark = pytest.mark.django_db

QUERIES = {
    forms.FilterForm: {"q", "modality", "tier", "tag"},
    forms.EstimateForm: {"model", "text", "meters", "options"},  # made from the rate
    forms.CompareForm: {"modality", "text", "meters"},  # made from the rates of the models
    DaysForm: {"days"},
}


@pytest.fixture
def load() -> Callable[[str], list[dict[str, Any]]]:
    """Load a catalogue; the services as its file has them."""

    def services(name: str) -> list[dict[str, Any]]:
        loading.load(name, now=timezone.now())
        return tomllib.loads((catalogue_file.DIRECTORY / f"{name}.toml").read_text())["services"]  # type: ignore[no-any-return]

    return services


def listed(client: Client, **query: str) -> set[str]:
    groups = client.get("/pricing/", query).context["groups"]
    return {service.facts.key for _kind, _modality, services in groups for service in services}


@pytest.mark.parametrize("name", ["refly", "apinfer"])
def test_each_value_of_each_filter_lists_exactly_its_services(
    client: Client, load: Callable[[str], list[dict[str, Any]]], name: str
) -> None:
    services = load(name)
    every = {service["key"] for service in services}
    assert listed(client) == every
    form = client.get("/pricing/").context["form"]
    for field, of in (("modality", "modality"), ("tier", "tier"), ("tag", "tags")):
        values = list(dict.fromkeys(value for service in services for value in _values(service, of) if value))
        if len(values) < 2:
            assert field not in form.fields
            continue
        assert [value for value, _label in form.fields[field].choices] == ["", *values]
        for value in values:
            expected = {service["key"] for service in services if value in _values(service, of)}
            assert listed(client, **{field: value}) == expected, (field, value)
            assert client.get("/pricing/", {field: value}).context["narrowed"]
        assert listed(client, **{field: "nothing"}) == every
        assert listed(client, **{field: ""}) == every
    one = services[0]
    assert one["key"] in listed(client, q=one["name"].upper())
    assert listed(client, q=one["key"], modality=one["modality"]) <= listed(client, q=one["key"])
    assert listed(client, q="x" * 101) == every
    assert not client.get("/pricing/", {"q": "x" * 101}).context["narrowed"]


def _values(service: dict[str, Any], name: str) -> list[str]:
    found = service.get(name, [])
    return found if isinstance(found, list) else [found]


USES: list[tuple[str, dict[str, str], str]] = [
    # catalogue, query, the credits shown or the field that has an error
    ("refly", {"service": "claude-sonnet-4"}, "5.5"),  # a typical use: 2,500 tokens
    ("refly", {"service": "claude-sonnet-4", "tokens": "5000"}, "11"),
    ("refly", {"service": "claude-sonnet-4", "tokens": ""}, "nothing_used"),
    ("refly", {"service": "claude-sonnet-4", "tokens": "-1"}, "tokens"),
    ("refly", {"service": "claude-sonnet-4", "tokens": "1.5"}, "tokens"),
    ("refly", {"service": "claude-sonnet-4", "tokens": str(LARGEST_QUANTITY + 1)}, "tokens"),
    ("refly", {"service": "claude-sonnet-4", "seconds": "9"}, "5.5"),  # not a meter of this rate
    ("refly", {"service": "claude-sonnet-4", "text": "abcd"}, "1.1022"),
    ("refly", {"service": "claude-sonnet-4", "text": "x" * 2001}, "text"),
    ("apinfer", {"service": "qwen-image", "images": "2"}, "3.5"),
    ("apinfer", {"service": "qwen-image", "images": "2", "option-quality": ""}, "3.5"),
    ("apinfer", {"service": "qwen-image", "images": "2", "option-quality": "high"}, "5.25"),
    ("apinfer", {"service": "qwen-image", "images": "2", "option-quality": "best"}, "option-quality"),
    ("recraft", {"service": "remix", "model": "gpt-image-1", "images": "2"}, "20"),
    ("recraft", {"service": "remix", "model": "nothing", "images": "2"}, "model"),
]


@pytest.mark.requirement("REFLY-13")
def test_the_estimator_shows_the_price_of_the_use_or_the_field_with_an_error(
    client: Client, load: Callable[[str], list[dict[str, Any]]]
) -> None:
    loaded = ""
    for name, query, outcome in USES:
        if name != loaded:
            load(name)
            loaded = name
        found = client.get("/pricing/estimate/", query).context["estimator"]
        if outcome[0].isdigit():
            assert found.quote is not None, (query, found.form.errors, found.problem)
            assert f"{found.quote.credits.normalize():f}" == outcome, query
            assert not found.form.errors and not found.problem
        elif outcome == "nothing_used":
            assert (found.quote, bool(found.problem)) == (None, True), query
        else:
            assert found.quote is None and list(found.form.errors) == [outcome], query


def test_the_comparison_prices_the_same_use_with_every_model_of_the_kind(
    client: Client, load: Callable[[str], list[dict[str, Any]]], api_of: Any
) -> None:
    services = load("refly")
    models = [service for service in services if service.get("kind") != "action"]
    kinds = list(dict.fromkeys(service["modality"] for service in models))
    assert len(kinds) > 1
    for kind in ["", *kinds, "nothing"]:
        page = client.get("/pricing/compare/", {"modality": kind})
        shown = {row.service.key for row in page.context["compared"]}
        chosen = kind if kind in kinds else kinds[0]
        assert shown == {service["key"] for service in models if service["modality"] == chosen}, kind
    query = {"modality": "text", "input_tokens": "4000", "output_tokens": "1000"}
    rows = {row.service.key: row for row in client.get("/pricing/compare/", query).context["compared"]}
    assert rows["claude-sonnet-4"].quote.credits == 11
    assert min(row.quote.credits for row in rows.values()) == next(iter(rows.values())).quote.credits
    bad = client.get("/pricing/compare/", query | {"input_tokens": "-1"})
    assert bad.context["compared"] == [] and list(bad.context["form"].errors) == ["input_tokens"]


@pytest.mark.parametrize(
    ("days", "used"), [("1", 1), ("90", 90), ("0", 14), ("91", 14), ("x", 14), ("", 14), (None, 14)]
)
def test_a_simulation_is_of_so_many_days(
    staff: User, signed_in: Callable[[User], Client], days: str | None, used: int
) -> None:
    card = rate_cards.copy_in_force(effective_at=timezone.now(), source="staff", now=timezone.now())
    assert isinstance(card, RateCard)
    query = {} if days is None else {"days": days}
    page = signed_in(staff).get(f"/admin/pricing/ratecard/{card.pk}/simulation/", query)
    assert page.context["days"] == used
    assert ("days" in page.context["form"].errors) == (bool(query) and used == 14)
