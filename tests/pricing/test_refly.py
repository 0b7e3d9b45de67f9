"""Refly's figures, copied from its page and compared with the price of a use of each service."""

from decimal import Decimal

import pytest

from pricing import lookup, selectors
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan
from tests.pricing.conftest import NOW, cost

TEXT = {
    "Claude Sonnet 4": 11,
    "Claude Opus 4": 53,
    "Claude 3.7 Sonnet (thinking)": 11,
    "Kimi K2": 2,
    "GPT-4o": 7,
    "GPT-4.1": 6,
    "Gemini 2.5 Pro": 7,
    "Gemini 2.5 Flash": 2,
    "DeepSeek V3 0324": 1,
    "DeepSeek R1 0528": 2,
    "Grok 4": 10,
    "Qwen3 Coder": 3,
}
IMAGE = {
    "Flux 1.1 pro ultra": 9,
    "Flux 1.1 pro": 6,
    "flux-dev": 4,
    "flux-schnell": 1,
    "recraft-v3": 6,
    "recraft-v3-svg": 12,
    "google / imagen-4": 6,
    "google / imagen-4-fast": 3,
    "google / imagen-4-ultra": 9,
    "doubao-Seedream-3.0-t2i": 6,
}
VIDEO = {
    "Veo 3 Fast (Audio)": "448",
    "Veo 3": "840",
    "bytedance / seedance-1-pro": "14",
    "bytedance / seedance-1-lite": "9.8",
    "kwaivgi / kling-v2.1-master": "196",
}
AUDIO = {"suno-ai/bark": 10, "lucataco/ace-step": 1, "haoheliu/audio-Idm": 10}
EARLY_BIRD = {
    "Claude Sonnet 4",
    "Claude 3.7 Sonnet (thinking)",
    "Kimi K2",
    "GPT-4o",
    "GPT-4.1",
    "Gemini 2.5 Pro",
    "Gemini 2.5 Flash",
    "DeepSeek V3 0324",
    "DeepSeek R1 0528",
    "Grok 4",
    "Qwen3 Coder",
}


@pytest.fixture(autouse=True)
def refly(load):
    load("refly")


def key_of(name):
    services = catalogue_cache.current().services.values()
    return next(service.key for service in services if service.name == name)


def named(modality):
    return {service.facts.name for service in selectors.services(now=NOW, modality=modality)}


@pytest.mark.requirement("REFLY-14")
@pytest.mark.parametrize(("name", "credits"), TEXT.items())
def test_a_text_model_costs_its_figure_for_5000_tokens_and_its_share_for_fewer(name, credits):
    service = key_of(name)
    assert cost(service, tokens=5000) == credits
    assert cost(service, tokens=2500) == Decimal(credits) / 2
    assert cost(service, input_tokens=2000, output_tokens=500) == Decimal(credits) / 2
    assert cost(service, tokens=1) == Decimal(credits) / 5000


@pytest.mark.requirement("REFLY-14")
def test_half_of_5000_tokens_of_an_11_credit_model_cost_5_and_a_half():
    quote = lookup.price_use(service="claude-sonnet-4", usage={"tokens": 2500}, now=NOW)
    assert quote.lines_as_json() == [
        {
            "meter": "tokens",
            "quantity": 2500,
            "unit_credits": "11",
            "per": 5000,
            "multipliers": {},
            "credits": "5.5",
        }
    ]


@pytest.mark.requirement("REFLY-15")
@pytest.mark.parametrize(("name", "credits"), IMAGE.items())
def test_an_image_model_costs_its_figure_for_each_image(name, credits):
    assert cost(key_of(name), images=1) == credits
    assert cost(key_of(name), images=7) == 7 * credits


@pytest.mark.requirement("REFLY-16")
@pytest.mark.parametrize(("name", "credits"), VIDEO.items())
def test_a_video_model_costs_its_figure_for_each_second_exactly(name, credits):
    assert cost(key_of(name), seconds=1) == Decimal(credits)
    assert cost(key_of(name), seconds=3) == Decimal(credits) * 3
    assert cost(key_of(name), seconds=Decimal("0.1")) == Decimal(credits) / 10


@pytest.mark.requirement("REFLY-17")
@pytest.mark.parametrize(("name", "credits"), AUDIO.items())
def test_an_audio_model_costs_its_figure_for_each_use(name, credits):
    assert cost(key_of(name), uses=1) == credits


def test_the_lists_are_complete():
    assert named("text") == set(TEXT)
    assert named("image") == set(IMAGE)
    assert named("video") == set(VIDEO)
    assert named("audio") == set(AUDIO)


@pytest.mark.requirement("REFLY-19")
@pytest.mark.parametrize("name", ["File upload", "Document question", "Workflow run", "Agent run"])
def test_uploads_questions_workflows_and_agents_can_be_charged(name):
    assert cost(key_of(name), uses=1) > 0


@pytest.mark.requirement("REFLY-10")
def test_early_bird_includes_exactly_the_eleven_core_models():
    early_bird = Plan.objects.get(key="early-bird")
    services = catalogue_cache.current().services
    assert {services[key].name for key in early_bird.unlimited_services} == EARLY_BIRD
    assert early_bird.legacy and early_bird.badge


@pytest.mark.requirement("REFLY-08")
@pytest.mark.parametrize(("key", "credits"), [("plus", 700), ("pro", 1300), ("max", 2000)])
def test_legacy_plans_keep_their_monthly_credits_and_are_closed_to_new_members(key, credits):
    plan = Plan.objects.get(key=key)
    assert [(allowance["period"], Decimal(allowance["credits"])) for allowance in plan.allowances] == [
        ("month", credits)
    ]
    assert plan.legacy and plan.prices["month"] and not plan.open_to_new_members


@pytest.mark.requirement("REFLY-02", "REFLY-06")
def test_each_current_paid_plan_has_a_daily_refresh_and_a_limited_monthly_bonus():
    paid = [plan for plan in selectors.plans() if plan.paid and not plan.legacy]
    assert paid
    for plan in paid:
        by_kind = {allowance["kind"]: allowance for allowance in plan.allowances}
        assert by_kind["daily"]["period"] == "day"
        assert by_kind["bonus"]["period"] == "month"
        assert by_kind["bonus"]["services"] == ["tag:advanced", "tag:multimodal"]


@pytest.mark.requirement("REFLY-18")
def test_the_free_trial_gives_100_credits_a_day_and_counts_100_files():
    plan = selectors.free_plan()
    assert [
        (allowance["kind"], allowance["period"], Decimal(allowance["credits"]))
        for allowance in plan.allowances
    ] == [("daily", "day", 100)]
    assert [(quota["key"], quota["maximum"]) for quota in plan.quotas] == [("files", 100)]
    upload = lookup.price_use(service="file-upload", usage={"uses": 3}, now=NOW)
    assert upload.counts == ("files", 3)
    assert upload.credits * 101 / 3 < 100, (
        "the daily credits of the trial must suffice to reach the limit of 100 files"
    )


def test_assumed_figures_are_marked_in_the_file():
    assert Plan.objects.get(key="starter").assumed
    assert not Plan.objects.get(key="free-trial").assumed
    assert catalogue_cache.current().policies.referral.assumed
