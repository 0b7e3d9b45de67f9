"""Prices of a rate card are edited as a form: valid as in a file, never over somebody else's change."""

import html
import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from core.models import StaffAct
from pricing.catalogue import drafts, rate_cards
from pricing.models import Rate, RateCard, Service

SONNET = "claude-sonnet-4"
LINE = {
    "meter": "tokens",
    "per": 5000,
    "whole_blocks": False,
    "also": ["input_tokens", "output_tokens"],
    "bands": [{"up_to": None, "credits": "11"}],
}


@pytest.fixture
def browser(staff, signed_in):
    return signed_in(staff)


@pytest.fixture
def draft(staff):
    now = timezone.now()
    return rate_cards.copy_in_force(effective_at=now + timedelta(days=1), source="staff", now=now)


def table(card):
    """The page of all prices that shows one service only."""
    return f"/admin/pricing/ratecard/{card.pk}/prices/?q={SONNET}"


def one(card, service=SONNET):
    return f"/admin/pricing/ratecard/{card.pk}/prices/{service}/"


def shown(browser, path):
    """The values of the form as a browser would send them back."""
    form = browser.get(path).context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: "on" if value is True else value for name, value in values.items() if value}


def send(browser, path, **changes):
    data = {name: value for name, value in (shown(browser, path) | changes).items() if value is not None}
    return browser.post(path, data)


def errors(response):
    found = response.context["form"].errors.items()
    return {name: html.unescape(" ".join(sentences)) for name, sentences in found}


def rate(card, service=SONNET):
    return Rate.objects.get(card=card, service__key=service)


def publish(card):
    seen = rate_cards.fingerprint(rate_cards.rows_of(card.pk))
    return rate_cards.publish(card.pk, seen=seen, by="staff", now=timezone.now())


def test_figures_of_the_table_are_saved_compared_and_recorded(browser, draft):
    path, cost = table(draft), {"tokens": "0.001"}
    Rate.objects.filter(card=draft, service__key=SONNET).update(cost=cost)
    assert "The prices are the same" in browser.get(path).content.decode()
    changes = {f"{SONNET}:credits:0": "12.5", f"{SONNET}:per:0": "2500", f"{SONNET}:minimum": "0.5"}
    assert send(browser, path, **changes).status_code == 302
    changed = rate(draft)
    assert changed.lines == [LINE | {"per": 2500, "bands": [{"up_to": None, "credits": "12.5"}]}]
    assert (changed.minimum, changed.cost) == (0.5, cost)
    act = StaffAct.objects.get(act="ratecard.change_rates")
    assert (act.before["rates"][0]["lines"], act.after["rates"][0]["minimum"]) == ([LINE], "0.5")
    page = " ".join(browser.get(path).content.decode().split())
    for text in ("11 credits per 5,000 tokens", "12.5 credits per 2,500 tokens", "+127.3 %"):
        assert text in page
    assert send(browser, path).status_code == 302
    assert StaffAct.objects.filter(act="ratecard.change_rates").count() == 1
    send(browser, path, **{f"{SONNET}:remove": "on"})
    assert not Rate.objects.filter(card=draft, service__key=SONNET).exists()
    page = browser.get(path).content.decode()
    assert "No price: it cannot be charged" in page and "no price" in page
    assert send(browser, one(draft), **{"meter-0": "uses", "credits-0": "3"}).status_code == 302
    assert rate(draft).lines[0]["meter"] == "uses"


HOSTILE = {
    "NaN": "finite number",
    "Infinity": "finite number",
    "-Infinity": "finite number",
    "1e400": "no more than 20 digits",
    "-0.000001": "greater than or equal to 0",
    "1" * 40: "no more than 20 digits",
    "1000000000.1": "less than or equal to 1000000000",
    "0.0000001": "no more than 6 decimal places",
    "1,000": "valid decimal",
    "1_000": "Enter digits",
    "١٢": "Enter digits",
    "1 000": "Enter digits",
    "": "give either `credits` or `bands`",
    "1" * 61: "at most 60 characters",
}


def test_hostile_figures_are_refused_beside_their_field_with_the_words_of_a_file(browser, draft):
    before = rate_cards.rows_of(draft.pk)
    for given, words in HOSTILE.items():
        for path, name in ((table(draft), f"{SONNET}:credits:0"), (one(draft), "credits-0")):
            response = send(browser, path, **{name: given})
            assert response.status_code == 200, given
            assert words in errors(response)[name], (given, errors(response))
    for given, words in {
        "0": "greater than 0",
        "1.5": "valid integer",
        "1" * 40: "less than or equal",
    }.items():
        for path, name in ((table(draft), f"{SONNET}:per:0"), (one(draft), "per-0")):
            assert words in errors(send(browser, path, **{name: given}))[name]
    for given in ("0", "-1", "NaN", "1" * 40):
        for path, name in ((table(draft), f"{SONNET}:multiplier"), (one(draft), "multiplier")):
            assert name in errors(send(browser, path, **{name: given})), given
    assert rate_cards.rows_of(draft.pk) == before
    assert not StaffAct.objects.filter(act="ratecard.change_rates").exists()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"meter-0": ""}, "meter-0", "missing"),
        ({"meter-0": None, "credits-0": None}, "__all__", "give exactly one of"),
        ({"cost_of_model": "on"}, "__all__", "give exactly one of"),
        ({"meter-0": "", "credits-0": "", "cost_of_model": "on"}, "cost_of_model", "an action"),
        ({"meter-1": "input_tokens", "credits-1": "1"}, "__all__", "counted by two lines"),
        ({"meter-1": "tokens", "credits-1": "1"}, "credits-0", "rise by `up_to`"),
        ({"also-0": "images, yards"}, "also-0", "it to be 'tokens'"),
        ({"meter-0": "yards"}, "meter-0", "valid choice"),
        ({"option-0": "quality", "value-0": "low", "factor-0": "1"}, "option-0", "one of the `multipliers`"),
        ({"option-0": "quality", "value-0": "low", "factor-0": "0", "default-0": "on"}, "factor-0", "than 0"),
        ({"option-0": "Quality!"}, "option-0", "match pattern"),
        ({"assumed": "on"}, "__all__", "belong together"),
        ({"reason": "Because"}, "__all__", "belong together"),
    ],
)
def test_a_rate_that_no_file_may_have_is_refused_with_the_words_of_a_file(
    browser, draft, changes, field, words
):
    response = send(browser, one(draft), **changes)
    assert response.status_code == 200
    assert words in errors(response)[field], errors(response)
    assert rate(draft).lines == [LINE]


def test_a_rate_has_bands_and_options(browser, draft):
    send(
        browser,
        one(draft),
        **{"meter-0": "seconds", "up_to-0": "60", "credits-0": "2", "per-0": "6", "whole_blocks-0": "on"},
        **{"also-0": "uses, images", "meter-1": "seconds", "credits-1": "1"},
        **{"option-0": "quality", "value-0": "low", "factor-0": "1", "default-0": "on"},
        **{"option-1": "quality", "value-1": "high", "factor-1": "1.50", "option-2": "size"},
    )
    bands = [{"up_to": 60, "credits": "2"}, {"up_to": None, "credits": "1"}]
    line = {"meter": "seconds", "per": 6, "whole_blocks": True, "also": ["uses", "images"], "bands": bands}
    saved = rate(draft)
    assert saved.lines == [line]
    assert saved.options == {
        "quality": {"default": "low", "multipliers": {"low": "1", "high": "1.5"}},
        "size": {"default": "", "multipliers": None},
    }
    assert send(browser, table(draft), **{f"{SONNET}:credits:1": "0.5"}).status_code == 302
    assert [band["credits"] for band in rate(draft).lines[0]["bands"]] == ["2", "0.5"]
    assert send(browser, one(draft)).status_code == 302
    assert (rate(draft).lines[0]["bands"][1]["credits"], rate(draft).options) == ("0.5", saved.options)


def test_a_stale_form_changes_nothing_and_shows_the_present_values(browser, draft):
    for path, name in ((table(draft), f"{SONNET}:credits:0"), (one(draft), "credits-0")):
        stale = shown(browser, path)
        send(browser, path, **{name: "20"})
        response = browser.post(path, stale | {name: "30"}, follow=True)
        assert "Somebody else changed" in response.content.decode()
        assert response.context["form"][name].value() == "20"
        assert rate(draft).lines[0]["bands"][0]["credits"] == "20"
        send(browser, path, **{name: "11"})
    stale = shown(browser, table(draft))
    send(browser, one(draft), **{"meter-0": "uses", "up_to-0": "5", "meter-1": "uses", "credits-1": "1"})
    changed = rate(draft).lines
    assert "Somebody else" in browser.post(table(draft), stale | {f"{SONNET}:per:0": "7"}).content.decode()
    assert rate(draft).lines == changed
    Rate.objects.filter(card=draft, service__key=SONNET).delete()
    assert "Nothing was changed" in browser.post(table(draft), stale, follow=True).content.decode()
    assert not Rate.objects.filter(card=draft, service__key=SONNET).exists()


def test_prices_of_a_published_card_are_shown_and_cannot_be_changed(browser, draft):
    stale = shown(browser, table(draft)) | {f"{SONNET}:credits:0": "1"}
    publish(draft)
    page = browser.get(table(draft)).content.decode()
    assert "Its prices never change" in page and "Save prices" not in page
    assert browser.post(table(draft), stale).status_code == 403
    assert browser.get(one(draft)).status_code == 403
    with pytest.raises(drafts.DraftChanged):
        drafts.change(draft.pk, {SONNET: drafts.Change("", None)})
    assert rate(draft).lines == [LINE]


def test_an_earlier_card_is_returned_to_as_a_draft(browser, draft):
    first = RateCard.objects.get(state="published")
    send(browser, table(draft), **{f"{SONNET}:credits:0": "20"})
    new = Service.objects.create(key="new", name="New", kind="model", modality="text")
    Rate.objects.create(card=draft, service=new, lines=[LINE])
    Rate.objects.filter(card=draft, service__key__in=["kimi-k2", "gpt-4o"]).delete()
    Service.objects.filter(key="gpt-4o").update(retired_at=timezone.now())
    RateCard.objects.filter(pk=draft.pk).update(effective_at=timezone.now())
    publish(draft)
    page = browser.get(table(first)).content.decode()
    assert "Return to these prices" in page and "-45.0 %" in page
    response = browser.post(reverse("admin:pricing_ratecard_copy", args=[first.pk]), follow=True)
    assert "is a draft with the prices of" in response.content.decode()
    back = RateCard.objects.get(state="draft")
    assert rate(back).lines == [LINE] and rate(back, "new").lines == [LINE]
    assert back.rates.count() == first.rates.count(), "with the new one, without the retired one"
    assert StaffAct.objects.get(act="ratecard.roll_back").after["as"] == first.version
    assert browser.post(reverse("admin:pricing_ratecard_copy", args=[back.pk])).status_code == 404


def test_a_card_is_published_now_or_at_a_date_once(browser, draft):
    path = reverse("admin:pricing_ratecard_publish", args=[draft.pk])
    seen = rate_cards.fingerprint(rate_cards.rows_of(draft.pk))
    for when, words in (
        ({}, "required"),
        ({"when": "date"}, "Enter the date"),
        ({"when": "date", "at": "tomorrow"}, "valid date"),
        ({"when": "date", "at": "99999-01-01T00:00"}, "valid date"),
        ({"when": "date", "at": "2020-01-01T00:00"}, "This date has passed"),
    ):
        response = browser.post(path, {"seen": seen} | when, follow=True)
        assert words in response.content.decode(), when
        assert RateCard.objects.get(pk=draft.pk).state == "draft"
    day = timezone.now() + timedelta(days=40)
    given = {"seen": seen, "when": "date", "at": f"{day:%Y-%m-%dT%H:%M}"}
    browser.post(path, given)
    card = RateCard.objects.get(pk=draft.pk)
    assert (card.state, card.version) == ("published", f"{day:%Y-%m-%d}")
    assert abs(card.effective_at - day) < timedelta(minutes=1)
    assert "not a draft" in browser.post(path, given, follow=True).content.decode()
    again = rate_cards.copy_in_force(effective_at=day, source="staff", now=timezone.now())
    browser.post(reverse("admin:pricing_ratecard_publish", args=[again.pk]), {"seen": seen, "when": "now"})
    again.refresh_from_db()
    assert again.state == "published" and again.effective_at <= timezone.now()


@pytest.mark.django_db(transaction=True)
def test_a_rate_never_changes_while_its_card_is_published(browser, draft):
    """The change waits for the transaction that publishes, and is refused."""
    refused = []
    row = rate(draft)

    def change():
        try:
            Rate.objects.filter(pk=row.pk).update(multiplier=9)
        except DatabaseError as error:
            refused.append(str(error))
        connection.close()

    thread = threading.Thread(target=change)
    with transaction.atomic():
        publish(draft)
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive()
    thread.join(timeout=60)
    assert "published card" in refused[0]
    row.refresh_from_db()
    assert (row.multiplier, row.card.fingerprint) == (1, rate_cards.fingerprint(rate_cards.rows_of(draft.pk)))


@pytest.mark.django_db(transaction=True)
def test_of_two_staff_who_save_the_same_price_at_once_one_is_refused(signed_in, staff, draft):
    browsers = [signed_in(staff) for _ in range(2)]
    data = shown(browsers[0], table(draft))
    barrier, statuses = threading.Barrier(2), []

    def save(number):
        barrier.wait()
        response = browsers[number].post(table(draft), data | {f"{SONNET}:credits:0": str(20 + number)})
        statuses.append(response.status_code)
        connection.close()

    threads = [threading.Thread(target=save, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 302]
    assert StaffAct.objects.filter(act="ratecard.change_rates").count() == 1
