"""Limits: what a new one has already seen, changes of terms, windows that turn, reversals across windows."""

import datetime as dt
import uuid
from typing import Any

import pytest

from accounts.models import Account
from billing import ledger
from billing.ledger.models import Entry, Limit, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account, spend
from tests.billing.ledger.statement import used

pytestmark = pytest.mark.django_db
HOUR, INSTANT = dt.timedelta(hours=1), dt.timedelta(microseconds=1)
MIDNIGHT = NOON + DAY / 2
PROJECT, MEMBER, KEY = (uuid.UUID(int=n) for n in (11, 12, 13))
NAMES = {"project": "project_id", "member": "member_id", "key": "api_key_id"}
SUBJECTS = {"project": PROJECT, "member": MEMBER, "key": KEY}
KINDS = pytest.mark.parametrize("kind", list(NAMES))


def limit(account, kind: str, maximum: str | None, period: str = "day", now=NOON, subject: Any = None):
    amount = None if maximum is None else D(maximum)
    name = str(subject or SUBJECTS.get(kind, "files"))
    return ledger.set_limit(
        account_id=account, kind=kind, subject=name, period=period, maximum=amount, now=now
    )


def of(kind: str) -> dict[str, uuid.UUID]:
    return {NAMES[kind]: SUBJECTS[kind]}


def reverse(account, charged, amount: str | None = None, key: str = "reverse", now=NOON):
    credits = None if amount is None else D(amount)
    return ledger.reverse(
        account_id=account, charge_id=charged.charge_id, credits=credits, key=key, reason="r", now=now
    )


def terms_entries(account) -> int:
    return Entry.objects.filter(account_id=account, kind="terms").count()


@pytest.fixture
def account(db: None) -> uuid.UUID:
    account = new_account()
    give(account, "1000", "pack", now=NOON - 60 * DAY)
    return account


class TestANewLimit:
    """It begins with what its window has seen of its subject: charges, less reversals, and running holds."""

    @KINDS
    def test_counts_charges_of_its_own_subject_in_its_own_window(self, account, kind):
        midnight = NOON - DAY / 2
        other = {NAMES[kind]: uuid.UUID(int=99)}
        spend(account, "100", "yesterday", midnight - INSTANT, **of(kind))
        spend(account, "1", "at midnight", midnight, **of(kind))
        spend(account, "0.5", "today", **of(kind))
        spend(account, "40", "of another", **other)
        spend(account, "40", "of none")
        back = spend(account, "8", "returned", **of(kind))
        reverse(account, back, "6")
        assert limit(account, kind, "10") == D("3.5")
        assert limit(new_account(), kind, "10") == 0

    @KINDS
    def test_does_not_count_the_same_id_of_another_kind(self, account, kind):
        others = {name: SUBJECTS[kind] for other, name in NAMES.items() if other != kind}
        spend(account, "5", "other kinds", **others)
        hold = charge_request(account, "5", "hold", **others)
        ledger.hold(hold, expires_at=NOON + DAY, now=NOON)
        assert limit(account, kind, "10") == 0
        spend(account, "7", "more", **others)
        assert used(account) == {kind: "0"}

    @KINDS
    def test_counts_running_holds_of_its_subject_in_its_window_and_no_others(self, account, kind):
        def hold(key, amount, made=NOON, **terms):
            request = charge_request(account, amount, key, **terms)
            return ledger.hold(request, expires_at=NOON + 9 * DAY, now=made)

        hold("yesterday", "100", NOON - DAY, **of(kind))
        hold("at midnight", "1", NOON - DAY / 2, **of(kind))
        hold("today", "3", **of(kind))
        hold("of another", "30", **{NAMES[kind]: uuid.UUID(int=99)})
        dropped = hold("released", "50", **of(kind))
        ledger.release(account_id=account, hold_id=dropped.hold_id, now=NOON)
        taken = hold("captured", "20", **of(kind))
        ledger.capture(
            account_id=account, hold_id=taken.hold_id, credits=D("0.25"), key="c", detail={}, now=NOON
        )
        assert limit(account, kind, "10") == D("4.25")

    def test_counts_what_a_capture_collected(self, db):
        account = new_account()
        give(account, "5")
        held = ledger.hold(
            charge_request(account, "5", "h", project_id=PROJECT), expires_at=NOON + DAY, now=NOON
        )
        ledger.capture(account_id=account, hold_id=held.hold_id, credits=D("9"), key="c", detail={}, now=NOON)
        assert limit(account, "project", "10") == D("5")

    @pytest.mark.parametrize(
        ("period", "seen"),
        [("day", "1"), ("month", "3"), ("ever", "7")],
    )
    def test_of_each_period_counts_its_window(self, account, period, seen):
        spend(account, "4", "in february", dt.datetime(2026, 2, 28, 23, 59, tzinfo=dt.UTC), **of("project"))
        spend(account, "2", "in march", dt.datetime(2026, 3, 1, tzinfo=dt.UTC), **of("project"))
        spend(account, "1", "today", **of("project"))
        assert limit(account, "project", "10", period) == D(seen)
        window = Limit.objects.get()
        starts = {"day": NOON - DAY / 2, "month": dt.datetime(2026, 3, 1, tzinfo=dt.UTC)}
        ends = {"day": MIDNIGHT, "month": dt.datetime(2026, 4, 1, tzinfo=dt.UTC)}
        since = starts.get(period, dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
        assert (window.window_start, window.window_end) == (since, ends.get(period))

    def test_of_a_quota_begins_with_nothing(self, account):
        spend(account, "0", "before", quota=("files", 4))
        assert limit(account, "quota", "5") == 0
        spend(account, "0", "after", quota=("files", 5))
        with pytest.raises(ledger.QuotaReached):
            spend(account, "0", "more", quota=("files", 1))

    def test_has_the_days_of_the_accounts_zone(self, db):
        account = new_account("Asia/Kathmandu", NOON - DAY)
        give(account, "10", now=NOON - DAY)
        midnight = dt.datetime(2026, 3, 9, 18, 15, tzinfo=dt.UTC)
        spend(account, "1", "yesterday there", midnight - INSTANT, **of("project"))
        spend(account, "2", "today there", midnight, **of("project"))
        assert limit(account, "project", "10") == D("2")


class TestAChange:
    @KINDS
    def test_of_the_maximum_keeps_the_window_and_its_count(self, account, kind):
        limit(account, kind, "10")
        spend(account, "8", "a", **of(kind))
        before = Limit.objects.get()
        assert limit(account, kind, "5", now=NOON + HOUR) == D("8")
        now = Limit.objects.get()
        assert (now.maximum, now.used) == (D("5"), D("8"))
        assert (now.window_start, now.window_end) == (before.window_start, before.window_end)
        with pytest.raises(ledger.LimitReached) as refusal:
            spend(account, "0.000001", "b", **of(kind))
        assert (refusal.value.maximum, refusal.value.used) == (D("5"), D("8"))
        spend(account, "0", "a free use", **of(kind))

    def test_of_the_maximum_after_the_window_ended_begins_with_nothing(self, account):
        limit(account, "project", "10")
        spend(account, "8", "a", **of("project"))
        assert limit(account, "project", "5", now=MIDNIGHT - INSTANT) == D("8")
        assert limit(account, "project", "5", now=MIDNIGHT) == 0
        assert Limit.objects.get().window_start == MIDNIGHT

    def test_of_the_period_counts_the_new_window(self, account):
        spend(account, "4", "yesterday", NOON - DAY, **of("project"))
        limit(account, "project", "10", "day")
        spend(account, "1", "today", **of("project"))
        assert limit(account, "project", "20", "month") == D("5")
        changed = Limit.objects.get()
        assert (changed.period, changed.maximum, changed.used) == ("month", D("20"), D("5"))
        assert changed.window_end == dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
        assert limit(account, "project", "20", "day") == D("1")

    def test_of_a_keys_limit_of_one_period_leaves_that_of_the_other(self, account):
        """A key has a limit by day and one by month."""
        spend(account, "4", "yesterday", NOON - DAY, **of("key"))
        spend(account, "1", "today", **of("key"))
        assert (limit(account, "key", "3", "day"), limit(account, "key", "20", "month")) == (D("1"), D("5"))
        assert limit(account, "key", "2", "day") == D("1")
        assert set(Limit.objects.values_list("period", "maximum", "used")) == {
            ("day", 2, 1),
            ("month", 20, 5),
        }
        spend(account, "1", "more", **of("key"))
        with pytest.raises(ledger.LimitReached) as refusal:
            spend(account, "1", "above the day's", **of("key"))
        assert (refusal.value.limit, refusal.value.resets_at) == ("key", MIDNIGHT)
        spend(account, "1.5", "tomorrow", MIDNIGHT, **of("key"))
        assert limit(account, "key", "7.5", "month", MIDNIGHT) == D("7.5")
        with pytest.raises(ledger.LimitReached) as refusal:
            spend(account, "1", "above both", MIDNIGHT, **of("key"))
        assert refusal.value.resets_at == dt.datetime(2026, 4, 1, tzinfo=dt.UTC), "the later reset"
        assert limit(account, "key", None, "month", MIDNIGHT) is None
        assert [one.period for one in Limit.objects.all()] == ["day"]
        assert ledger.audit.run(now=MIDNIGHT).findings == []

    def test_of_one_limit_leaves_the_others(self, account):
        for kind in NAMES:
            limit(account, kind, "10")
        limit(account, "project", "10", subject=uuid.UUID(int=99))
        limit(account, "project", "3")
        limit(account, "member", None)
        found = set(Limit.objects.values_list("kind", "subject", "maximum"))
        assert found == {
            ("project", str(PROJECT), 3), ("project", str(uuid.UUID(int=99)), 10), ("key", str(KEY), 10),
        }  # fmt: skip

    def test_is_recorded_once_and_the_same_terms_again_are_not(self, account):
        for maximum, period, count in [
            ("10", "day", 1), ("10", "day", 1), ("11", "day", 2), ("11", "day", 2), ("11", "month", 3),
            ("11", "month", 3), (None, "month", 4), (None, "month", 4), ("11", "month", 5),
        ]:  # fmt: skip
            limit(account, "project", maximum, period)
            assert terms_entries(account) == count, (maximum, period)
        assert ledger.audit.run(now=NOON).findings == []

    def test_removing_a_limit_returns_nothing_and_stops_no_more(self, account):
        limit(account, "project", "1")
        limit(account, "member", "1")
        assert limit(account, "project", None) is None
        assert Wallet.objects.get().limited, "the member's limit is left"
        spend(account, "5", "a", **of("project"))
        assert limit(account, "member", None) is None
        assert not Wallet.objects.get().limited
        assert limit(account, "member", None) is None, "there is none any more"

    def test_a_limit_that_is_removed_and_set_again_counts_what_happened_between(self, account):
        limit(account, "project", "10")
        spend(account, "3", "a", **of("project"))
        limit(account, "project", None)
        spend(account, "4", "b", **of("project"))
        assert limit(account, "project", "10") == D("7")

    def test_accounts_with_the_same_subject_have_limits_of_their_own(self, account):
        other = new_account()
        give(other, "100")
        limit(account, "project", "10")
        limit(other, "project", "20")
        spend(account, "10", "a", **of("project"))
        spend(other, "20", "a", **of("project"))
        limit(other, "project", None)
        assert used(account) == {"project": "10"}


class TestTheWindow:
    @pytest.mark.parametrize(
        ("period", "ends"),
        [("day", MIDNIGHT), ("month", dt.datetime(2026, 4, 1, tzinfo=dt.UTC))],
    )
    @pytest.mark.parametrize("move", ["charge", "hold", "batch", "large batch"])
    def test_turns_at_its_end_and_not_before(self, account, period, ends, move):
        limit(account, "project", "10", period)
        limit(account, "quota", "3", period)
        terms = of("project") | {"quota": ("files", 3)}
        spend(account, "10", "before", **terms)

        def use(key, now):
            request = charge_request(account, "10", key, **terms)
            if move == "charge":
                return ledger.charge(request, now)
            if move == "hold":
                return ledger.hold(request, expires_at=now + DAY, now=now)
            others = [charge_request(account, "0.01", f"{key} {n}") for n in range(60)]
            outcome = ledger.charge_many([request, *others[: 1 if move == "batch" else 60]], now)[0]
            if isinstance(outcome, ledger.LedgerError):
                raise outcome
            return outcome

        with pytest.raises(ledger.LimitReached) as refusal:
            use("last", ends - INSTANT)
        assert refusal.value.resets_at == ends
        use("first", ends)
        assert used(account) == {"project": "10", "quota": "3"}
        assert {one.window_start for one in Limit.objects.all()} == {ends}

    def test_of_all_time_never_turns(self, account):
        limit(account, "project", "10", "ever")
        spend(account, "10", "before", **of("project"))
        with pytest.raises(ledger.LimitReached) as refusal:
            spend(account, "1", "years later", NOON + 3000 * DAY, **of("project"))
        assert refusal.value.resets_at is None

    def test_turns_for_the_use_alone_and_keeps_the_others_until_they_are_used(self, account):
        limit(account, "project", "10")
        limit(account, "member", "10")
        spend(account, "4", "a", **of("project") | of("member"))
        spend(account, "1", "b", MIDNIGHT, **of("project"))
        assert used(account) == {"project": "1", "member": "4"}
        spend(account, "2", "c", MIDNIGHT, **of("member"))
        assert used(account) == {"project": "1", "member": "2"}

    def test_that_was_skipped_is_the_present_one(self, account):
        limit(account, "project", "10")
        now = MIDNIGHT + 5 * DAY + HOUR
        spend(account, "1", "much later", now, **of("project"))
        window = Limit.objects.get()
        assert (window.window_start, window.window_end) == (MIDNIGHT + 5 * DAY, MIDNIGHT + 6 * DAY)

    @pytest.mark.parametrize(
        ("zone", "ends"),
        [
            # the window in UTC ends at midnight; the next one is at least 24 hours long
            ("Asia/Tokyo", dt.datetime(2026, 3, 12, 15, tzinfo=dt.UTC)),
            ("America/New_York", dt.datetime(2026, 3, 12, 4, tzinfo=dt.UTC)),
        ],
    )
    def test_after_a_change_of_zone_follows_the_former_one(self, account, zone, ends):
        limit(account, "project", "10")
        Account.objects.filter(id=account).update(zone=zone)
        spend(account, "1", "next", MIDNIGHT, **of("project"))
        window = Limit.objects.get()
        assert (window.window_start, window.window_end) == (MIDNIGHT, ends)

    def test_of_a_day_of_23_hours_is_that_day(self, db):
        noon = dt.datetime(2026, 3, 28, 11, tzinfo=dt.UTC)
        account = new_account("Europe/Berlin", noon)
        give(account, "10", now=noon)
        limit(account, "project", "10", now=noon)
        spend(account, "1", "the day after", noon + DAY, **of("project"))
        window = Limit.objects.get()
        began = dt.datetime(2026, 3, 28, 23, tzinfo=dt.UTC)
        assert (window.window_start, window.window_end) == (began, began + 23 * HOUR)

    def test_of_a_month_after_a_change_of_zone_ends_with_the_new_zones_month(self, account):
        limit(account, "project", "10", "month")
        Account.objects.filter(id=account).update(zone="America/New_York")
        april = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
        spend(account, "1", "next", april + 5 * HOUR, **of("project"))
        window = Limit.objects.get()
        # New York's April began at 4:00 UTC, after the former window had ended
        assert (window.window_start, window.window_end) == (
            april + 4 * HOUR, dt.datetime(2026, 5, 1, 4, tzinfo=dt.UTC),
        )  # fmt: skip


class TestReversals:
    """A reversal is subtracted where the charge was counted: in the window that contains the charge."""

    @pytest.fixture
    def charged(self, account):
        for kind in NAMES:
            limit(account, kind, "100")
        limit(account, "quota", "10")
        return spend(
            account, "9", "charge", **of("project") | of("member") | of("key") | {"quota": ("files", 3)}
        )

    def test_of_a_part_and_of_the_rest(self, account, charged):
        reverse(account, charged, "4", "part")
        assert used(account) == dict.fromkeys(NAMES, "5") | {"quota": "2"}
        reverse(account, charged, key="rest")
        assert used(account) == dict.fromkeys([*NAMES, "quota"], "0")

    def test_in_the_last_instant_of_the_window_and_in_the_first_of_the_next(self, account, charged):
        reverse(account, charged, "4", "before", MIDNIGHT - INSTANT)
        assert used(account) == dict.fromkeys(NAMES, "5") | {"quota": "2"}
        reverse(account, charged, "4", "after", MIDNIGHT)
        assert used(account) == dict.fromkeys([*NAMES, "quota"], "0")
        assert {one.window_start for one in Limit.objects.all()} == {MIDNIGHT}

    def test_in_a_later_window_subtracts_nothing_from_it(self, account, charged):
        spend(account, "2", "tomorrow", MIDNIGHT, **of("project") | {"quota": ("files", 1)})
        reverse(account, charged, now=MIDNIGHT + HOUR)
        assert used(account) == {"project": "2", "member": "0", "key": "0", "quota": "1"}

    def test_of_a_charge_at_the_first_instant_of_the_window(self, account):
        limit(account, "project", "100")
        charged = spend(account, "9", "at midnight", MIDNIGHT, **of("project"))
        reverse(account, charged, now=MIDNIGHT + HOUR)
        assert used(account) == {"project": "0"}

    def test_of_a_charge_before_the_limit_is_subtracted_as_it_was_counted(self, account):
        charged = spend(account, "9", "before", **of("project"))
        assert limit(account, "project", "100") == D("9")
        reverse(account, charged, "4")
        assert used(account) == {"project": "5"}

    def test_of_more_than_is_used_leaves_nothing_and_not_less(self, account):
        charged = spend(account, "0.9", "before", quota=("files", 3))
        limit(account, "quota", "10")  # a quota begins with nothing used
        spend(account, "0", "after", quota=("files", 1))
        reverse(account, charged)
        assert used(account) == {"quota": "0"}

    def test_of_another_subject_or_account_is_not_subtracted(self, account, charged):
        other = new_account()
        give(other, "10")
        limit(other, "project", "10")
        spend(other, "5", "charge", **of("project"))
        reverse(account, spend(account, "2", "elsewhere", project_id=uuid.UUID(int=99)), key="r2")
        assert (used(other), used(account)["project"]) == ({"project": "5"}, "9")


def test_a_window_of_exactly_24_hours_that_a_change_of_zone_leaves_is_long_enough(db):
    eve = dt.datetime(2026, 10, 24, 12, tzinfo=dt.UTC)
    account = new_account(now=eve)
    give(account, "1000", "pack", now=eve)
    limit(account, "project", "10", now=eve)
    Account.objects.filter(pk=account).update(zone="Europe/London")  # whose 25 October has 25 hours
    spend(account, "1", "use", eve + DAY, **of("project"))
    window = Limit.objects.get()
    assert window.window_start == dt.datetime(2026, 10, 25, tzinfo=dt.UTC)
    assert window.window_end == dt.datetime(2026, 10, 26, tzinfo=dt.UTC)
