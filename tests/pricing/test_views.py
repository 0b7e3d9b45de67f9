"""The public price pages, with and without JavaScript."""

import re

import pytest
from django.utils import timezone

from core.amounts import plain
from pricing import selectors
from pricing.catalogue import loading
from tests.some import some

HTMX = {"HX-Request": "true"}


@pytest.fixture
def load(db):
    """Load a catalogue at the current time of the requests."""
    return lambda name: loading.load(name, now=timezone.now())


@pytest.fixture(autouse=True)
def refly(load, settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    load("refly")


def text_of(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_a_visitor_sees_every_service_with_its_price(client):
    page = text_of(client.get("/pricing/"))
    assert "Claude Opus 4" in page and "~53 credits per 5,000 tokens" in page
    assert "bytedance / seedance-1-lite" in page and "~9.8 credits per second" in page
    assert "~10 credits per use" in page and "~1 credit per image" in page


@pytest.mark.parametrize(
    ("query", "included", "excluded"),
    [
        ("q=claude", "Claude Opus 4", "Kimi K2"),
        ("q=CLAUDE+opus", "Claude Opus 4", "Claude Sonnet 4"),
        ("modality=video", "Veo 3", "Kimi K2"),
        ("tag=multimodal", "flux-dev", "Kimi K2"),
        ("tag=core&q=qwen", "Qwen3 Coder", "Claude Opus 4"),
    ],
)
def test_the_list_is_searched_and_filtered_with_and_without_script(client, query, included, excluded):
    whole = client.get(f"/pricing/?{query}").content.decode()
    rows = whole[whole.index('id="service-list"') :]
    part = client.get(f"/pricing/?{query}", headers=HTMX).content.decode()
    assert "<html" in whole and "<html" not in part
    for shown in (rows, part):
        assert included in shown and excluded not in shown


def test_a_search_without_results_offers_to_clear_the_filters(client):
    page = text_of(client.get("/pricing/?q=nothing+like+this"))
    assert "No matching services" in page and "Clear filters" in page


@pytest.mark.parametrize("query", ["modality=nope", "tag=%00", "q=" + "x" * 5000, "page=-1"])
def test_invalid_filters_are_ignored(client, query):
    assert client.get(f"/pricing/?{query}").status_code == 200


@pytest.mark.requirement("REFLY-13")
def test_the_estimator_works_with_and_without_script(client):
    whole = client.get("/pricing/estimate/?service=claude-sonnet-4&tokens=2500")
    part = client.get("/pricing/estimate/?service=claude-sonnet-4&tokens=2500", headers=HTMX)
    assert "<html" in whole.content.decode() and "<html" not in part.content.decode()
    for answer in (whole, part):
        assert "2,500 tokens ÷ 5,000 × 11 = 5.5" in text_of(answer)


@pytest.mark.requirement("REFLY-13")
def test_every_service_has_an_estimate_on_its_page(client):
    from pricing.catalogue import cache as catalogue_cache

    for key, facts in some(catalogue_cache.current().services.items()):
        page = text_of(client.get(f"/pricing/{key}/"))
        assert facts.name in page and "Estimated cost" in page


def test_the_estimator_explains_an_invalid_quantity(client):
    page = text_of(client.get("/pricing/estimate/?service=veo-3&seconds=-1"))
    assert "greater than or equal to 0" in page and "Estimated cost" not in page
    assert "cannot be negative" not in page
    nothing = text_of(client.get("/pricing/estimate/?service=veo-3&seconds=0"))
    assert "Every quantity is zero" in nothing


def test_the_estimator_marks_the_estimate_of_a_text_as_approximate(client):
    page = text_of(client.get("/pricing/estimate/", {"service": "gpt-4o", "text": "Tell me about foxes."}))
    assert "Approximate cost" in page and "At most" in page


def test_an_action_is_estimated_with_the_selected_model(client, load):
    load("recraft")
    page = text_of(client.get("/pricing/estimate/?service=remix&model=gpt-image-1&images=2"))
    assert "2 images × 10 = 20" in page


def test_options_multiply_in_the_estimator(client, load):
    load("apinfer")
    page = text_of(client.get("/pricing/estimate/?service=qwen-image&images=2&option-quality=high"))
    assert "2 images × 1.75 × 1.5 (quality: high) = 5.25" in page
    assert "No effect on the price" in text_of(client.get("/pricing/qwen-image/"))


@pytest.mark.requirement("APIN-05")
def test_tiers_are_shown_and_can_be_chosen(client, load):
    load("apinfer")
    page = client.get("/pricing/?tier=premium", headers=HTMX).content.decode()
    assert "Premium" in page and "GPT Image 1" in page and "Qwen-Image" not in page


@pytest.mark.requirement("APIN-05", "APIN-15", "APIN-04")
def test_the_price_list_explains_tiers_quality_and_resolution(client, load):
    load("apinfer")
    notes = text_of(client.get("/pricing/"))
    notes = notes[notes.index("What changes the price") :]
    assert "Basic models 0.1–1 credits per use" in notes
    assert "Standard models 1–5 credits per use" in notes
    assert "Premium models 5–20 credits per use" in notes
    assert "Quality Standard ×1, High ×1.5, Ultra ×2" in notes
    assert "Resolution Any resolution, no effect on the price" in notes


@pytest.mark.requirement("REFLY-20")
def test_only_a_product_that_calls_its_prices_estimates_marks_them(client, load):
    assert "~11 credits per 5,000 tokens" in text_of(client.get("/pricing/claude-sonnet-4/"))
    assert "Long-image interpretation" in text_of(client.get("/pricing/"))
    load("apinfer")
    assert "~" not in text_of(client.get("/pricing/"))


@pytest.mark.requirement("FLICK-11")
def test_the_model_list_shows_the_multiplier_of_each_model(client, load):
    assert "Multiplier" not in text_of(client.get("/pricing/"))
    load("codeflicker")
    models = [service for service in selectors.services(now=timezone.now()) if service.facts.kind == "model"]
    assert {plain(model.rate.multiplier) for model in models} >= {"0.4", "1", "10"}
    page = client.get("/pricing/").content.decode()
    for model in some(models):
        row = page[page.index(f'href="/pricing/{model.facts.key}/"') :].partition("</tr>")[0]
        assert f"Multiplier ×{plain(model.rate.multiplier)}<" in row
        assert (
            f"×{plain(model.rate.multiplier)}<" in client.get(f"/pricing/{model.facts.key}/").content.decode()
        )


@pytest.mark.requirement("RECR-09")
def test_an_action_with_the_price_of_its_model_shows_the_lowest_price_with_a_mark(client, load):
    load("recraft")
    page = text_of(client.get("/pricing/"))
    assert page.count("from 1 credit*") == 8  # actions with images
    assert page.count("from 20 credits*") == 2  # videos
    assert "* Costs what the model that you select costs." in page
    assert "from 1 credit*" in text_of(client.get("/pricing/remix/"))


@pytest.mark.requirement("FLOW-06")
def test_the_list_shows_speed_credit_usage_and_use(client, load):
    load("flowly")
    page = text_of(client.get("/pricing/"))
    row = page[page.index("Claude Haiku 4.5", page.index("Price")) :]
    assert row.index("Quick responses") < row.index("Speed: Very Fast") < row.index("Credit usage: Low")


def test_models_are_compared_cheapest_first(client):
    page = text_of(client.get("/pricing/compare/?modality=image&images=2"))
    assert page.index("flux-schnell") < page.index("google / imagen-4-fast") < page.index("recraft-v3-svg")
    part = client.get("/pricing/compare/?modality=image&images=2", headers=HTMX).content.decode()
    assert "<html" not in part and "flux-schnell" in part
    assert "Nothing to compare" in text_of(client.get("/pricing/compare/?modality=image&images=0"))


def test_models_are_compared_for_a_text(client):
    page = text_of(
        client.get("/pricing/compare/", {"modality": "text", "text": "Tell me about foxes. " * 20})
    )
    assert page.index("DeepSeek V3 0324") < page.index("Claude Opus 4")


def test_a_long_list_is_truncated_with_a_note(client, monkeypatch):
    from pricing import views

    monkeypatch.setattr(views, "LISTED", 10)
    page = text_of(client.get("/pricing/"))
    assert "25 more services" in page
    assert "Veo 3" in text_of(client.get("/pricing/?q=veo"))


def test_unknown_services_are_not_found(client):
    assert client.get("/pricing/nope/").status_code == 404
    assert client.get("/pricing/estimate/?service=nope").status_code == 404
    assert client.get("/pricing/estimate/").status_code == 404
    assert client.post("/pricing/").status_code == 405


def test_an_installation_without_a_catalogue_shows_a_message(client):
    from pricing import models
    from pricing.catalogue import cache as catalogue_cache

    models.Catalogue.objects.all().delete()
    models.Service.objects.update(retired_at="2026-01-01T00:00:00Z")
    catalogue_cache.forget()
    assert "No prices yet" in text_of(client.get("/pricing/"))
    assert client.get("/pricing/compare/").status_code == 200


def test_the_estimated_sum_names_the_model_and_leaves_out_what_is_not_used(client, load):
    load("codeflicker")
    text = client.get("/pricing/kat-coder/").content.decode()
    assert "2,000 input tokens ÷ 1,000 × 0.5 × 0.4 (KAT-Coder) = 0.4" in text
    assert "image tokens ÷" not in text and "service=" not in text
