"""Sums of usage are those of the charges, whatever is summed when, also while charges and reversals go on."""

import io
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from structlog.testing import capture_logs

from accounts.models import Account
from billing import ledger
from billing.models import Charge, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, capture, charge_request, give, hold, new_account
from tests.billing.ledger.examples import SEED
from usage.dashboard import aggregates
from usage.models import SummedAccount, UsageSum
from usage.periods import Period
from usage.sums import folding
from usage.sums.columns import DIMENSIONS

ZONES = ["UTC", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "America/Havana"]
BEGINS = NOON - 4 * DAY  # clocks change in America on the second day


class Draw:
    """An account whose charges, captures and reversals are drawn."""

    def __init__(self, account_id: UUID, seed: object) -> None:
        self.account_id = account_id
        self.random = random.Random(f"{SEED} {seed}")
        self.now = BEGINS
        self.charges: list[UUID] = []
        self.members = [uuid4(), uuid4(), None]

    def terms(self) -> dict[str, Any]:
        pick = self.random.choice
        return {
            "service": pick(["gpt-4o", "flux"]),
            "project_id": pick(self.members),
            "member_id": pick(self.members),
            "api_key_id": pick(self.members),
            "conversation": pick(["", "c-1", "c-2"]),
        }

    def charge(self) -> None:
        self.now += timedelta(minutes=self.random.choice([0, 0, 7, 90, 700]))
        amount, key = self.random.choice(["0", "0.25", "1.5"]), str(uuid4())
        if self.random.random() < 0.2:
            held = hold(self.account_id, "1", key, until=self.now + DAY, now=self.now, **self.terms())
            charged = capture(self.account_id, held, amount, f"capture {key}", now=self.now)
        else:
            charged = ledger.charge(charge_request(self.account_id, amount, key, **self.terms()), self.now)
        self.charges.append(charged.charge_id)

    def reverse(self) -> None:
        """Return a part of any charge, a summed one too, or all that is left."""
        charge = Charge.objects.get(pk=self.random.choice(self.charges))
        left = charge.credits - charge.uncollected - charge.returned
        if left:
            amount = self.random.choice([left, min(left, D("0.1"))])
            ledger.reverse(
                account_id=self.account_id, charge_id=charge.pk, credits=amount, key=str(uuid4()),
                reason="r", now=self.now,
            )  # fmt: skip

    def any(self) -> None:
        if self.charges and self.random.random() < 0.25:
            self.reverse()
        else:
            self.charge()


def drawn_account(zone: str, seed: object) -> Draw:
    account_id = new_account(zone, BEGINS - DAY)
    give(account_id, "100000", now=BEGINS - DAY)
    return Draw(account_id, seed)


def spent(charge: Charge) -> Decimal:
    return charge.credits - charge.uncollected - charge.returned


def test_what_was_not_collected_is_in_no_sum(db: None) -> None:
    account = new_account()
    give(account, "5")
    captured = capture(account, hold(account, "4"), "9")
    ledger.charge(
        charge_request(account, "0", "later"), NOON + DAY
    )  # charges before the newest entry are summed
    folding.fold(account)
    assert UsageSum.objects.get(account_id=account, dimension="").credits == D("5")
    reversal = {"charge_id": captured.charge_id, "now": NOON + DAY}  # the instant up to which it is summed
    ledger.reverse(account_id=account, key="r", reason="r", **reversal)
    days = Period(first=NOON.date(), last=NOON.date(), zone=ZoneInfo("UTC"))
    assert aggregates.daily_totals(Account.objects.get(pk=account), days) == [(NOON.date(), 0)]


def require_sums_of_charges(account: Account, zone: str, start: datetime, end: datetime) -> None:
    """Compare every kind of sum with one made charge by charge in Python."""
    place = ZoneInfo(zone)
    charges = list(Charge.objects.filter(account=account, created_at__gte=start, created_at__lt=end))
    starts: dict[str, Callable[[datetime], Any]] = {
        "": lambda at: None,
        "hour": lambda at: at.replace(minute=0, second=0, microsecond=0, fold=0),
        "day": lambda at: at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0),
        "month": lambda at: at.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0),
    }
    for group_by in ("", *DIMENSIONS):
        for interval, start_of in starts.items():
            credits, calls = Counter[Any](), Counter[Any]()
            for charge in charges:
                value = getattr(charge, DIMENSIONS[group_by]) if group_by else None
                key = (
                    start_of(charge.created_at.astimezone(place)),
                    aggregates.public_key(group_by, value) or None,
                )
                credits[key] += spent(charge)
                calls[key] += 1
            found = aggregates.interval_totals(
                account.pk, start=start, end=end, group_by=group_by, interval=interval, zone=place
            )
            expected = {key: (credits[key], calls[key]) for key in calls}
            if not (group_by or interval):
                expected = expected or {(None, None): (Decimal(0), 0)}
            assert {(one.start, one.group): (one.credits, one.charges) for one in found} == expected, (
                SEED, group_by, interval, zone,
            )  # fmt: skip
            ordered = [((one.start and one.start.replace(tzinfo=None)) or 0, -one.credits) for one in found]
            assert ordered == sorted(ordered)


def require_totals_of_pages(account: Account, first: date, last: date) -> None:
    """Compare the totals of days and groups, with and without a filter, with those of single charges."""
    zone = ZoneInfo(account.zone)
    period = Period(first=first, last=last, zone=zone)
    charges = list(
        Charge.objects.filter(account=account, created_at__gte=period.start, created_at__lt=period.end)
    )
    projects = {"project_id": charges[0].project_id if charges else None}
    for filters in ({}, {"service": "flux"}, projects, {"member_id": uuid4()}):
        chosen = [
            each for each in charges if all(getattr(each, name) == value for name, value in filters.items())
        ]
        by_day = Counter[date]()
        for each in chosen:
            by_day[each.created_at.astimezone(zone).date()] += spent(each)
        assert aggregates.daily_totals(account, period, **filters) == [
            (day, by_day[day]) for day in period.days
        ]
        for dimension, column in DIMENSIONS.items():
            groups = aggregates.group_totals(account, period, dimension=dimension, **filters)
            expected: dict[str, list[Charge]] = {}
            for each in chosen:
                expected.setdefault(aggregates.public_key(dimension, getattr(each, column)), []).append(each)
            assert {group.key: (group.credits, group.calls, group.last_at) for group in groups} == {
                key: (sum(map(spent, of_key)), len(of_key), max(each.created_at for each in of_key))
                for key, of_key in expected.items()
            }
            values = [getattr(each, column) for each in chosen[:2]]
            found = aggregates.totals_by_value(account, period, dimension=dimension, values=values)
            assert set(found) == set(values)


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ZONES)
def test_sums_of_generated_histories_are_those_of_their_charges(zone: str) -> None:
    draw = drawn_account(zone, zone)
    account = Account.objects.get(pk=draw.account_id)
    for _round in range(4):
        for _ in range(draw.random.randrange(25)):
            draw.any()
        if draw.random.random() < 0.8:
            folding.fold(account.pk)
            assert folding.differences(account.pk) == []
        for _ in range(draw.random.randrange(6)):
            draw.any()
        today = draw.now.astimezone(ZoneInfo(zone)).date()
        require_totals_of_pages(account, today - timedelta(days=draw.random.randrange(4)), today)
        for other in (zone, "Asia/Tokyo"):
            start = BEGINS + timedelta(minutes=draw.random.randrange(6000))
            require_sums_of_charges(
                account, other, start, start + timedelta(minutes=draw.random.randrange(1, 9000))
            )


@pytest.mark.django_db
def test_whole_days_are_read_from_sums() -> None:
    draw = drawn_account("Asia/Kathmandu", "whole days")
    account, zone = Account.objects.get(pk=draw.account_id), ZoneInfo("Asia/Kathmandu")
    for _ in range(30):
        draw.charge()
    folding.fold(account.pk)
    UsageSum.objects.filter(account=account).update(credits=7)
    until = SummedAccount.objects.get(pk=account.pk).until
    expected = Counter[date]()
    for charge in Charge.objects.filter(account=account).order_by("created_at"):
        day = charge.created_at.astimezone(zone).date()
        expected[day] = 7 if charge.created_at < until else expected[day] + spent(charge)
    days = Period(first=BEGINS.date() - DAY, last=draw.now.date() + DAY, zone=zone)
    assert aggregates.daily_totals(account, days) == [(day, expected[day]) for day in days.days]


@pytest.mark.django_db
def test_portions_make_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = drawn_account("UTC", "portions")
    for _ in range(60):
        draw.any()
    monkeypatch.setattr(folding, "PORTION", 3)
    folding.fold(draw.account_id)
    assert folding.differences(draw.account_id) == []
    stored = list(UsageSum.objects.order_by("pk").values())
    monkeypatch.undo()
    folding.rebuild(draw.account_id)
    assert list(UsageSum.objects.order_by("pk").values()) == stored != []


@pytest.mark.django_db
def test_days_of_another_zone_are_made_again() -> None:
    draw = drawn_account("UTC", "zone")
    for _ in range(20):
        draw.charge()
    folding.fold(draw.account_id)
    Account.objects.filter(pk=draw.account_id).update(zone="Asia/Kathmandu")
    account = Account.objects.get(pk=draw.account_id)
    require_totals_of_pages(account, BEGINS.date(), draw.now.date())
    folding.fold(draw.account_id)
    assert SummedAccount.objects.get(pk=draw.account_id).zone == "Asia/Kathmandu"
    assert folding.differences(draw.account_id) == []
    require_totals_of_pages(account, BEGINS.date(), draw.now.date())


@pytest.mark.django_db
def test_only_accounts_with_many_new_charges_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = drawn_account("UTC", "few"), drawn_account("UTC", "many")
    few.charge()
    for _ in range(5):
        many.charge()
    with connection.cursor() as cursor:  # as the ledger does at 2,000 entries
        cursor.execute(
            "update billing_wallet set summed_at = moved_at where account_id = %s",
            [many.account_id],
        )
    monkeypatch.setattr(folding, "LEAST_ENTRIES", 10)
    assert folding.fold_due() == 1
    assert set(SummedAccount.objects.values_list("pk", flat=True)) == {many.account_id}
    many.charge()
    assert folding.fold_due() == 0
    for _ in range(10):
        many.charge()
    assert folding.fold_due() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wallet", "zone", "due"),
    [
        ({}, "UTC", 0),
        ({"seq": 1999}, "UTC", 0),
        ({"seq": 2000}, "UTC", 1),
        ({"seq": 2000, "summed_at": None}, "UTC", 0),
        ({}, "Asia/Kathmandu", 1),
    ],
    ids=str,
)
def test_an_account_is_due_again_after_two_thousand_entries_or_a_move(
    wallet: dict[str, Any], zone: str, due: int
) -> None:
    draw = drawn_account("UTC", "due")
    draw.charge()
    Wallet.objects.filter(account_id=draw.account_id).update(summed_at=draw.now)
    assert [folding.fold_due(), folding.fold_due()] == [1, 0]
    seq = SummedAccount.objects.get(pk=draw.account_id).seq
    if "seq" in wallet:
        wallet = wallet | {"seq": seq + wallet["seq"]}
    Wallet.objects.filter(account_id=draw.account_id).update(**{"seq": seq} | wallet)
    Account.objects.filter(pk=draw.account_id).update(zone=zone)
    assert [folding.fold_due(), folding.fold_due()] == [due, 0]


@pytest.mark.django_db
def test_an_account_that_cannot_be_summed_is_reported_and_delays_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = [drawn_account("UTC", n) for n in range(2)]
    for draw in draws:
        draw.charge()
    Wallet.objects.update(summed_at=NOON)
    broken, other = sorted(draw.account_id for draw in draws)
    fold = folding.fold

    def fail(account_id: UUID) -> None:
        if account_id == broken:
            raise DatabaseError("out of range")
        fold(account_id)

    monkeypatch.setattr(folding, "fold", fail)
    with capture_logs() as logs:
        assert folding.fold_due() == 2
    assert set(SummedAccount.objects.values_list("pk", flat=True)) == {other}
    [failed] = logs
    assert (failed["event"], failed["alert"], failed["log_level"]) == ("usage_not_summed", True, "error")
    assert (failed["account"], failed["why"]) == (str(broken), "out of range")


@pytest.mark.django_db
@pytest.mark.parametrize("days", [-200, -31, -1, 0, 28, 29, 30, 31, 200])
def test_a_sum_of_a_day_far_from_the_charges_is_found(days: int) -> None:
    draw = drawn_account("UTC", "far")
    draw.charge()
    draw.now += timedelta(minutes=1)
    draw.charge()
    folding.fold(draw.account_id)
    assert folding.check_all() == []
    day = draw.now.date() + timedelta(days=days)
    UsageSum.objects.create(
        account_id=draw.account_id, day=day, dimension="service", value="x", credits=1, charges=2,
        last_at=draw.now,
    )  # fmt: skip
    with capture_logs() as logs:
        [found] = folding.check_all()
    text = f"account {draw.account_id}, {day}, service x: stored 1.000000 in 2, the charges sum to none"
    assert (found.account_id, found.text) == (draw.account_id, text)
    assert [(log["event"], log["alert"], log["why"]) for log in logs] == [("usage_sum_differs", True, text)]


@pytest.mark.django_db
def test_the_command_finds_and_repairs_a_sum_that_differs() -> None:
    draw = drawn_account("UTC", "command")
    for _ in range(20):
        draw.charge()
    folding.fold(draw.account_id)
    output = io.StringIO()
    call_command("usage_sums", stdout=output)
    assert "all sums" in output.getvalue()
    changed = UsageSum.objects.filter(dimension="service").first()
    assert changed is not None
    UsageSum.objects.filter(pk=changed.pk).update(credits=changed.credits + 1)
    UsageSum.objects.filter(dimension="").last().delete()  # type: ignore[union-attr]
    with pytest.raises(CommandError):
        call_command("usage_sums", stdout=output)
    assert f"service {changed.value}" in output.getvalue()
    assert "stored none" in output.getvalue()
    call_command("usage_sums", "--rebuild", stdout=output)
    assert folding.differences(draw.account_id) == []


@pytest.mark.django_db(transaction=True)
def test_sums_are_right_while_charges_and_reversals_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads charge and reverse, two sum; every read, in one snapshot, is the sum of its charges."""
    monkeypatch.setattr(folding, "PORTION", 7)
    first = drawn_account("UTC", "race")
    first.charge()
    account, stopped = Account.objects.get(pk=first.account_id), threading.Event()
    errors: list[BaseException] = []

    def repeat(act: Callable[[], None], times: int | None) -> None:
        try:
            while (times is None and not stopped.is_set()) or (times and (times := times - 1)):
                with suppress(ledger.NotReversible):  # the charge was reversed by another thread
                    act()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    def worker(number: int) -> Callable[[], None]:
        draw = Draw(first.account_id, number)
        draw.charges = list(first.charges)
        return draw.any

    writers = [threading.Thread(target=repeat, args=(worker(number), 40)) for number in range(3)]
    folders = [
        threading.Thread(target=repeat, args=(lambda: folding.fold(account.pk), None)) for _ in range(2)
    ]
    for thread in [*writers, *folders]:
        thread.start()
    try:
        while any(writer.is_alive() for writer in writers):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read")
                require_totals_of_pages(account, BEGINS.date(), (NOON + 30 * DAY).date())
    finally:
        stopped.set()
        for thread in [*writers, *folders]:
            thread.join(30)
    assert not errors
    assert folding.differences(account.pk) == []
