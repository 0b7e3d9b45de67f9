"""Prices in the admin: all rows can be viewed, only drafts can be edited."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from pricing.catalogue import rate_cards
from pricing.models import RateCard, Sale, Service

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


@pytest.mark.parametrize("model", MODELS)
def test_staff_can_open_every_list_and_its_rows(browser, load, model):
    load("flowly")
    listing = browser.get(reverse(f"admin:pricing_{model}_changelist"))
    assert listing.status_code == 200
    row = listing.context["cl"].queryset.first()
    assert browser.get(reverse(f"admin:pricing_{model}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", ["catalogue", "service", "rate"])
def test_objects_of_the_catalogue_file_cannot_be_added(browser, model):
    assert browser.get(reverse(f"admin:pricing_{model}_add")).status_code == 403


def test_a_new_draft_is_a_copy_of_the_rates_in_force(browser, staff):
    data = {"effective_at_0": "2027-01-01", "effective_at_1": "00:00:00", "note": "New year"}
    response = browser.post(reverse("admin:pricing_ratecard_add"), data)
    assert response.status_code == 302
    card = RateCard.objects.get(state="draft")
    assert (card.version, card.note, card.source) == ("2027-01-01", "New year", str(staff))
    assert card.rates.count() == Service.objects.count()
    assert response.url == reverse("admin:pricing_ratecard_prices", args=[card.pk])


def test_published_cards_and_rates_cannot_be_edited_or_deleted(browser):
    card = RateCard.objects.get()
    rate = rate_of(card, "claude-sonnet-4")
    assert browser.post(reverse("admin:pricing_rate_change", args=[rate.pk]), {}).status_code == 403
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


def test_a_draft_keeps_its_date_and_note(browser, draft):
    data = {"effective_at_0": "2030-01-01", "effective_at_1": "00:00:00", "note": "Later"}
    browser.post(reverse("admin:pricing_ratecard_change", args=[draft.pk]), data)
    version, state = draft.version, draft.state
    draft.refresh_from_db()
    shown = (draft.note, draft.effective_at.year, draft.version, draft.state)
    assert shown == ("Later", 2030, version, state)
    page = browser.get(reverse("admin:pricing_ratecard_change", args=[draft.pk])).content.decode()
    assert f"Edit prices of {draft.rates.count()} services" in page
