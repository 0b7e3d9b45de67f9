"""Price simulation: charges repriced by a draft rate card, and publishing the simulated rates."""

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from billing import ledger
from billing.models import Hold
from pricing import lookup
from pricing.catalogue import rate_cards
from pricing.models import RateCard
from tests.usage.spending import forget_newest_entry, give
from usage import charging
from usage.repricing import price_simulation

WORKSHOP = Path(__file__).parent.with_name("api") / "workshop.toml"

pytestmark = pytest.mark.requirement("CORE-06")


@pytest.fixture
def now(catalogue):
    return timezone.now()


@pytest.fixture
def account(alice, account_of):
    return account_of(alice)


def use(account, now, service="claude-sonnet-4", key="", **usage):
    forget_newest_entry(account)  # a test states its past in any order
    use = charging.Use(account_id=account.pk, service=service, usage=usage)
    return charging.charge(use, key=key or f"{service}-{usage}-{now}", fingerprint=b"", now=now)


def draft(now, **multipliers):
    card = rate_cards.copy_in_force(effective_at=now, source="staff", now=now)
    for service, multiplier in multipliers.items():
        card.rates.filter(service__key=service.replace("_", "-")).update(multiplier=multiplier)
    return card


def simulate(card, now, days=7):
    return price_simulation.simulate(card, days=days, now=now)


def test_the_total_and_each_service_are_repriced_exactly(account, now):
    use(account, now, tokens=5000)
    use(account, now, tokens=2500)
    use(account, now, service="kimi-k2", tokens=5000)
    simulation = simulate(draft(now, claude_sonnet_4=2), now)
    assert (simulation.total.charges, simulation.total.before, simulation.total.after) == (
        3,
        Decimal("18.5"),
        35,
    )
    assert [(total.name, total.charges, total.difference) for total in simulation.services] == [
        ("Claude Sonnet 4", 2, Decimal("16.5")),
        ("Kimi K2", 1, 0),
    ]


def test_services_are_in_the_order_of_what_changes_falls_included(account, now):
    use(account, now, tokens=5000)
    use(account, now, service="kimi-k2", tokens=5000)
    simulation = simulate(draft(now, claude_sonnet_4="0.5", kimi_k2=2), now)
    assert [(total.name, total.difference) for total in simulation.services] == [
        ("Claude Sonnet 4", Decimal("-5.5")),
        ("Kimi K2", 2),
    ]


def test_a_card_with_the_same_rates_makes_no_difference(account, now):
    use(account, now, tokens=4321)
    use(account, now, service="seedance-1-lite", seconds=Decimal("1.5"))
    simulation = simulate(draft(now), now)
    assert simulation.total.difference == 0
    assert simulation.total.unpriced == 0


def test_charges_before_the_window_and_covered_charges_are_excluded(account, now):
    use(account, now - timedelta(days=8), tokens=100, key="old")
    order = ledger.ChargeRequest(
        account_id=account.pk, credits=Decimal(0), key="covered", service="kimi-k2", covered_by="unlimited"
    )
    ledger.charge(order, now)
    assert simulate(draft(now), now).total.charges == 0


def test_accounts_are_ranked_by_their_increase(alice, bob, account_of, now):
    use(account_of(alice), now, tokens=5000)
    use(account_of(bob), now, tokens=10_000)
    simulation = simulate(draft(now, claude_sonnet_4=2), now)
    assert [(total.name, total.difference) for total in simulation.paying_more] == [
        (account_of(bob).name, 22),
        (account_of(alice).name, 11),
    ]


def test_an_account_is_listed_when_its_balance_would_not_have_been_enough(account, now):
    use(account, now - timedelta(minutes=3), tokens=20_000)  # 44 of the day's 100
    assert simulate(draft(now, claude_sonnet_4=2), now).insufficient == [], "88 credits are available"
    last = now - timedelta(minutes=1)
    use(account, last, tokens=5000)  # 55: by the draft 110
    (listed,) = simulate(draft(now, claude_sonnet_4=2), now).insufficient
    assert (listed.account_id, listed.insufficient_at) == (account.pk, last)
    give(account, "50", now)
    assert simulate(draft(now, claude_sonnet_4=2), now).insufficient_count == 1, "later grants do not count"


def test_a_balance_that_would_have_been_spent_to_the_last_credit_was_enough(account, now):
    give(account, "10", now - timedelta(minutes=9))
    use(account, now, tokens=25_000)  # 55 of 110
    assert simulate(draft(now, claude_sonnet_4=2), now).insufficient == []


def test_charges_that_the_draft_cannot_price_are_counted_with_the_reason(account, now):
    use(account, now, tokens=5000)
    use(account, now, service="kimi-k2", tokens=5000)
    card = draft(now)
    card.rates.filter(service__key="kimi-k2").delete()
    simulation = simulate(card, now)
    (unpriced,) = [total for total in simulation.services if total.unpriced]
    assert (unpriced.name, unpriced.unpriced, unpriced.before) == ("Kimi K2", 1, 0)
    assert "no rate" in unpriced.reason
    assert simulation.total.unpriced == 1


def test_a_hold_captured_in_credits_keeps_its_amount(account, now):
    held = charging.hold(
        charging.Use(account_id=account.pk, service="claude-sonnet-4", usage={"tokens": 5000}),
        credits=None,
        expires_in=timedelta(minutes=5),
        key="h",
        fingerprint=b"",
        now=now,
    )
    ledger.capture(
        account_id=account.pk,
        hold_id=held.hold_id,
        credits=Decimal(3),
        key="c",
        detail={"usage": {"tokens": 5000}, "lines": []},
        now=now,
        fingerprint=b"",
    )
    simulation = simulate(draft(now, claude_sonnet_4=2), now)
    assert (simulation.total.before, simulation.total.after) == (3, 3)


def test_a_window_with_too_many_charges_is_truncated_to_the_newest(account, now, monkeypatch):
    for minutes in (3, 2, 1):
        use(account, now - timedelta(minutes=minutes), tokens=100)
    monkeypatch.setattr(price_simulation, "MAX_CHARGES", 2)
    simulation = simulate(draft(now), now)
    assert (simulation.truncated, simulation.total.charges) == (True, 2)


def test_staff_publish_only_the_simulated_rates(account, staff, signed_in, now):
    use(account, now - timedelta(minutes=1), tokens=5000)
    card = draft(now, claude_sonnet_4=2)
    browser = signed_in(staff)
    address = reverse("admin:pricing_ratecard_simulation", args=[card.pk])
    assert address in browser.get(reverse("admin:pricing_ratecard_change", args=[card.pk])).content.decode()
    page = browser.get(address).content.decode()
    assert "Claude Sonnet 4" in page and "+11" in page
    (seen,) = re.findall(r'name="seen" value="(\w+)"', page)
    publish = reverse("admin:pricing_ratecard_publish", args=[card.pk])
    card.rates.filter(service__key="kimi-k2").update(multiplier=5)
    answer = browser.post(publish, {"seen": seen, "when": "now"}, follow=True)
    assert "simulation" in answer.content.decode()
    assert RateCard.objects.get(pk=card.pk).state == "draft"
    (seen,) = re.findall(r'name="seen" value="(\w+)"', browser.get(address).content.decode())
    browser.post(publish, {"seen": seen, "when": "now"})
    later = timezone.now()
    quoted = lookup.price_use(service="claude-sonnet-4", usage={"tokens": 5000}, now=later)
    assert (quoted.credits, RateCard.objects.get(pk=card.pk).published_by) == (22, str(staff))


def test_a_card_below_cost_cannot_be_published(staff, signed_in, now):
    card = draft(now)
    card.rates.filter(service__key="kimi-k2").update(cost={"tokens": "1"})
    page = signed_in(staff).get(reverse("admin:pricing_ratecard_simulation", args=[card.pk])).content.decode()
    assert "below cost" in page and 'name="seen"' not in page


@pytest.mark.parametrize("who", ["alice", "charlie"])
def test_other_users_can_neither_simulate_nor_publish(request, who, signed_in, now):
    card = draft(now)
    browser = signed_in(request.getfixturevalue(who))
    for name, ask in (("simulation", browser.get), ("publish", browser.post)):
        answer = ask(reverse(f"admin:pricing_ratecard_{name}", args=[card.pk]))
        assert answer.status_code in (302, 403)
    assert RateCard.objects.get(pk=card.pk).state == "draft"


def test_actions_options_and_given_amounts_are_repriced_as_a_charge_would_be(settings, request):
    settings.CATALOGUE = str(WORKSHOP)
    alice = request.getfixturevalue("alice")
    account, now = request.getfixturevalue("account_of")(alice), timezone.now()
    give(account, "1000", now)
    tokens = {"input_tokens": 1000, "output_tokens": 500}
    uses = {
        "writer": {"service": "writer", "usage": tokens},  # 3
        "with an action": {"service": "writer", "action": "sketch", "usage": tokens},  # 6
        "with options": {"service": "writer", "usage": tokens, "options": {"quality": "high"}},  # 4.5
        "fractional": {"service": "film", "usage": {"seconds": Decimal("7.5")}},  # 6
        "own price": {"service": "writer", "action": "frame", "usage": {"uses": 2}},  # 14
    }
    for key, use in uses.items():
        request_ = charging.Use(account_id=account.pk, **use)
        charging.charge(request_, key=key, fingerprint=b"", now=now)
    for key, usage, credits in (("by usage", tokens, None), ("by amount", None, Decimal(5))):
        held = charging.hold(
            charging.Use(account_id=account.pk, service="writer", usage=tokens),
            credits=None,
            expires_in=timedelta(minutes=5),
            key=f"hold {key}",
            fingerprint=b"",
            now=now,
        )
        charging.capture(
            Hold.objects.get(pk=held.hold_id),
            usage=usage,
            credits=credits,
            options=None,
            metadata=None,
            key=f"capture {key}",
            fingerprint=b"",
            now=now,
        )
    card = draft(now, writer=3, sketch=5, film=2)
    simulation = simulate(card, now)
    found = {total.name: (total.charges, total.before, total.after) for total in simulation.services}
    assert found == {
        "Writer": (4, Decimal("15.5"), Decimal("36.5")),  # 3, 4.5 and 3 three times as much; 5 unchanged
        "Sketch": (1, 6, 45),
        "Film": (1, 6, 12),
        "Frame": (1, 14, 14),
    }
    assert simulation.total.charges == 7
    differences = [abs(total.difference) for total in simulation.services]
    assert differences == sorted(differences, reverse=True)
    card.rates.filter(service__key="sketch").delete()
    (unpriced,) = [total for total in simulate(card, now).services if total.unpriced]
    assert (unpriced.name, unpriced.before, unpriced.after) == ("Sketch", 0, 0)
    card.rates.filter(service__key="writer").update(options={})
    reasons = {total.name: total.reason for total in simulate(card, now).services if total.unpriced}
    assert "does not have this option" in reasons["Writer"]


def test_the_window_includes_its_beginning_and_this_instant(account, now):
    give(account, "100", now - timedelta(days=9))
    for offset in (timedelta(days=7), timedelta(days=7, microseconds=1), timedelta(0), -timedelta(seconds=1)):
        use(account, now - offset, tokens=5000, key=str(offset))
    simulation = simulate(draft(now, claude_sonnet_4=2), now)
    assert (simulation.total.charges, simulation.since) == (2, now - timedelta(days=7))
    assert (simulation.total.percent, simulation.truncated) == (100, False)


def test_the_percentage_is_of_what_the_charges_cost():
    total = price_simulation.SimulatedTotal("x", before=Decimal(3), after=Decimal(4))
    assert (total.difference, total.percent) == (1, Decimal("33.3"))
    assert price_simulation.SimulatedTotal("x", before=Decimal(4), after=Decimal(3)).percent == -25
    assert price_simulation.SimulatedTotal("x", after=Decimal(3)).percent is None


def test_accounts_are_named_ranked_and_cut_to_the_first_twenty(
    alice, bob, charlie, account_of, now, monkeypatch
):
    monkeypatch.setattr(price_simulation, "MAX_ACCOUNTS_SHOWN", 2)
    for minutes, (user, tokens) in enumerate(((alice, 40_000), (bob, 45_000), (charlie, 30_000))):
        use(account_of(user), now - timedelta(minutes=minutes), tokens=tokens)
    simulation = simulate(draft(now, claude_sonnet_4=2), now)
    assert [(total.name, total.difference) for total in simulation.paying_more] == [
        ("Bob", 99),
        ("Alice", 88),
    ]
    assert [total.name for total in simulation.insufficient] == ["Charlie", "Bob"], "the earliest first"
    assert simulation.insufficient_count == 3
    cheaper = simulate(draft(now, claude_sonnet_4=Decimal("0.5")), now)
    assert (cheaper.paying_more, cheaper.insufficient, cheaper.insufficient_count) == ([], [], 0)
    assert cheaper.total.percent == -50


def test_a_truncated_window_begins_after_the_newest_charge_left_out(account, now, monkeypatch):
    for minutes in (3, 2, 1):
        use(account, now - timedelta(minutes=minutes), tokens=100)
    monkeypatch.setattr(price_simulation, "MAX_CHARGES", 2)
    assert simulate(draft(now), now).since == now - timedelta(minutes=3)
    monkeypatch.setattr(price_simulation, "MAX_CHARGES", 3)
    whole = simulate(draft(now), now)
    assert (whole.truncated, whole.total.charges, whole.since) == (False, 3, now - timedelta(days=7))


def test_the_days_of_the_page_are_1_to_90_and_14_unless_told(staff, signed_in, now):
    address = reverse("admin:pricing_ratecard_simulation", args=[RateCard.objects.get().pk])
    browser = signed_in(staff)
    for query, days in (("0", 14), ("91", 14), ("x", 14), ("", 14), ("1", 1), ("90", 90)):
        context = browser.get(address, {"days": query} if query else {}).context
        assert context["days"] == days
        since = timezone.now() - context["simulation"].since
        assert timedelta(0) <= since - timedelta(days=days) < timedelta(minutes=1)
