"""Holds, captures and releases count in every limit that names one of their attributes, in its window."""

import datetime as dt
import uuid

import pytest

from billing import ledger
from billing.ledger.models import Limit
from core.amounts import plain
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    capture,
    give,
    hold,
    new_account,
    release,
    spend,
)
from tests.billing.ledger.statement import used

pytestmark = pytest.mark.django_db
MINUTE, HOUR, INSTANT = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(microseconds=1)
PROJECT, MEMBER, KEY = (uuid.UUID(int=n) for n in (11, 12, 13))
EVERYONE = {"project_id": PROJECT, "member_id": MEMBER, "api_key_id": KEY, "quota": ("files", 2)}
ALL_LIMITS = {"project": str(PROJECT), "member": str(MEMBER), "key": str(KEY), "quota": "files"}


def limit(account, kind: str, maximum: str | None, period: str = "day", now=NOON, subject: str | None = None):
    amount = None if maximum is None else D(maximum)
    name = subject or ALL_LIMITS[kind]
    return ledger.set_limit(
        account_id=account, kind=kind, subject=name, period=period, maximum=amount, now=now
    )


class TestLimits:
    """Holds of 6 credits and 2 files count in every limit that names their attributes."""

    @pytest.fixture
    def account(self, db):
        account = new_account()
        give(account, "100", "pack")
        for kind in ALL_LIMITS:
            limit(account, kind, "10")
        return account

    def test_a_hold_counts_in_each(self, account):
        hold(account, "6", **EVERYONE)
        assert used(account) == {"project": "6", "member": "6", "key": "6", "quota": "2"}

    @pytest.mark.parametrize(
        ("kind", "name"),
        [("project", "project_id"), ("member", "member_id"), ("key", "api_key_id")],
    )
    @pytest.mark.parametrize("move", ["hold", "charge"])
    def test_each_is_exact_to_the_last_digit(self, account, kind, name, move):
        take = hold if move == "hold" else spend
        subject = {name: EVERYONE[name]}
        take(account, "6", "first", **subject)
        with pytest.raises(ledger.LimitReached) as refusal:
            take(account, "4.000001", "above", **subject)
        found = refusal.value
        assert (found.limit, found.subject, found.maximum, found.used, found.resets_at) == (
            kind, ALL_LIMITS[kind], D("10"), D("6"), NOON + DAY / 2,
        )  # fmt: skip
        take(account, "4", "exactly", **subject)
        take(account, "0", "free", **subject)
        assert used(account) == dict.fromkeys(ALL_LIMITS, "0") | {kind: "10"}

    @pytest.mark.parametrize("move", ["hold", "charge"])
    def test_a_quota_is_exact_and_counts_each_uses_number(self, account, move):
        take = hold if move == "hold" else spend
        take(account, "0", "first", quota=("files", 7))
        with pytest.raises(ledger.QuotaReached) as refusal:
            take(account, "0", "above", quota=("files", 4))
        assert (refusal.value.quota, refusal.value.maximum, refusal.value.used) == ("files", D("10"), D("7"))
        take(account, "0", "exactly", quota=("files", 3))
        take(account, "50", "of another quota", quota=("images", 99))
        assert used(account)["quota"] == "10"

    @pytest.mark.parametrize(
        ("amount", "terms", "after"),
        [
            ("6", {}, ("6", "2")),
            ("2.5", {}, ("2.5", "2")),
            ("0", {}, ("0", "2")),
            ("9", {}, ("9", "2")),
            ("30", {}, ("30", "2")),  # a capture is not refused: the use has happened
            ("6", {"quota": ("files", 5)}, ("6", "5")),
            ("6", {"quota": ("files", 1)}, ("6", "1")),
            ("6", {"quota": ("files", 0)}, ("6", "0")),
            ("4", {"quota": ("files", 3)}, ("4", "3")),
            ("6", {"quota": ("others", 3)}, ("6", "3")),  # the quota is the hold's
        ],
    )
    def test_a_capture_counts_what_was_used_instead_of_what_was_held(self, account, amount, terms, after):
        spend(account, "1", "before", **EVERYONE | {"quota": ("files", 1)})
        capture(account, hold(account, "6", **EVERYONE), amount, **terms)
        credits, files = D(after[0]) + 1, D(after[1]) + 1
        assert used(account) == {
            "project": plain(credits), "member": plain(credits), "key": plain(credits), "quota": plain(files),
        }  # fmt: skip

    def test_a_capture_counts_only_what_it_collected(self, db):
        account = new_account()
        give(account, "8", "pack")
        limit(account, "project", "10")
        capture(account, hold(account, "6", project_id=PROJECT), "20")
        assert used(account) == {"project": "8"}

    @pytest.mark.parametrize("ends", ["released", "expired"])
    def test_a_hold_that_was_not_used_is_subtracted_from_each(self, account, ends):
        spend(account, "1", "before", **EVERYONE | {"quota": ("files", 1)})
        held = hold(account, "6", **EVERYONE)
        if ends == "released":
            release(account, held)
        else:
            ledger.settle([account], NOON + HOUR)
        assert used(account) == dict.fromkeys(ALL_LIMITS, "1")

    def test_only_the_limits_that_name_the_attribute_count(self, account):
        hold(account, "6", project_id=MEMBER, member_id=KEY, api_key_id=PROJECT)
        assert used(account) == dict.fromkeys(ALL_LIMITS, "0")

    @pytest.mark.parametrize("used_by_then", [3, 7])  # less than was held, and more
    @pytest.mark.parametrize("ends", ["captured", "captured for less", "released", "expired"])
    def test_a_hold_of_the_former_window_is_not_subtracted_from_the_present_one(
        self, account, ends, used_by_then
    ):
        held = hold(account, "6", until=NOON + DAY, **EVERYONE)
        tomorrow = NOON + DAY / 2  # midnight: the first instant of the new window
        now = {"now": tomorrow, "quota": ("files", used_by_then)}
        spend(account, f"{used_by_then}", "in the new window", **EVERYONE | now)
        if ends == "released":
            release(account, held, tomorrow)
        elif ends == "expired":
            ledger.settle([account], NOON + DAY)
        else:
            capture(account, held, "6" if ends == "captured" else "2", now=tomorrow)
        more, files = {"captured": (6, 2), "captured for less": (2, 2)}.get(ends, (0, 0))
        credits = f"{used_by_then + more}"
        assert used(account) == dict.fromkeys(ALL_LIMITS, credits) | {"quota": f"{used_by_then + files}"}

    @pytest.mark.parametrize("amount", ["6", "2"])
    def test_a_capture_opens_the_new_window_and_counts_in_it(self, account, amount):
        held = hold(account, "6", until=NOON + DAY, **EVERYONE)
        capture(account, held, amount, now=NOON + DAY / 2)
        assert used(account) == dict.fromkeys(ALL_LIMITS, amount) | {"quota": "2"}
        assert {one.window_start for one in Limit.objects.all()} == {NOON + DAY / 2}

    def test_a_release_opens_the_new_window(self, account):
        held = hold(account, "6", until=NOON + DAY, **EVERYONE)
        release(account, held, NOON + DAY / 2)
        assert used(account) == dict.fromkeys(ALL_LIMITS, "0")
        assert {one.window_end for one in Limit.objects.all()} == {NOON + 3 * DAY / 2}

    def test_a_hold_made_at_the_first_instant_of_a_window_is_subtracted_from_it(self, account):
        midnight = NOON + DAY / 2
        held = hold(account, "6", until=NOON + DAY, now=midnight, **EVERYONE)
        release(account, held, midnight + HOUR)
        assert used(account) == dict.fromkeys(ALL_LIMITS, "0")

    def test_a_limit_set_after_the_hold_counts_it_and_subtracts_it_when_it_ends(self, db):
        account = new_account()
        give(account, "100", "pack")
        held = hold(account, "6", **EVERYONE)
        assert limit(account, "project", "10") == D("6")
        assert limit(account, "quota", "10") == 0, "a new quota begins with nothing used"
        capture(account, held, "6")
        assert used(account) == {"project": "6", "quota": "2"}
