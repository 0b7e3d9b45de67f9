"""LiteLLM's price map is imported as a draft card with a margin; it takes effect only when staff publish it.

The entries have the format of the map in the package litellm; the figures are made up.
"""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from pricing import selectors
from pricing.catalogue import litellm_prices, rate_cards
from pricing.models import RateCard, Service
from tests.pricing.conftest import NOW, cost

MAP = {
    "sample_spec": {"mode": "one of: chat", "input_cost_per_token": 0.0},
    "acme/chat-1": {
        "mode": "chat",
        "litellm_provider": "acme",
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "output_cost_per_reasoning_token": 2e-05,
        "cache_read_input_token_cost": 1.25e-06,
        "input_cost_per_image_token": 5e-06,
        "input_cost_per_token_above_200k_tokens": 5e-06,
    },
    "acme/paint": {"mode": "image_generation", "output_cost_per_image": 0.04, "input_cost_per_token": 1e-06},
    "acme/film": {"mode": "video_generation", "output_cost_per_second": 0.1},
    "acme/dub": {
        "mode": "video_generation",
        "input_cost_per_second": 0.05,
        "output_cost_per_second": 0.1,
    },
    "acme/hear": {
        "mode": "audio_transcription",
        "input_cost_per_second": 0.0001,
        "output_cost_per_second": 0.0,
    },
    "acme/listen": {
        "mode": "audio_transcription",
        "input_cost_per_token": 1e-06,
        "input_cost_per_audio_token": 6e-06,
        "output_cost_per_token": 1e-05,
    },
    "acme/say": {
        "mode": "audio_speech",
        "input_cost_per_character": 1.5e-05,
        "input_cost_per_token": 1e-06,
    },
    "acme/rank": {"mode": "rerank", "input_cost_per_query": 0.002, "input_cost_per_token": 0.0},
    "acme/free": {"mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "acme/pixels": {"mode": "image_generation", "input_cost_per_pixel": 1e-08},
    "acme/live": {"mode": "realtime", "input_cost_per_token": 1e-06},
    "acme/odd": {"mode": "chat", "input_cost_per_token": "cheap"},
    "acme/minus": {"mode": "chat", "input_cost_per_token": -1e-06},
    "ACME/CHAT-1": {"mode": "chat", "input_cost_per_token": 1e-06},
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "map.json"
    path.write_text(json.dumps(MAP))
    return str(path)


@pytest.fixture
def tiny(load, write):
    load(write())


def run(file, *arguments):
    output = StringIO()
    call_command("import_litellm_prices", file, "--credit-usd", "0.01", *arguments, stdout=output)
    return RateCard.objects.get(state="draft"), output.getvalue()


def publish(card, now):
    return rate_cards.publish(
        card.pk, seen=rate_cards.fingerprint(rate_cards.rows_of(card.pk)), by="staff", now=now
    )


def read(margin="0"):
    exact = json.loads(json.dumps(MAP), parse_float=Decimal)
    reading = litellm_prices.read(exact, credit_usd=Decimal("0.01"), margin=Decimal(margin))
    return {mapped.model: mapped for mapped in reading.mapped}, reading.left_out


def figures(mapped):
    return {line.meter: (line.credits, line.per) for line in mapped.lines}


def test_each_kind_of_price_is_mapped_to_its_meter():
    mapped, _left_out = read()
    million = 1_000_000
    assert figures(mapped["acme/chat-1"]) == {
        "input_tokens": (Decimal(250), million),
        "cached_input_tokens": (Decimal(125), million),
        "image_tokens": (Decimal(500), million),
        "output_tokens": (Decimal(2000), million),  # the higher one: reasoning tokens are output too
    }
    assert figures(mapped["acme/paint"]) == {"images": (Decimal(4), 1)}
    assert figures(mapped["acme/film"]) == {"seconds": (Decimal(10), 1)}
    assert figures(mapped["acme/dub"]) == {"seconds": (Decimal(15), 1)}, "what is read and what is made"
    assert figures(mapped["acme/hear"]) == {"seconds": (Decimal("0.01"), 1)}
    assert figures(mapped["acme/listen"]) == {
        "input_tokens": (Decimal(600), million),
        "output_tokens": (Decimal(1000), million),
    }
    assert figures(mapped["acme/say"]) == {"characters": (Decimal(1500), million)}
    assert figures(mapped["acme/rank"]) == {"uses": (Decimal("0.2"), 1)}


def test_a_margin_is_added_and_rounding_never_goes_below_cost():
    exact = {"thin": {"mode": "video_generation", "output_cost_per_second": Decimal("0.00000001")}}
    (thin,) = litellm_prices.read(exact, credit_usd=Decimal(3), margin=Decimal(0)).mapped
    assert thin.lines[0].credits == Decimal("0.000001")
    mapped, _left_out = read(margin="0.25")
    assert figures(mapped["acme/film"]) == {"seconds": (Decimal("12.5"), 1)}


def test_skipped_entries_are_listed_with_the_reason():
    _mapped, left_out = read()
    reasons = {line.partition(": ")[0]: line.partition(": ")[2] for line in left_out}
    assert "no price above zero" in reasons["acme/free"]
    assert "input_cost_per_pixel" in reasons["acme/pixels"]
    assert reasons["acme/live"] == "mode realtime has no meter"
    assert reasons["acme/odd"] == "'cheap' is no price"
    assert "is no price" in reasons["acme/minus"]
    assert reasons["ACME/CHAT-1"] == "the key acme-chat-1 is taken by acme/chat-1"
    assert "1 models (acme/chat-1" in reasons["input_cost_per_token_above_200k_tokens"]
    assert "sample_spec" not in reasons


def test_the_import_is_a_draft_that_changes_nothing(tiny, file):
    card, output = run(file, "--match", "echo=acme/chat-1")
    assert "1 services repriced, 7 new ones" in output and "acme/free" in output
    assert cost("echo", tokens=1000) == 3
    assert {service.facts.key for service in selectors.services(now=NOW)} == {"echo", "paint"}
    assert any("acme/free" in problem for problem in card.problems)
    assert card.rates.get(service__key="paint").cost_of_model, (
        "services that the map does not name are unchanged"
    )


def test_a_published_import_prices_old_and_new_services(tiny, file):
    card, _output = run(file, "--match", "echo=acme/chat-1", "--margin", "1")
    later = card.effective_at + timedelta(minutes=1)
    publish(card, later)
    assert cost("echo", now=later, input_tokens=1000, output_tokens=0) == Decimal("0.5")
    assert cost("acme-film", now=later, seconds=2) == 40
    assert "acme-film" in {service.facts.key for service in selectors.services(now=later)}


def test_an_imported_service_is_kept_when_the_file_changes_and_retired_with_the_product(
    tiny, file, load, write
):
    card, _output = run(file)
    later = card.effective_at + timedelta(minutes=1)
    publish(card, later)
    load(write(("credits = 3", "credits = 4")), now=later)
    assert cost("echo", tokens=1000, now=later) == 4
    assert cost("acme-film", now=later, seconds=1) == 10
    load("apinfer", now=later)
    assert Service.objects.get(key="acme-film").retired_at == later


def test_a_negative_margin_cannot_be_published(tiny, file):
    card, _output = run(file, "--margin", "-0.1")
    with pytest.raises(rate_cards.CardNotPublishable, match="below cost"):
        publish(card, NOW)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--credit-usd", "0"], "above 0"),
        (["--credit-usd", "NaN"], "no number"),
        (["--credit-usd", "1", "--margin", "a lot"], "no number"),
        (["--credit-usd", "1", "--margin", "-1"], "above -1"),
        (["--credit-usd", "1", "--match", "echo"], "SERVICE=MODEL"),
    ],
)
def test_invalid_arguments_are_refused_with_a_message(tiny, file, arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("import_litellm_prices", file, *arguments)
    assert not RateCard.objects.filter(state="draft").exists()


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_an_error_names_a_file_that_is_not_a_price_map(tiny, tmp_path, content):
    path = tmp_path / "no-map.json"
    path.write_text(content)
    with pytest.raises(CommandError, match=r"no-map\.json"):
        call_command("import_litellm_prices", str(path), "--credit-usd", "1")
