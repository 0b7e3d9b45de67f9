"""Prices in the admin: all rows can be viewed, only drafts can be edited."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from pricing.catalogue import rate_cards
from pricing.models import Rate, RateCard, Sale, Service

MODELS = ["catalogue", "service", "ratecard", "rate", "plan", "pack", "sale"]


@pytest.fixture
def browser(staff, signed_in):
    return signed_in(staff)


@pytest.fixture
def draft(staff):
    now = timezone.now()
    return rate_cards.copy_in_force(effective_at=now + timedelta(days=1), source="staff", now=now)


def rate_of(card, service):
    return card.rates.get(service__key=service)


def edit(browser, rate, **changes):
    data = {
        "lines": json.dumps(rate.lines),
        "options": json.dumps(rate.options),
        "minimum": "0",
        "multiplier": "1",
        "reason": "",
    }
    return browser.post(reverse("admin:pricing_rate_change", args=[rate.pk]), data | changes)


@pytest.mark.parametrize("model", MODELS)
def test_staff_can_open_every_list_and_its_rows(browser, load, model):
    load("flowly")
    listing = browser.get(reverse(f"admin:pricing_{model}_changelist"))
    assert listing.status_code == 200
    row = listing.context["cl"].queryset.first()
    assert browser.get(reverse(f"admin:pricing_{model}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", ["catalogue", "service", "rate", "plan", "pack", "sale"])
def test_objects_of_the_catalogue_file_cannot_be_added(browser, model):
    assert browser.get(reverse(f"admin:pricing_{model}_add")).status_code == 403


def test_a_new_draft_is_a_copy_of_the_rates_in_force(browser, staff):
    data = {"effective_at_0": "2027-01-01", "effective_at_1": "00:00:00", "note": "New year"}
    response = browser.post(reverse("admin:pricing_ratecard_add"), data)
    assert response.status_code == 302
    card = RateCard.objects.get(state="draft")
    assert (card.version, card.note, card.source) == ("2027-01-01", "New year", str(staff))
    assert card.rates.count() == Service.objects.count()


def test_a_rate_of_a_draft_can_be_changed(browser, draft):
    rate = rate_of(draft, "claude-sonnet-4")
    lines = [{"meter": "tokens", "per": 1000, "credits": "2.5"}]
    assert edit(browser, rate, lines=json.dumps(lines), multiplier="2").status_code == 302
    rate.refresh_from_db()
    assert rate.multiplier == 2
    assert rate.lines == [
        {
            "meter": "tokens",
            "per": 1000,
            "whole_blocks": False,
            "also": ["input_tokens", "output_tokens"],
            "bands": [{"up_to": None, "credits": "2.5"}],
        }
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lines": '[{"meter": "tokens", "credits": "-1"}]'}, "greater than or equal to 0"),
        ({"lines": '[{"meter": "tokns", "credits": "1"}]'}, "0.meter"),
        ({"lines": '[{"meter": "tokens", "credits": "1", "pre": 5}]'}, "0.pre"),
        ({"lines": '{"meter": "tokens"}'}, "valid list"),
        ({"lines": "[]"}, "Enter either price lines"),
        ({"lines": "[", "multiplier": "1"}, "valid JSON"),
        ({"cost_of_model": "on"}, "Enter either price lines"),
        ({"options": '{"quality": {"default": "x", "multipliers": {"low": "1"}}}'}, "must be one of"),
        ({"options": '["quality"]'}, "by name"),
        ({"options": '{"quality": 3}'}, "by name"),
        ({"multiplier": "0"}, "greater"),
        ({"minimum": "-1"}, "greater"),
        ({"assumed": "on"}, "Enter the source"),
    ],
)
def test_an_invalid_rate_is_refused_with_a_message(browser, draft, changes, message):
    rate = rate_of(draft, "claude-sonnet-4")
    response = edit(browser, rate, **changes)
    assert response.status_code == 200
    assert message in " ".join(str(error) for errors in response.context["errors"] for error in errors)
    assert Rate.objects.get(pk=rate.pk).lines == rate.lines


def test_published_cards_and_rates_cannot_be_edited_or_deleted(browser):
    card = RateCard.objects.get()
    rate = rate_of(card, "claude-sonnet-4")
    assert edit(browser, rate, multiplier="2").status_code == 403
    for name, row in (("rate", rate), ("ratecard", card)):
        assert (
            browser.post(reverse(f"admin:pricing_{name}_delete", args=[row.pk]), {"post": "yes"}).status_code
            == 403
        )
    assert (
        browser.post(reverse("admin:pricing_ratecard_change", args=[card.pk]), {"note": "x"}).status_code
        == 403
    )


def test_a_draft_can_be_deleted(browser, draft):
    browser.post(reverse("admin:pricing_ratecard_delete", args=[draft.pk]), {"post": "yes"})
    assert not RateCard.objects.filter(state="draft").exists()


def test_a_future_card_can_be_withdrawn_and_one_in_force_cannot(browser, draft):
    rate_cards.publish(
        draft.pk, seen=rate_cards.fingerprint(rate_cards.rows_of(draft.pk)), by="staff", now=timezone.now()
    )
    data = {"action": "withdraw", "_selected_action": [str(card.pk) for card in RateCard.objects.all()]}
    response = browser.post(reverse("admin:pricing_ratecard_changelist"), data, follow=True)
    assert "future date" in response.content.decode()
    assert sorted(RateCard.objects.values_list("state", flat=True)) == ["published", "withdrawn"]


def test_a_sale_can_be_ended_early(browser, load):
    load("flowly")
    sale = Sale.objects.get()
    data = {"action": "end_now", "_selected_action": [str(sale.pk)]}
    browser.post(reverse("admin:pricing_sale_changelist"), data)
    assert Sale.objects.get().ends_at <= timezone.now()


def test_only_current_sales_are_ended_and_counted(browser, load):
    load("flowly")
    sale, now = Sale.objects.get(), timezone.now()
    terms = {"pack": sale.pack, "label": "X", "prices": sale.prices}
    day = timedelta(days=1)
    others = [
        Sale.objects.create(key="past", starts_at=now - 9 * day, ends_at=now - day, **terms),
        Sale.objects.create(key="coming", starts_at=now + day, ends_at=now + 9 * day, **terms),
    ]
    current = Sale.objects.create(key="current", starts_at=now - day, ends_at=now + day, **terms)
    rows = [*others, current]
    data = {"action": "end_now", "_selected_action": [str(row.pk) for row in rows]}
    page = browser.post(reverse("admin:pricing_sale_changelist"), data, follow=True).content.decode()
    assert "Ended: 1." in page
    current.refresh_from_db()
    assert current.ends_at <= timezone.now()
    for other in others:
        assert Sale.objects.get(pk=other.pk).ends_at == other.ends_at


def test_a_draft_shows_its_rates_as_sentences_and_keeps_what_is_edited(browser, draft):
    rate = rate_of(draft, "claude-sonnet-4")
    edit(browser, rate, minimum="3", multiplier="2")
    listing = browser.get(reverse("admin:pricing_rate_changelist"), {"card__id__exact": str(draft.pk)})
    assert "22 credits per 5,000 tokens; at least 3 credits" in listing.content.decode()
    data = {"effective_at_0": "2030-01-01", "effective_at_1": "00:00:00", "note": "Later"}
    browser.post(reverse("admin:pricing_ratecard_change", args=[draft.pk]), data)
    version, state = draft.version, draft.state
    draft.refresh_from_db()
    assert (draft.note, draft.effective_at.year, draft.version, draft.state) == (
        "Later",
        2030,
        version,
        state,
    )
    page = browser.get(reverse("admin:pricing_ratecard_change", args=[draft.pk])).content.decode()
    assert f"{draft.rates.count()} rates" in page
    edit(browser, rate, lines="[]", cost_of_model="on", assumed="on", reason="The page says so.")
    rate.refresh_from_db()
    assert (rate.lines, rate.cost_of_model, rate.assumed, rate.reason) == (
        [],
        True,
        True,
        "The page says so.",
    )


def test_options_of_a_draft_are_stored_as_from_a_file(browser, draft):
    rate = rate_of(draft, "claude-sonnet-4")
    options = {"quality": {"default": "low", "multipliers": {"low": "1", "high": "1.50"}}, "size": {}}
    assert edit(browser, rate, options=json.dumps(options), minimum="0.5").status_code == 302
    rate.refresh_from_db()
    assert rate.options == {
        "quality": {"default": "low", "multipliers": {"low": "1", "high": "1.5"}},
        "size": {"default": "", "multipliers": None},
    }
    assert rate.minimum == Decimal("0.5")
