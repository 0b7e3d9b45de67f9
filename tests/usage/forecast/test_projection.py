"""How credits run down: the order of spending, expiries, refreshes, top-ups, debt and new prices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from billing.models import Allowance
from usage.forecast import projection
from usage.forecast.projection import Kind, Projection, Rate
from usage.forecast.supply import Lot, Renewal, Supply, TopUps

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
UTC_ZONE = ZoneInfo("UTC")


def lot(credits: str, *, expires_in: int | None = None, priority: int = 40, label: str = "Pack") -> Lot:
    expires_at = None if expires_in is None else NOW + expires_in * DAY
    return Lot(label, "top_up" if priority == 40 else "bonus", Decimal(credits), expires_at, priority)


def allowance(kind: str, next_at: datetime) -> Allowance:
    """100 credits a day ("daily") or a month ("plan"), which last until the next ones."""
    period, priority = ("day", 10) if kind == "daily" else ("month", 20)
    return Allowance(
        label=kind.title(),
        kind=kind,
        credits=Decimal(100),
        period=period,
        lasts="period",
        priority=priority,
        anchor_at=next_at,
        next_at=next_at,
    )


def run(supply: Supply, per_day: str, *, days: int = 60) -> Projection:
    return projection.run(supply, [Rate(NOW, Decimal(per_day))], now=NOW, until=NOW + days * DAY)


def listed(shown: Projection) -> list[tuple[float, str, Decimal]]:
    """Day, kind and credits of each event."""
    return [(round((event.at - NOW) / DAY, 3), event.kind, event.credits) for event in shown.events]


def left_after(shown: Projection, days: float) -> Decimal:
    """The balance at the newest point not later than so many days from now."""
    return [left for at, left in shown.points if at <= NOW + days * DAY][-1]


def test_the_balance_falls_by_the_pace_and_is_empty_when_all_is_spent() -> None:
    shown = run(Supply([lot("100")]), "8")
    assert [left for _at, left in shown.points[:3]] == [100, 92, 84]
    assert listed(shown) == [(12.5, "empty", 0)]
    assert shown.empty_at == NOW + 12.5 * DAY
    assert left_after(shown, 12.5) == left_after(shown, 60) == 0


def test_of_credits_of_one_kind_those_that_expire_are_spent_first() -> None:
    shown = run(Supply([lot("100"), lot("100", expires_in=12)]), "10")
    assert listed(shown) == [(20.0, "empty", 0)]


def test_without_use_nothing_is_spent_and_what_expires_is_lost() -> None:
    shown = run(Supply([lot("100"), lot("1000", expires_in=12, priority=30, label="Bonus")]), "0")
    assert listed(shown) == [(12.0, "expiry", 1000)]
    assert (left_after(shown, 11.9), left_after(shown, 60), shown.empty_at) == (1100, 100, None)


def test_priority_comes_before_expiry_so_that_a_pack_can_expire_while_a_bonus_is_spent() -> None:
    supply = Supply([lot("50", expires_in=3), lot("100", expires_in=30, priority=30)])
    shown = run(supply, "10")
    assert listed(shown) == [(3.0, "expiry", 50), (10.0, "empty", 0)]


def test_a_run_leaves_the_supply_as_it_was() -> None:
    supply = Supply([lot("100")], top_ups=TopUps("Pack", Decimal(10), Decimal(50), "forever", 3, NOW))
    before = [replace(each) for each in supply.lots]
    first = run(supply, "9")
    assert supply.lots == before and supply.top_ups is not None and supply.top_ups.bought == 0
    assert run(supply, "9") == first


def test_an_allowance_is_granted_each_period_and_its_rest_is_lost() -> None:
    terms = allowance("daily", NOW + DAY / 2)
    shown = run(Supply([], [Renewal(terms, UTC_ZONE, NOW + DAY / 2, None)]), "60", days=3)
    assert listed(shown) == [
        (0.0, "empty", 0),
        (0.5, "grant", 100),
        (1.5, "expiry", 40),
        (1.5, "grant", 100),
        (2.5, "expiry", 40),
        (2.5, "grant", 100),
    ]
    assert shown.expiring == [], "what is left of a daily allowance is not reported as lost"


def test_an_allowance_ends_with_its_plan() -> None:
    terms = allowance("plan", NOW + DAY)
    shown = run(Supply([], [Renewal(terms, UTC_ZONE, NOW + DAY, NOW + 20 * DAY)]), "1")
    assert [event.kind for event in shown.events] == [Kind.EMPTY, Kind.GRANT, Kind.EXPIRY]


def test_automatic_top_up_buys_when_the_threshold_is_reached_and_stops_at_the_limit_of_the_month() -> None:
    top_ups = TopUps("Pack", Decimal(20), Decimal(50), "forever", 2, datetime(2026, 11, 1, tzinfo=UTC))
    shown = run(Supply([lot("40")], top_ups=top_ups), "10", days=30)
    # 2 November and 2 December purchases: the month ends 10.5 days from now
    assert listed(shown) == [
        (2.0, "top_up", 50),
        (7.0, "top_up", 50),
        (12.0, "top_up", 50),
        (17.0, "top_up", 50),
        (24.0, "empty", 0),
    ]


def test_purchases_of_this_month_count_and_the_next_month_begins_anew() -> None:
    top_ups = TopUps("Pack", Decimal(20), Decimal(50), "forever", 1, datetime(2026, 11, 1, tzinfo=UTC), 1)
    shown = run(Supply([lot("40")], top_ups=top_ups), "10", days=12)
    assert listed(shown) == [(4.0, "empty", 0), (10.5, "top_up", 50)]


def test_a_balance_below_the_threshold_buys_until_it_is_passed() -> None:
    top_ups = TopUps("Pack", Decimal(100), Decimal(50), "2 days", 5, datetime(2026, 11, 1, tzinfo=UTC))
    shown = run(Supply([lot("10")], top_ups=top_ups), "0", days=1)
    assert listed(shown) == [(0.0, "top_up", 50), (0.0, "top_up", 50)]
    assert shown.points[-1][1] == 110


def test_a_balance_at_the_threshold_buys_nothing_while_nothing_is_spent() -> None:
    top_ups = TopUps("Pack", Decimal(100), Decimal(50), "forever", 5, datetime(2026, 11, 1, tzinfo=UTC))
    assert listed(run(Supply([lot("100")], top_ups=top_ups), "0", days=1)) == []


def test_new_credits_repay_the_debt_first() -> None:
    terms = allowance("plan", NOW + DAY)
    shown = run(Supply([], [Renewal(terms, UTC_ZONE, NOW + DAY, None)], debt=Decimal(70)), "0", days=2)
    assert left_after(shown, 1) == 30


def test_new_prices_change_the_pace_at_their_date() -> None:
    rates = [Rate(NOW, Decimal(10)), Rate(NOW + 2 * DAY, Decimal(20))]
    shown = projection.run(Supply([lot("100")]), rates, now=NOW, until=NOW + 60 * DAY)
    assert listed(shown) == [(2.0, "prices", 0), (6.0, "empty", 0)]


def test_without_use_there_is_no_date_at_which_the_credits_are_used_up() -> None:
    supply = Supply([lot("1")])
    assert projection.empty_at(supply, [Rate(NOW, Decimal(0))], now=NOW, until=NOW + 366 * DAY) is None
    assert projection.empty_at(supply, [Rate(NOW, Decimal(1))], now=NOW, until=NOW + 366 * DAY) == NOW + DAY
    assert projection.empty_at(supply, [Rate(NOW, Decimal(1))], now=NOW, until=NOW + DAY / 2) is None
