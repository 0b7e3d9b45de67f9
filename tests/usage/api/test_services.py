"""GET /services and POST /estimates: services with their prices, and the price of a use."""

from typing import Any

import pytest

from accounts.models import Account
from billing.models import Entry
from tests.usage.api.conftest import use


def test_every_service_is_listed_with_its_price(api: Any) -> None:
    page = api.get("services", limit="100").json()
    services = {service["key"]: service for service in page["data"]}
    sonnet = services["claude-sonnet-4"]
    assert (sonnet["name"], sonnet["modality"], sonnet["kind"]) == ("Claude Sonnet 4", "text", "model")
    assert {"tags", "tier", "speed", "usage_class", "best_for", "lines", "options", "rate"} <= set(sonnet)
    [line] = sonnet["lines"]
    assert (line["meter"], line["credits"], line["per"]) == ("tokens", "11", 5000)
    assert api.get("services/claude-sonnet-4").json() == sonnet
    assert page["has_more"] is False


def test_the_list_of_services_is_paginated_and_filtered(api: Any) -> None:
    everything = [service["key"] for service in api.get("services", limit="100").json()["data"]]
    page = api.get("services", limit="20").json()
    seen = [service["key"] for service in page["data"]]
    while page["has_more"]:
        page = api.get("services", limit="20", cursor=page["next_cursor"]).json()
        seen += [service["key"] for service in page["data"]]
    assert seen == everything
    images = api.get("services", limit="100", modality="image").json()["data"]
    assert {service["modality"] for service in images} == {"image"}
    assert len(images) == 10


def test_an_unknown_service_is_404(api: Any) -> None:
    response = api.get("services/no-such")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_service")


@pytest.mark.requirement("REFLY-13")
def test_an_estimate_returns_the_price_and_changes_nothing(api: Any, account: Account) -> None:
    entries = Entry.objects.count()
    response = api.post("estimates", use(2500))
    estimate = response.json()
    assert response.status_code == 200
    assert {*("id", "credits", "maximum", "lines", "rate", "available", "sufficient", "valid_until")} <= set(
        estimate
    )
    assert (estimate["credits"], estimate["maximum"]) == ("5.5", "5.5")
    assert (estimate["available"], estimate["sufficient"]) == ("100", True)
    assert estimate["lines"][0]["credits"] == "5.5"
    assert estimate["approximate"] is False
    assert api.post("estimates", use(50_000)).json()["sufficient"] is False
    assert Entry.objects.count() == entries
    assert api.get("charges").json()["data"] == []


@pytest.mark.requirement("REFLY-13")
def test_an_estimate_from_a_text_is_marked_approximate(api: Any) -> None:
    estimate = api.post("estimates", {"service": "claude-sonnet-4", "text": "Tell me a story. " * 20}).json()
    assert estimate["approximate"] is True
    assert float(estimate["maximum"]) >= float(estimate["credits"]) > 0


def test_an_estimate_counts_only_credits_that_cover_the_service(api: Any, account: Account) -> None:
    from tests.usage.api.conftest import give

    give(account, "30", kind="bonus", services=["tag:multimodal"])
    assert api.post("estimates", use()).json()["available"] == "100"
    video = api.post("estimates", {"service": "audio-ldm", "usage": {"uses": 1}}).json()
    assert video["available"] == "130"


def test_an_estimate_of_an_invalid_use_names_the_error(api: Any) -> None:
    assert api.post("estimates", use() | {"service": "none"}).json()["code"] == "unknown_service"
    assert api.post("estimates", use(-1)).json()["errors"][0]["field"] == "usage.tokens"
    assert api.post("estimates", {}).json()["errors"][0]["field"] == "service"
