"""The figures of Apinfer, CodeFlicker, Flowly and Recraft, copied from their pages."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client

from pricing import lookup, selectors
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Pack
from pricing.rates.validation import UsageInvalid
from tests.pricing.conftest import NOW, cost
from tests.some import some

RECRAFT = [
    ("Extract prompt", 1),
    ("Creative upscale", 20),
    ("Crisp upscale", 1),
    ("Erase area", 1),
    ("Generate a mockup", 2),
    ("Modify area / Outpaint", "model"),
    ("Mockupize", 2),
    ("Generate mockup", 2),
    ("Generate image from prompt", "model"),
    ("Generate image set", "model"),
    ("Remove background", 1),
    ("Vectorization", 1),
    ("Remix", "model"),
    ("Replace background", "model"),
    ("Image Editing", "model"),
    ("Generate image variations", "model"),
    ("Exploration", 2),
    ("Generate a video from a prompt", "model"),
    ("Generate a video from frames and a prompt", "model"),
    ("Upscale with external models", "model"),
    ("Prompt enhancer", 0),
]


@pytest.mark.requirement("APIN-01")
def test_apinfer_sells_its_three_packs_and_marks_the_second(load):
    load("apinfer")
    packs = {(pack.credits, pack.prices["cny"], pack.popular) for pack in Pack.objects.all()}
    assert packs == {(100, 1000, False), (5000, 5000, True), (50000, 50000, False)}


@pytest.mark.requirement("APIN-09")
def test_apinfer_packs_never_expire(load):
    load("apinfer")
    assert set(Pack.objects.values_list("lasts", flat=True)) == {"forever"}


@pytest.mark.requirement("APIN-04", "APIN-05")
@pytest.mark.parametrize("resolution", ["512x512", "1024x1024", "4096x2160", "any"])
@pytest.mark.parametrize(("quality", "credits"), [("standard", "1.75"), ("high", "2.625"), ("ultra", "3.5")])
def test_quality_changes_qwen_images_price_and_resolution_does_not(load, resolution, quality, credits):
    load("apinfer")
    options = {"quality": quality, "resolution": resolution}
    assert cost("qwen-image", options=options, images=1) == Decimal(credits)
    assert cost("qwen-image", options=options, images=4) == 4 * Decimal(credits)


@pytest.mark.requirement("APIN-05")
def test_the_price_of_each_apinfer_model_is_within_its_tier(load):
    load("apinfer")
    ranges = {"basic": ("0.1", "1"), "standard": ("1", "5"), "premium": ("5", "20")}
    services = selectors.services(now=NOW)
    assert {service.facts.tier for service in services} == set(ranges)
    for service in services:
        least, most = map(Decimal, ranges[service.facts.tier])
        assert least <= cost(service.facts.key, images=1) <= most


@pytest.mark.requirement("RECR-01")
def test_recraft_has_the_21_actions_in_order(load):
    load("recraft")
    assert [service.facts.name for service in selectors.services(now=NOW, kind="action")] == [
        name for name, _ in RECRAFT
    ]


@pytest.mark.requirement("RECR-01")
def test_the_price_list_has_separate_parts_for_models_and_actions(load):
    load("recraft")
    page = Client().get("/pricing/").content.decode()
    headings = re.findall(r'<h2 id="kind-[0-9]+">([^<]+)</h2>', page)
    assert len(headings) == len(set(headings)), "one part for each kind"
    assert headings[-1].endswith(": actions") and not headings[0].endswith(": actions")


@pytest.mark.requirement("RECR-01")
@pytest.mark.parametrize(("name", "credits"), [pair for pair in RECRAFT if pair[1] != "model"])
def test_a_recraft_action_with_a_figure_costs_it(load, name, credits):
    load("recraft")
    (action,) = [
        service for service in selectors.services(now=NOW, kind="action") if service.facts.name == name
    ]
    assert cost(action.facts.key, uses=1) == credits
    assert cost(action.facts.key, uses=3) == 3 * credits


@pytest.mark.requirement("RECR-01")
@pytest.mark.parametrize("name", [pair[0] for pair in RECRAFT if pair[1] == "model"])
def test_a_recraft_action_with_a_star_costs_what_its_model_costs(load, name):
    load("recraft")
    (action,) = [
        service for service in selectors.services(now=NOW, kind="action") if service.facts.name == name
    ]
    models = selectors.services(now=NOW, kind="model", modality=action.facts.modality)
    assert len({model.rate.lines for model in models}) > 1, "models of different prices"
    for model in models:
        alone = cost(model.facts.key, uses=2)
        assert alone > 0
        assert cost(model.facts.key, action=action.facts.key, uses=2) == alone
    with pytest.raises(UsageInvalid) as refused:
        cost(action.facts.key, uses=1)
    assert (refused.value.field, refused.value.code) == ("service", "model_required")


@pytest.mark.requirement("RECR-01")
def test_a_recraft_use_may_be_paid_by_credits_limited_to_model_or_action(load):
    load("recraft")
    quote = lookup.price_use(service="recraft-v3", action="image-editing", usage={"images": 1}, now=NOW)
    assert quote.credits == 1
    assert quote.covers == ("recraft-v3", "tag:image", "image-editing", "tag:action")


@pytest.mark.requirement("RECR-06", "RECR-03")
def test_recraft_sells_four_packs_to_paid_plans_only_that_never_expire(load):
    load("recraft")
    packs = list(Pack.objects.all())
    assert {pack.credits for pack in packs} == {200, 800, 1000, 1600}
    assert all(pack.paid_plans_only and pack.lasts == "forever" for pack in packs)


@pytest.mark.requirement("RECR-02")
def test_recrafts_free_credits_renew_daily_and_paid_ones_monthly(load):
    load("recraft")
    for plan in some(selectors.plans()):
        assert [allowance["period"] for allowance in plan.allowances] == ["day" if plan.free else "month"]
        assert all(allowance["lasts"] == "period" for allowance in plan.allowances)


@pytest.mark.requirement("FLOW-06")
def test_flowlys_models_have_speed_credit_usage_and_best_use(load):
    load("flowly")
    shown = [
        (service.facts.name, service.facts.speed, service.facts.usage_class, service.facts.best_for)
        for service in selectors.services(now=NOW)
    ]
    assert shown == [
        ("Claude Sonnet 4.5", "Fast", "Medium", "Most tasks"),
        ("Claude Haiku 4.5", "Very Fast", "Low", "Quick responses"),
        ("MiniMax M2.1", "Fast", "Low", "General chat"),
        ("Kimi K2.5", "Medium", "Medium", "Complex tasks"),
    ]


@pytest.mark.requirement("FLOW-01")
def test_a_flowly_message_costs_by_model_and_length(load):
    load("flowly")
    short, long = ({"input_tokens": size, "output_tokens": 100} for size in (200, 2000))
    assert cost("claude-sonnet-4.5", **short) < cost("claude-sonnet-4.5", **long)
    assert cost("claude-haiku-4.5", **long) < cost("claude-sonnet-4.5", **long)


@pytest.mark.requirement("FLOW-02")
def test_flowly_accepts_api_keys_of_five_providers(load):
    load("flowly")
    names = [provider.name for provider in catalogue_cache.current().policies.providers]
    assert names == ["OpenRouter", "OpenAI", "Anthropic", "Moonshot", "Z.AI"]


@pytest.mark.requirement("FLICK-01")
def test_codeflicker_counts_input_image_and_output_tokens(load):
    load("codeflicker")
    whole = cost("gemini-2.5-pro", input_tokens=1000, image_tokens=1000, output_tokens=1000)
    assert whole == cost("gemini-2.5-pro", input_tokens=1000, output_tokens=0) + cost(
        "gemini-2.5-pro", input_tokens=0, image_tokens=1000, output_tokens=0
    ) + cost("gemini-2.5-pro", input_tokens=0, output_tokens=1000)
    assert cost("gemini-2.5-pro", input_tokens=0, cached_input_tokens=1000, output_tokens=0) < cost(
        "gemini-2.5-pro", input_tokens=1000, output_tokens=0
    )


@pytest.mark.requirement("FLICK-02")
def test_a_codeflicker_model_multiplies_the_base_and_a_new_multiplier_starts_at_its_date(load):
    load("codeflicker")
    use = {"input_tokens": 4000, "output_tokens": 1000}
    base = cost("gemini-2.5-pro", **use)
    assert base == 4
    before, after = datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    assert cost("gpt-5", now=before, **use) == base * Decimal("1.5")
    assert cost("gpt-5", now=after, **use) == base * Decimal("1.25")
    quote = lookup.price_use(service="gpt-5", usage=use, now=NOW)
    assert {name: str(factor) for name, factor in quote.lines[0].multipliers.items()} == {
        "service=gpt-5": "1.250000"
    }


@pytest.mark.requirement("FLICK-03", "FLICK-09")
def test_codeflickers_free_quota_is_granted_once_and_paid_plans_carry_over(load):
    load("codeflicker")
    free = selectors.free_plan()
    assert [(allowance["period"], allowance["lasts"]) for allowance in free.allowances] == [
        ("once", "1 month")
    ]
    assert catalogue_cache.current().policies.free_plan_once_per_address
    assert [(plan.name, plan.carry_over) for plan in selectors.plans() if plan.paid] == [
        ("Pro", True),
        ("Pro+", True),
    ]
