"""Estimates: the price before the use, kept for a while, from meters or from a text; models side by side."""

from datetime import timedelta
from decimal import Decimal

import pytest

from pricing import estimates
from pricing.models import RateCard
from pricing.rates import lookup, rate_cards
from pricing.rates.validation import UsageInvalid
from tests.pricing.conftest import NOW, cost

USE = {"service": "echo", "action": "", "subject": "acct-1"}


@pytest.fixture
def tiny(load, write):
    load(write())


def estimate(**more):
    return estimates.estimate(service="echo", subject="acct-1", now=NOW, **{"usage": {"tokens": 500}, **more})


def dearer(now):
    card = rate_cards.copy_in_force(effective_at=now, source="staff", now=now)
    card.rates.filter(service__key="echo").update(multiplier=2)
    rate_cards.publish(card.pk, seen=rate_cards.fingerprint(rate_cards.rows_of(card.pk)), by="staff", now=now)


@pytest.mark.requirement("REFLY-13", "CORE-03")
def test_an_estimate_is_what_the_use_then_costs_and_changes_nothing(tiny):
    before = list(RateCard.objects.values())
    given = estimate(options={"quality": "high"})
    assert given.quote.credits == given.quote.maximum == 3
    assert given.quote.credits == cost("echo", options={"quality": "high"}, tokens=500)
    assert not given.quote.approximate
    assert list(RateCard.objects.values()) == before


def test_an_estimate_keeps_its_price_until_its_time_is_over(tiny):
    given = estimate()
    assert given.valid_until == NOW + timedelta(minutes=15)
    dearer(NOW + timedelta(minutes=1))
    last = given.valid_until - timedelta(microseconds=1)
    version = estimates.pinned_version(given.id, **USE, now=last)
    kept = lookup.price_use(service="echo", usage={"tokens": 500}, now=last, rate_version=version)
    assert (kept.credits, cost("echo", now=last, tokens=500)) == (Decimal("1.5"), 3)
    with pytest.raises(UsageInvalid) as refused:
        estimates.pinned_version(given.id, **USE, now=given.valid_until)
    assert (refused.value.field, refused.value.code) == ("estimate", "expired")


@pytest.mark.parametrize("other", [{"service": "paint"}, {"action": "paint"}, {"subject": "acct-2"}])
def test_an_estimate_is_good_for_its_own_account_and_use_only(tiny, other):
    with pytest.raises(UsageInvalid) as refused:
        estimates.pinned_version(estimate().id, **USE | other, now=NOW)
    assert refused.value.code == "other_use"


@pytest.mark.parametrize(
    "spoil",
    [lambda token: token[:-1] + "!", lambda token: "", lambda token: "x" * 500, lambda token: "\ud800"],
)
def test_a_forged_estimate_is_refused(tiny, spoil):
    with pytest.raises(UsageInvalid) as refused:
        estimates.pinned_version(spoil(estimate().id), **USE, now=NOW)
    assert refused.value.code == "invalid"


@pytest.mark.requirement("FLICK-07")
def test_a_text_is_estimated_and_said_to_be(tiny):
    given = estimate(usage=None, text="How many words are these? " * 20)
    assert given.quote.approximate
    assert 0 < given.quote.credits < given.quote.maximum
    longer = estimate(usage=None, text="How many words are these? " * 40)
    assert longer.quote.credits > given.quote.credits


def test_a_text_with_known_output_counts_that_output(tiny):
    short, long = (estimate(usage={"output_tokens": n}, text="Hello") for n in (10, 5000))
    assert long.quote.credits - short.quote.credits == Decimal("14.97")


@pytest.mark.parametrize("name", ["apinfer", "codeflicker", "flowly", "recraft", "refly"])
def test_every_service_can_be_estimated_from_a_text_or_says_what_it_needs(load, name):
    load(name)
    for facts in lookup.catalogue_cache.current().services.values():
        try:
            quoted = estimates.priced(service=facts.key, now=NOW, text="A fox in the snow")
        except UsageInvalid as refused:
            assert (refused.field, refused.code) == ("service", "model_required")
        else:
            assert quoted.approximate
            assert quoted.credits > 0 or facts.key == "prompt-enhancer"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("word " * 100, 75, 150), ("雪の中の狐" * 20, 60, 150), ("лиса в снегу " * 20, 60, 160), ("", 1, 1)],
)
def test_guessed_token_counts_are_near(text, least, most):
    likely, upper = estimates.tokens_of(text)
    assert least <= likely <= most
    assert upper >= likely


def test_models_are_compared_for_the_same_use_cheapest_first(load):
    load("refly")
    compared = estimates.compare(now=NOW, usage={"images": 3})
    assert [(one.service.name, one.quote.credits) for one in compared][:3] == [
        ("flux-schnell", 3),
        ("google / imagen-4-fast", 9),
        ("flux-dev", 12),
    ]
    assert len(compared) == 10
    credits = [one.quote.credits for one in compared]
    assert credits == sorted(credits)


def test_models_that_count_differently_are_compared_by_what_each_counts(load):
    load("recraft")
    videos = estimates.compare(now=NOW, usage={"images": 2, "uses": 3})
    by_name = {one.service.name: one.quote.credits for one in videos}
    assert by_name["Recraft V3"] == 2
    assert by_name["Seedance 1 Lite"] == 60
