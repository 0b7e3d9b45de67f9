"""Rate cards: published cards never change, drafts are simulated before they are published."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from pricing import lookup
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import rate_cards, rate_history
from pricing.models import Rate, RateCard, Service
from tests.pricing.conftest import NOW, cost

TOMORROW = NOW + timedelta(days=1)


@pytest.fixture(autouse=True)
def tiny(load, write):
    load(write())


def draft(**changes):
    card = rate_cards.copy_in_force(effective_at=TOMORROW, source="staff", now=NOW)
    card.rates.filter(service__key="echo").update(**changes)
    return card


def publish(card, now=NOW):
    return rate_cards.publish(card.pk, seen=simulated(card), by="staff", now=now)


def simulated(card):
    return rate_cards.fingerprint(rate_cards.rows_of(card.pk))


@pytest.mark.requirement("CORE-06")
@pytest.mark.parametrize(
    "change",
    [
        lambda card: RateCard.objects.filter(pk=card.pk).update(effective_at=TOMORROW),
        lambda card: RateCard.objects.filter(pk=card.pk).update(state="draft", published_at=None),
        lambda card: Rate.objects.filter(card=card).update(multiplier=2),
        lambda card: Rate.objects.filter(card=card).delete(),
        lambda card: card.delete(),
        lambda card: Rate.objects.create(card=draft(), service=card.rates.first().service, lines=[{}]),
    ],
)
def test_the_database_refuses_to_change_a_published_card(change):
    card = RateCard.objects.get()
    before = list(card.rates.order_by("pk").values())
    with pytest.raises(DatabaseError), transaction.atomic():
        change(card)
    assert list(card.rates.order_by("pk").values()) == before


def test_of_announced_cards_the_one_with_the_newest_date_is_in_force_whichever_was_published_first():
    later = rate_cards.copy_in_force(effective_at=TOMORROW + timedelta(days=1), source="staff", now=NOW)
    later.rates.filter(service__key="echo").update(multiplier=3)
    publish(later)
    publish(draft(multiplier=2), NOW + timedelta(hours=1))
    costs = [cost("echo", tokens=1000, now=NOW + timedelta(days=days)) for days in range(4)]
    assert costs == [3, 6, 9, 9]


def test_a_draft_can_be_changed_and_deleted_and_prices_nothing():
    card = draft(multiplier=2)
    assert cost("echo", tokens=1000, now=TOMORROW) == 3
    card.delete()
    assert RateCard.objects.count() == 1


def test_a_published_draft_takes_effect_at_its_date():
    publish(draft(multiplier=2))
    assert cost("echo", tokens=1000) == 3
    assert cost("echo", tokens=1000, now=TOMORROW - timedelta(microseconds=1)) == 3
    assert cost("echo", tokens=1000, now=TOMORROW) == 6


def test_a_draft_whose_date_has_passed_takes_effect_at_its_publication():
    later = TOMORROW + timedelta(days=3)
    card = publish(draft(multiplier=2), now=later)
    assert (card.effective_at, card.version) == (later, later.date().isoformat())
    assert cost("echo", tokens=1000, now=later - timedelta(seconds=1)) == 3


def test_a_retired_service_stays_retired_when_a_card_with_its_rate_is_published():
    card = draft(multiplier=2)
    Service.objects.filter(key="echo").update(retired_at=NOW)
    publish(card)
    assert Service.objects.get(key="echo").retired_at == NOW


def test_publishing_requires_a_simulation_of_the_same_rates():
    card = draft(multiplier=2)
    outdated = simulated(card)
    card.rates.filter(service__key="echo").update(multiplier=3)
    for stale in ("", outdated):
        with pytest.raises(rate_cards.CardNotPublishable, match="simulation"):
            rate_cards.publish(card.pk, seen=stale, by="staff", now=NOW)
    assert cost("echo", tokens=1000, now=TOMORROW) == 3


def test_only_a_card_with_a_future_date_can_be_withdrawn():
    card = publish(draft(multiplier=2))
    rate_cards.withdraw(card.pk, now=NOW)
    assert cost("echo", tokens=1000, now=TOMORROW) == 3
    card = publish(draft(multiplier=2))
    with pytest.raises(rate_cards.CardNotPublishable, match="future date"):
        rate_cards.withdraw(card.pk, now=TOMORROW)
    assert cost("echo", tokens=1000, now=TOMORROW) == 6


def test_a_price_below_cost_cannot_be_published():
    card = draft(cost={"tokens": "0.004"})
    with pytest.raises(
        rate_cards.CardNotPublishable, match="echo sells tokens below cost: 3 per 1000, cost 4"
    ):
        publish(card)
    card.rates.filter(service__key="echo").update(multiplier=Decimal("1.34"))
    assert publish(card).state == "published"


def test_a_card_without_rates_cannot_be_published():
    card = rate_cards.draft(effective_at=TOMORROW, source="staff", now=NOW)
    with pytest.raises(rate_cards.CardNotPublishable, match="without a price"):
        publish(card)


def test_a_published_card_cannot_be_published_again():
    card = publish(draft(multiplier=2))
    with pytest.raises(rate_cards.CardNotPublishable, match="not a draft"):
        publish(card)


def test_a_service_without_a_rate_on_the_card_in_force_cannot_be_charged():
    card = draft()
    card.rates.filter(service__key="echo").delete()
    publish(card)
    assert cost("echo", tokens=1000) == 3
    with pytest.raises(lookup.ServiceUnpriced) as refused:
        cost("echo", tokens=1000, now=TOMORROW)
    assert (refused.value.status, refused.value.code) == (409, "service_unpriced")


def test_nothing_can_be_charged_before_the_first_card():
    with pytest.raises(lookup.ServiceUnpriced):
        cost("echo", tokens=1000, now=NOW - timedelta(days=365))


def test_an_error_for_an_unknown_service_or_action_names_the_field():
    with pytest.raises(lookup.UnknownService) as refused:
        cost("ekko", tokens=1)
    assert (refused.value.status, refused.value.code, refused.value.field) == (
        404,
        "unknown_service",
        "service",
    )
    with pytest.raises(lookup.UnknownService) as refused:
        cost("echo", action="pant", tokens=1)
    assert refused.value.field == "action"


def test_versions_are_named_by_their_date():
    names = [draft().version for _ in range(3)]
    assert names == ["2026-11-21", "2026-11-21.2", "2026-11-21.3"]


def test_a_service_shows_its_past_and_future_prices():
    publish(draft(multiplier=2))
    periods = rate_history.price_periods("echo", NOW)
    assert [(period.version, period.future, period.in_force) for period in periods] == [
        ("2026-11-21", True, False),
        ("2026-01-01", False, True),
    ]
    publish(rate_cards.copy_in_force(effective_at=TOMORROW + timedelta(days=1), source="staff", now=TOMORROW))
    assert len(rate_history.price_periods("echo", NOW)) == 2


def test_pricing_causes_no_query_when_the_catalogue_is_cached(django_assert_num_queries):
    cost("echo", tokens=1)
    with django_assert_num_queries(0):
        for _ in range(100):
            cost("echo", tokens=1)


def test_another_process_uses_a_new_price_within_a_second(monkeypatch):
    cost("echo", tokens=1)
    cached = catalogue_cache.current()
    publish(draft(multiplier=2), now=TOMORROW)
    # The other process still has the old catalogue and checks the stamp again after a second.
    monkeypatch.setattr(catalogue_cache, "_catalogue", cached)
    seconds = [1000.0]
    monkeypatch.setattr(catalogue_cache._checked, "clock", lambda: seconds[0])
    catalogue_cache._checked.clear()
    catalogue_cache._checked.get_or_load("catalogue", lambda _key: cached)
    assert cost("echo", tokens=1000, now=TOMORROW) == 3
    seconds[0] += 1
    assert cost("echo", tokens=1000, now=TOMORROW) == 6


def test_each_band_is_compared_with_the_cost_and_may_equal_it():
    lines = [
        {
            "meter": "tokens",
            "per": 1000,
            "whole_blocks": False,
            "also": [],
            "bands": [{"up_to": 5000, "credits": "4"}, {"up_to": None, "credits": "2"}],
        }
    ]
    card = draft(lines=lines, cost={"tokens": "0.003", "images": "9"})
    assert rate_cards.reasons_against(card) == ["echo sells tokens below cost: 2 per 1000, cost 3."]
    card.rates.filter(service__key="echo").update(multiplier=Decimal("1.5"))
    assert rate_cards.reasons_against(card) == []


def test_a_card_in_force_names_who_published_it_when_and_with_which_rates():
    card = draft(multiplier=2)
    rates = simulated(card)
    publish(card)
    card.refresh_from_db()
    stored = (card.state, card.published_at, card.published_by, card.fingerprint, card.declared_at)
    assert stored == ("published", NOW, "staff", rates, None)
    first = RateCard.objects.get(version="2026-01-01")
    assert (first.source, first.published_by, first.published_at) == ("catalogue:tiny", "catalogue:tiny", NOW)
    assert first.declared_at == first.effective_at
    assert first.declared_fingerprint == first.fingerprint == simulated(first)


def test_the_fingerprint_is_of_the_rates_and_not_of_their_order_or_notation():
    rows = sorted(rate_cards.rows_of(RateCard.objects.get().pk), key=lambda row: not row["lines"])
    same = [row | {"minimum": Decimal("0.000")} for row in reversed(rows)]
    assert rate_cards.fingerprint(same) == rate_cards.fingerprint(rows)
    for change in ({"multiplier": Decimal(2)}, {"minimum": Decimal(1)}, {"reason": "x"}, {"lines": []}):
        assert rate_cards.fingerprint([rows[0] | change, *rows[1:]]) != rate_cards.fingerprint(rows)


def test_a_draft_is_a_copy_of_the_card_in_force_and_not_of_a_coming_one():
    publish(draft(multiplier=2, minimum=5, cost={"tokens": "0.001"}, assumed=True, reason="A guess."))
    today = rate_cards.copy_in_force(effective_at=TOMORROW, source="x", now=NOW, note="n", problems=["p"])
    assert (today.note, today.source, today.problems, today.state) == ("n", "x", ["p"], "draft")
    assert {rate.multiplier for rate in today.rates.all()} == {1}
    tomorrow = rate_cards.copy_in_force(effective_at=TOMORROW, source="x", now=TOMORROW)
    names = ("multiplier", "minimum", "cost", "assumed", "reason", "lines", "options", "cost_of_model")
    original = RateCard.objects.get(state="published", effective_at=TOMORROW)
    for service in ("echo", "paint"):
        rows = [card.rates.get(service__key=service) for card in (original, tomorrow)]
        assert [getattr(rows[0], name) for name in names] == [getattr(rows[1], name) for name in names]
    assert tomorrow.rates.count() == 2


def test_cards_that_will_replace_a_draft_are_listed_by_date():
    for days in (3, 2):
        card = rate_cards.copy_in_force(effective_at=NOW + timedelta(days=days), source="staff", now=NOW)
        publish(card)
    at = RateCard.objects.filter(state="published").order_by("effective_at")
    assert [card.version for card in at] == ["2026-01-01", "2026-11-22", "2026-11-23"]

    def coming(card, now=NOW):
        return [later.version for later in rate_cards.coming_after(card, now)]

    assert coming(draft()) == ["2026-11-22", "2026-11-23"]
    assert coming(at[1]) == ["2026-11-23"]
    assert coming(at[0], at[1].effective_at) == ["2026-11-23"], "a card in force replaces nothing later"
    rate_cards.withdraw(at[2].pk, now=NOW)
    assert coming(draft()) == ["2026-11-22"]


def test_a_free_version_name_is_used_again():
    cards = [draft() for _ in range(3)]
    cards[1].delete()
    assert draft().version == "2026-11-21.2"


def test_the_history_has_a_period_without_a_price_and_only_the_newest_cards(monkeypatch):
    for days, multiplier in ((1, 2), (2, None), (3, 2), (4, 2)):
        at = NOW + timedelta(days=days)
        card = rate_cards.copy_in_force(effective_at=at, source="staff", now=NOW)
        rates = card.rates.filter(service__key="echo")
        rates.delete() if multiplier is None else rates.update(multiplier=multiplier)
        publish(card)

    def shown(now):
        periods = rate_history.price_periods("echo", now)
        return [
            (period.version[5:], period.rate and period.rate.multiplier, period.future, period.in_force)
            for period in periods
        ]

    assert shown(NOW + timedelta(days=2)) == [
        ("11-23", 2, True, False),
        ("11-22", None, False, True),
        ("11-21", 2, False, False),
        ("01-01", 1, False, False),
    ]
    monkeypatch.setattr(rate_history, "MOST_CARDS", 3)
    assert shown(NOW) == [("11-23", 2, True, False)], "the period before has no price and begins the list"
    assert rate_history.price_periods("nope", NOW) == []
