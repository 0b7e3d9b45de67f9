"""Estimates from meters or from a text, with a price valid for some minutes; comparison of models."""

from datetime import timedelta
from decimal import Decimal

import pytest

from pricing import estimates, lookup
from pricing.catalogue import rate_cards
from pricing.models import RateCard
from pricing.rates.validation import UsageInvalid
from tests.pricing.conftest import NOW, cost
from tests.some import some

USE = {"service": "echo", "action": "", "subject": "acct-1"}


@pytest.fixture
def tiny(load, write):
    load(write())


def estimate(**more):
    terms = {"service": "echo", "subject": "acct-1", "now": NOW, "usage": {"tokens": 500}}
    return estimates.estimate(**terms | more)


def double_the_price(now):
    card = rate_cards.copy_in_force(effective_at=now, source="staff", now=now)
    card.rates.filter(service__key="echo").update(multiplier=2)
    rate_cards.publish(card.pk, seen=rate_cards.fingerprint(rate_cards.rows_of(card.pk)), by="staff", now=now)


@pytest.mark.requirement("REFLY-13", "CORE-03")
def test_an_estimate_equals_the_price_of_the_use_and_changes_nothing(tiny):
    before = list(RateCard.objects.values())
    quoted = estimate(options={"quality": "high"})
    assert quoted.quote.credits == quoted.quote.maximum == 3
    assert quoted.quote.credits == cost("echo", options={"quality": "high"}, tokens=500)
    assert not quoted.quote.approximate
    assert list(RateCard.objects.values()) == before


def test_an_estimate_keeps_its_price_until_it_expires(tiny):
    quoted = estimate(now=NOW + timedelta(seconds=0.9))
    assert quoted.valid_until == NOW + timedelta(minutes=15), "what is shown, in whole seconds, is what holds"
    double_the_price(NOW + timedelta(minutes=1))
    last = quoted.valid_until - timedelta(microseconds=1)
    version = estimates.pinned_version(quoted.id, **USE, now=last)
    priced = lookup.price_use(service="echo", usage={"tokens": 500}, now=last, rate_version=version)
    assert (priced.credits, cost("echo", now=last, tokens=500)) == (Decimal("1.5"), 3)
    with pytest.raises(UsageInvalid) as refused:
        estimates.pinned_version(quoted.id, **USE, now=quoted.valid_until)
    assert (refused.value.field, refused.value.code) == ("estimate", "expired")


@pytest.mark.parametrize("other", [{"service": "paint"}, {"action": "paint"}, {"subject": "acct-2"}])
def test_an_estimate_is_valid_only_for_its_account_and_use(tiny, other):
    with pytest.raises(UsageInvalid) as refused:
        estimates.pinned_version(estimate().id, **USE | other, now=NOW)
    assert refused.value.code == "other_use"


@pytest.mark.parametrize(
    "forge",
    [lambda token: token[:-1] + "!", lambda token: "", lambda token: "x" * 500, lambda token: "\ud800"],
)
def test_a_forged_estimate_is_refused(tiny, forge):
    with pytest.raises(UsageInvalid) as refused:
        estimates.pinned_version(forge(estimate().id), **USE, now=NOW)
    assert refused.value.code == "invalid"


@pytest.mark.requirement("FLICK-07")
def test_an_estimate_from_a_text_is_marked_as_approximate(tiny):
    quoted = estimate(usage=None, text="How many words are these? " * 20)
    assert quoted.quote.approximate
    assert 0 < quoted.quote.credits < quoted.quote.maximum
    longer = estimate(usage=None, text="How many words are these? " * 40)
    assert longer.quote.credits > quoted.quote.credits


def test_a_given_output_is_used_with_a_text(tiny):
    short, long = (estimate(usage={"output_tokens": n}, text="Hello") for n in (10, 5000))
    assert long.quote.credits - short.quote.credits == Decimal("14.97")


@pytest.mark.parametrize("name", ["apinfer", "codeflicker", "flowly", "recraft", "refly"])
def test_every_service_can_be_estimated_from_a_text_or_requires_a_model(load, name):
    load(name)
    for facts in some(lookup.catalogue_cache.current().services.values()):
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
def test_estimated_token_counts_are_close(text, least, most):
    likely, upper = estimates.tokens_of(text)
    assert least <= likely <= most
    assert upper >= likely


def test_models_are_compared_for_the_same_use_cheapest_first(load):
    load("refly")
    compared = estimates.compare(now=NOW, usage={"images": 3})
    assert [(model.service.name, model.quote.credits) for model in compared][:3] == [
        ("flux-schnell", 3),
        ("google / imagen-4-fast", 9),
        ("flux-dev", 12),
    ]
    assert len(compared) == 10
    credits = [model.quote.credits for model in compared]
    assert credits == sorted(credits)


def test_a_comparison_counts_a_meter_or_its_parts_and_never_both(tiny):
    parts = {"input_tokens": 900, "output_tokens": 100}
    for usage in (parts, {"tokens": 1000}, {"tokens": 1000} | parts):
        [echo] = estimates.compare(now=NOW, usage=usage)
        assert (echo.service.key, echo.quote.credits) == ("echo", 3), usage


def test_models_with_different_meters_are_compared_by_their_own_meters(load):
    load("recraft")
    videos = estimates.compare(now=NOW, usage={"images": 2, "uses": 3})
    by_name = {model.service.name: model.quote.credits for model in videos}
    assert by_name["Recraft V3"] == 2
    assert by_name["Seedance 1 Lite"] == 60
