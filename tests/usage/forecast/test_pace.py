"""How fast an account spends: the mean, its range, and what announced prices make of it."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Charge
from pricing.catalogue import rate_cards
from pricing.models import RateCard
from tests.usage.spending import forget_newest_entry, give, spend
from usage import charging
from usage.forecast import pace
from usage.forecast.pace import Pace

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("days", "per_day", "total", "counted"),
    [
        ([], "0", 0, 0),
        ([0, 0], "0", 0, 0),
        ([0, 5, 0, 1], "2", 6, 3),
        ([10], "10", 10, 1),
        ([1, 0, 0], "0.33", 1, 3),
    ],
)
def test_the_pace_begins_with_the_first_day_of_use(
    days: list[int], per_day: str, total: int, counted: int
) -> None:
    spent = [(date(2026, 11, 1 + number), Decimal(credits)) for number, credits in enumerate(days)]
    assert pace.of(spent) == Pace(Decimal(per_day), Decimal(total), counted)


def test_the_range_is_that_of_the_quietest_and_the_busiest_week() -> None:
    spent = [0] * 5 + [7] * 7 + [14] * 7 + [28] * 7
    days = [(date(2026, 11, 1) + timedelta(days=n), Decimal(credits)) for n, credits in enumerate(spent)]
    assert pace.of(days) == Pace(Decimal("16.33"), Decimal(343), 21, low=Decimal(7), high=Decimal(28))


def test_less_than_two_weeks_of_use_have_no_range() -> None:
    days = [(date(2026, 11, 1) + timedelta(days=n), Decimal(1)) for n in range(13)]
    assert pace.of(days) == Pace(Decimal(1), Decimal(13), 13)
    days.append((date(2026, 11, 14), Decimal(1)))
    assert pace.of(days) == Pace(Decimal(1), Decimal(14), 14, low=Decimal(1), high=Decimal(1))


def announce(account_now: datetime, after: timedelta, **multipliers: str) -> None:
    """Publish a card for `after` from now with these multipliers of services."""
    card = rate_cards.copy_in_force(effective_at=account_now + after, source="staff", now=account_now)
    for service, multiplier in multipliers.items():
        card.rates.filter(service__key=service.replace("_", "-")).update(multiplier=Decimal(multiplier))
    rate_cards.put_in_force(RateCard.objects.get(pk=card.pk), by="staff", now=account_now)


def test_announced_prices_change_the_pace_by_what_the_newest_charges_would_have_cost(
    clock: Any, alice: User, account_of: Callable[[User], Account]
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "500", now)
    for number, service in enumerate(["claude-sonnet-4", "claude-sonnet-4", "kimi-k2"]):
        use = charging.Use(account_id=account.pk, service=service, usage={"tokens": 5000})
        charging.charge(use, key=f"u{number}", fingerprint=b"", now=now)
    before = sum(Charge.objects.filter(account=account).values_list("credits", flat=True))
    sonnet = sum(
        Charge.objects.filter(account=account, service="claude-sonnet-4").values_list("credits", flat=True)
    )
    announce(now, 10 * DAY, claude_sonnet_4="2")
    announce(now, 20 * DAY, claude_sonnet_4="2", gpt_4o="3")  # concerns no service of the account
    announce(now, 90 * DAY, kimi_k2="9")  # too late
    [change] = pace.announced(account, now=now, until=now + 60 * DAY)
    assert (change.at, change.factor) == (now + 10 * DAY, (before + sonnet) / before)
    assert change.percent == ((change.factor - 1) * 100).quantize(Decimal("0.1")) == -change.saving
    assert [rate.per_day for rate in pace.rates(Decimal(10), [change], now)] == [10, 10 * change.factor]


def test_a_covered_use_and_an_earlier_change_of_prices_do_not_change_the_pace(
    clock: Any, alice: User, account_of: Callable[[User], Account]
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "500", now)
    use = charging.Use(account_id=account.pk, service="claude-sonnet-4", usage={"tokens": 5000})
    charging.charge(use, key="paid", fingerprint=b"", now=now)
    spend(account, "0", now, service="kimi-k2", covered_by="unlimited", detail={"usage": {"tokens": 5000}})
    announce(now, DAY, claude_sonnet_4="2")
    clock.shift(2 * DAY)
    announce(timezone.now(), DAY, kimi_k2="3")
    assert pace.announced(account, now=timezone.now(), until=timezone.now() + 60 * DAY) == []


def test_a_service_counts_by_its_credits_also_when_the_newest_charges_are_of_others(
    clock: Any, alice: User, account_of: Callable[[User], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred calls of an agent in an hour do not hide what the month was spent on."""
    monkeypatch.setattr(pace, "REPRICED_CHARGES", 2)
    account, now = account_of(alice), timezone.now()
    give(account, "500", now - 9 * DAY)
    for number, (service, tokens, days) in enumerate(
        [("claude-sonnet-4", 50_000, 8), ("kimi-k2", 5000, 1), ("kimi-k2", 5000, 0)]
    ):
        at = now - days * DAY
        forget_newest_entry(account)
        use = charging.Use(account_id=account.pk, service=service, usage={"tokens": tokens})
        charging.charge(use, key=f"u{number}", fingerprint=b"", now=at)
    announce(now, 10 * DAY, claude_sonnet_4="2")
    [change] = pace.announced(account, now=now, until=now + 60 * DAY)
    # 110 of sonnet become 220, beside 4 of kimi
    assert change.factor == Decimal(224) / Decimal(114)
    announce(now, 20 * DAY, claude_sonnet_4="2.0001")
    assert len(pace.announced(account, now=now, until=now + 60 * DAY)) == 1, "not even 0.1% more"


def test_an_older_charge_of_a_service_does_not_count_beside_its_newest_ones(
    clock: Any, alice: User, account_of: Callable[[User], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch has calls of one instant. The newest calls of kimi state credits, which no card changes."""
    monkeypatch.setattr(pace, "REPRICED_CHARGES", 2)
    account, now = account_of(alice), timezone.now()
    give(account, "500", now - 9 * DAY)
    for service, tokens in (("claude-sonnet-4", 50_000), ("kimi-k2", 5000)):
        forget_newest_entry(account)
        use = charging.Use(account_id=account.pk, service=service, usage={"tokens": tokens})
        charging.charge(use, key=service, fingerprint=b"", now=now - 8 * DAY)
    for days in (1, 0):
        spend(account, "2", now - days * DAY, service="kimi-k2")
    announce(now, 10 * DAY, claude_sonnet_4="2", kimi_k2="3")
    [change] = pace.announced(account, now=now, until=now + 60 * DAY)
    assert change.factor == Decimal(226) / Decimal(116)


def test_without_charges_announced_prices_change_nothing(
    clock: Any, alice: User, account_of: Callable[[User], Account]
) -> None:
    announce(timezone.now(), DAY, claude_sonnet_4="2")
    until = timezone.now() + 60 * DAY
    assert pace.announced(account_of(alice), now=timezone.now(), until=until) == []
