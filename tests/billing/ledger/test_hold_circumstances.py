"""Holds and what surrounds them: several grants, scopes, debt, limits and quotas, windows, replays."""

import datetime as dt
import uuid
from typing import Any

import pytest

from billing import ledger
from billing.ledger.models import Charge, Hold, Limit, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account, spend
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, entries, grants, used

pytestmark = pytest.mark.django_db
MINUTE, HOUR, INSTANT = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(microseconds=1)
PROJECT, MEMBER, KEY = (uuid.UUID(int=n) for n in (11, 12, 13))
EVERYONE = {"project_id": PROJECT, "member_id": MEMBER, "api_key_id": KEY, "quota": ("files", 2)}
ALL_LIMITS = {"project": str(PROJECT), "member": str(MEMBER), "key": str(KEY), "quota": "files"}


def hold(account, amount: str, key: str = "hold", until: dt.datetime = NOON + HOUR, now=NOON, **terms: Any):
    return ledger.hold(charge_request(account, amount, key, **terms), expires_at=until, now=now)


def capture(account, held, amount: str, key: str = "capture", now=NOON, **terms: Any):
    values = {"credits": D(amount), "key": key, "detail": {}, "now": now} | terms
    return ledger.capture(account_id=account, hold_id=held.hold_id, **values)


def release(account, held, now=NOON):
    return ledger.release(account_id=account, hold_id=held.hold_id, now=now)


def limit(account, kind: str, maximum: str | None, period: str = "day", now=NOON, subject: str | None = None):
    amount = None if maximum is None else D(maximum)
    name = subject or ALL_LIMITS[kind]
    return ledger.set_limit(
        account_id=account, kind=kind, subject=name, period=period, maximum=amount, now=now
    )


def owe(account, amount: str) -> None:
    """Give the account a debt of this amount and nothing else."""
    purchase = uuid.uuid4()
    give(account, amount, f"owed {purchase}", label="owed", purchase_id=purchase, priority=1)
    spend(account, amount, f"spent {purchase}", covers=("gpt-4o", "flux"))
    ledger.claw_back(account_id=account, purchase_id=purchase, key=f"refund {purchase}", reason="r", now=NOON)


def drawn(use: Any) -> list[tuple[str, str]]:
    return [(one.kind, plain(one.credits)) for one in use.drawn]


class TestSeveralGrants:
    """A hold of 7 on a daily grant of 3 and a pack of 5, which leaves 1 of the pack."""

    @pytest.fixture
    def held(self, account):
        give(account, "5", "pack", label="pack")
        give(account, "3", "day", label="day", kind="daily")
        return hold(account, "7")

    def test_the_hold_reserves_them_in_spending_order(self, account, held):
        assert drawn(held) == [("daily", "3"), ("top_up", "4")]
        assert grants(account) == {"day": ("0", "3", "0", False), "pack": ("1", "4", "0", True)}
        assert amounts(account) == ("1", "7", "0")
        assert entries(account, after=2) == [
            "0 hold day -3 = 0 / 5 hold hold",
            "0 hold pack -4 = 1 / 1 hold hold",
        ]

    @pytest.mark.parametrize(
        ("amount", "parts", "day", "pack"),
        [
            ("2", [("daily", "2")], ("1", "0", "2", True), ("5", "0", "0", True)),
            ("3", [("daily", "3")], ("0", "0", "3", False), ("5", "0", "0", True)),
            ("5", [("daily", "3"), ("top_up", "2")], ("0", "0", "3", False), ("3", "0", "2", True)),
            ("7", [("daily", "3"), ("top_up", "4")], ("0", "0", "3", False), ("1", "0", "4", True)),
            (
                "8",
                [("daily", "3"), ("top_up", "4"), ("top_up", "1")],
                ("0", "0", "3", False),
                ("0", "0", "5", False),
            ),
        ],
    )
    def test_a_capture_uses_the_held_credits_first_in_the_same_order(
        self, account, held, amount, parts, day, pack
    ):
        charged = capture(account, held, amount)
        assert drawn(charged) == parts
        assert (plain(charged.balance_before), charged.balance_after) == ("8", D("8") - D(amount))
        assert charged.uncollected == 0
        assert grants(account) == {"day": day, "pack": pack}
        assert amounts(account) == (plain(D("8") - D(amount)), "0", "0")
        assert broken([account]) == []

    def test_the_entries_of_a_partial_capture_release_and_charge_each_grant(self, account, held):
        capture(account, held, "5", now=NOON + MINUTE)
        assert entries(account, after=4) == [
            "1 release day 3 = 3 / 4 charge capture hold hold",
            "1 charge day -3 = 0 / 1 charge capture hold hold",
            "1 release pack 4 = 5 / 5 charge capture hold hold",
            "1 charge pack -2 = 3 / 3 charge capture hold hold",
        ]

    def test_the_entries_of_a_release_name_the_hold_and_no_charge(self, account, held):
        assert release(account, held, NOON + MINUTE).balance_after == D("8")
        assert entries(account, after=4) == [
            "1 release day 3 = 3 / 4 hold hold",
            "1 release pack 4 = 5 / 8 hold hold",
        ]
        assert grants(account) == {"day": ("3", "0", "0", True), "pack": ("5", "0", "0", True)}

    def test_the_entries_of_an_ended_hold_are_dated_at_its_end(self, account, held):
        ledger.settle([account], NOON + 2 * HOUR)
        assert entries(account, after=4) == [
            "60 release day 3 = 3 / 4 hold hold",
            "60 release pack 4 = 5 / 8 hold hold",
        ]
        assert Hold.objects.get().closed_at == NOON + HOUR

    def test_a_reversal_returns_the_last_drawn_first(self, account, held):
        charged = capture(account, held, "7")
        terms = {"account_id": account, "charge_id": charged.charge_id, "reason": "failed", "actor": "staff"}
        ledger.reverse(key="part", credits=D("5"), now=NOON, **terms)
        assert grants(account) == {"day": ("1", "0", "2", True), "pack": ("5", "0", "0", True)}
        assert entries(account, after=8) == [
            "0 reverse pack 4 = 5 / 5 charge capture because failed by staff",
            "0 reverse day 1 = 1 / 6 charge capture because failed by staff",
        ]


class TestScopes:
    def test_a_capture_above_the_hold_draws_on_grants_that_cover_its_service_only(self, account):
        give(account, "5", "pack", label="pack")
        give(account, "9", "images", label="images", kind="bonus", services=["tag:image"])
        give(account, "2", "text", label="text", services=["tag:text"])
        charged = capture(account, hold(account, "4"), "10")
        assert (plain(charged.credits), plain(charged.uncollected)) == ("10", "3")
        assert plain(charged.balance_after) == "9"
        assert {name: row[0] for name, row in grants(account).items()} == {
            "pack": "0", "images": "9", "text": "0",
        }  # fmt: skip

    def test_a_hold_is_refused_with_what_covers_its_service(self, account):
        give(account, "5", "pack")
        give(account, "9", "images", kind="bonus", services=["tag:image"])
        with pytest.raises(ledger.InsufficientCredits) as refusal:
            hold(account, "6")
        assert (refusal.value.needed, refusal.value.available) == (D("6"), D("5"))
        assert not Hold.objects.exists()


class TestDebt:
    def test_a_capture_above_the_hold_in_debt_takes_nothing_from_the_balance(self, account):
        give(account, "10", "pack", label="pack")
        held = hold(account, "4")
        owe(account, "3")
        charged = capture(account, held, "6")
        assert (plain(charged.credits), plain(charged.uncollected)) == ("6", "2")
        assert amounts(account) == ("6", "0", "3")
        assert broken([account]) == []

    @pytest.mark.parametrize(
        ("amount", "after"),
        [
            ("4", ("6", "0", "3")),
            ("3.5", ("6", "0", "2.5")),
            ("1", ("6", "0", "0")),
            ("0.5", ("6.5", "0", "0")),
            ("0", ("7", "0", "0")),
        ],
    )
    def test_what_a_capture_returns_repays_debt_first(self, account, amount, after):
        give(account, "10", "pack", label="pack")
        held = hold(account, "4")
        owe(account, "3")
        charged = capture(account, held, amount)
        assert amounts(account) == after
        assert plain(charged.balance_after) == after[0]
        assert plain(charged.balance_before) == "10", "the balance with the held credits"
        assert broken([account]) == []

    def test_several_returned_parts_repay_in_the_order_of_the_hold(self, account):
        give(account, "5", "pack", label="pack")
        give(account, "3", "day", label="day", kind="daily")
        held = hold(account, "8")
        owe(account, "4")
        since = Wallet.objects.get().seq
        release(account, held)
        assert entries(account, since) == [
            "0 release day 3 = 3 / 3 hold hold",
            "0 repay day -3 = 0 / 0 debt -3",
            "0 release pack 5 = 5 / 5 hold hold",
            "0 repay pack -1 = 4 / 4 debt -1",
        ]
        assert amounts(account) == ("4", "0", "0")
        assert grants(account) == {
            "day": ("0", "0", "3", False), "pack": ("4", "0", "1", True), "owed": ("0", "0", "0", False),
        }  # fmt: skip

    def test_a_hold_in_debt_is_refused_with_the_debt_and_a_free_one_is_not(self, account):
        owe(account, "3")
        give(account, "5", "pack")
        owe(account, "3")
        with pytest.raises(ledger.InDebt) as refusal:
            hold(account, "1")
        assert (refusal.value.needed, refusal.value.available, refusal.value.debt) == (D("1"), 0, D("3"))
        assert hold(account, "0", "free").status == "held"
        assert spend(account, "0", "free use", covered_by="unlimited").credits == 0
        assert amounts(account) == ("2", "0", "3")

    def test_a_hold_of_nothing_captured_above_it_in_debt_is_uncollected(self, account):
        owe(account, "3")
        charged = capture(account, hold(account, "0"), "2")
        assert (plain(charged.credits), plain(charged.uncollected), charged.drawn) == ("2", "2", ())
        assert amounts(account) == ("0", "0", "3")


class TestUncollected:
    @pytest.fixture
    def charged(self, account):
        give(account, "6", "pack", label="pack")
        return capture(account, hold(account, "4"), "10")

    def test_only_what_was_collected_can_be_reversed(self, account, charged):
        assert plain(charged.uncollected) == "4"
        terms = {"account_id": account, "charge_id": charged.charge_id, "reason": "r", "now": NOON}
        with pytest.raises(ledger.NotReversible) as refusal:
            ledger.reverse(key="too much", credits=D("6.000001"), **terms)
        assert (refusal.value.asked, refusal.value.left) == (D("6.000001"), D("6"))
        assert ledger.reverse(key="part", credits=D("2.5"), **terms).credits == D("2.5")
        assert Charge.objects.get().status == "partly_reversed"
        assert ledger.reverse(key="rest", **terms).credits == D("3.5")
        assert Charge.objects.get().status == "reversed"
        with pytest.raises(ledger.NotReversible):
            ledger.reverse(key="none", **terms)
        assert amounts(account) == ("6", "0", "0")

    def test_nothing_collected_is_nothing_to_reverse(self, account):
        charged = capture(account, hold(account, "0"), "5")
        assert plain(charged.uncollected) == "5"
        with pytest.raises(ledger.NotReversible):
            ledger.reverse(account_id=account, charge_id=charged.charge_id, key="r", reason="r", now=NOON)


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

    @pytest.mark.parametrize("ends", ["captured", "captured for less", "released", "expired"])
    def test_a_hold_of_the_former_window_is_not_subtracted_from_the_present_one(self, account, ends):
        held = hold(account, "6", until=NOON + DAY, **EVERYONE)
        tomorrow = NOON + DAY / 2  # midnight: the first instant of the new window
        spend(account, "3", "in the new window", tomorrow, **EVERYONE | {"quota": ("files", 3)})
        if ends == "released":
            release(account, held, tomorrow)
        elif ends == "expired":
            ledger.settle([account], NOON + DAY)
        else:
            capture(account, held, "6" if ends == "captured" else "2", now=tomorrow)
        credits, files = {"captured": ("9", "5"), "captured for less": ("5", "5")}.get(ends, ("3", "3"))
        assert used(account) == {"project": credits, "member": credits, "key": credits, "quota": files}

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


class TestOfARequest:
    ATTRIBUTES = {
        "service": "veo", "covers": ("veo", "tag:video"), "action": "render", "conversation": "talk",
        "project_id": PROJECT, "member_id": MEMBER, "api_key_id": KEY, "quota": ("videos", 3),
        "detail": {"lines": [1]}, "fingerprint": b"body",
    }  # fmt: skip

    def test_a_hold_keeps_all_attributes(self, account):
        give(account, "9")
        held = hold(account, "5", **self.ATTRIBUTES)
        row = Hold.objects.get()
        assert (row.pk, row.account_id, row.idempotency_key, bytes(row.fingerprint)) == (
            held.hold_id, account, "hold", b"body",
        )  # fmt: skip
        assert (row.credits, row.status, row.created_at, row.expires_at, row.closed_at, row.charge_id) == (
            D("5"), "held", NOON, NOON + HOUR, None, None,
        )  # fmt: skip
        assert (row.service, list(row.covers), row.action, row.conversation) == (
            "veo", ["veo", "tag:video"], "render", "talk",
        )  # fmt: skip
        assert (row.project_id, row.member_id, row.api_key_id) == (PROJECT, MEMBER, KEY)
        assert (row.quota, row.quota_count, row.detail) == ("videos", 3, {"lines": [1]})
        assert (held.detail, held.expires_at, held.created_at, held.charge_id) == (
            {"lines": [1]}, NOON + HOUR, NOON, None,
        )  # fmt: skip

    @pytest.mark.parametrize("amount", ["5", "3", "7"])  # each takes its own way through the SQL
    def test_its_charge_has_the_attributes_of_the_hold_and_the_detail_of_the_capture(self, account, amount):
        give(account, "9")
        held = hold(account, "5", **self.ATTRIBUTES)
        terms = {"detail": {"real": 1}, "fingerprint": b"captured", "covered_by": "own_key"}
        charged = capture(account, held, amount, now=NOON + MINUTE, **terms)
        row = Charge.objects.get()
        assert (row.pk, row.idempotency_key, bytes(row.fingerprint), row.hold_id) == (
            charged.charge_id, "capture", b"captured", held.hold_id,
        )  # fmt: skip
        assert (row.service, row.action, row.conversation) == ("veo", "render", "talk")
        assert (row.project_id, row.member_id, row.api_key_id) == (PROJECT, MEMBER, KEY)
        assert (row.quota, row.quota_count, row.detail, row.covered_by) == (
            "videos", 3, {"real": 1}, "own_key",
        )  # fmt: skip
        assert (row.created_at, row.credits, row.uncollected, row.returned) == (
            NOON + MINUTE, D(amount), 0, 0,
        )  # fmt: skip
        assert (row.balance_before, row.balance_after) == (D("9"), D("9") - D(amount))
        assert (charged.covered_by, charged.detail, charged.created_at) == (
            "own_key", {"real": 1}, NOON + MINUTE,
        )  # fmt: skip
        closed = Hold.objects.get()
        assert (closed.status, closed.closed_at, closed.charge_id) == (
            "captured", NOON + MINUTE, charged.charge_id,
        )  # fmt: skip
        assert broken([account]) == []


class TestEnds:
    def test_a_hold_can_be_captured_until_the_instant_of_its_end_and_not_in_it(self, account):
        give(account, "10", "pack")
        first, second = hold(account, "4", "first"), hold(account, "4", "second")
        assert capture(account, first, "4", "before", NOON + HOUR - INSTANT).credits == D("4")
        with pytest.raises(ledger.HoldClosed) as refusal:
            capture(account, second, "4", "at", NOON + HOUR)
        assert refusal.value.hold_status == "expired"
        with pytest.raises(ledger.HoldClosed):
            release(account, second, NOON + HOUR)

    @pytest.mark.parametrize(
        ("now", "after"), [(NOON + HOUR - INSTANT, ("3", "0")), (NOON + HOUR, ("0", "0"))]
    )
    def test_what_a_capture_leaves_of_a_grant_expires_from_the_instant_of_its_end_on(
        self, account, now, after
    ):
        give(account, "5", "pack", label="pack", expires_at=NOON + HOUR)
        held = hold(account, "5", until=NOON + DAY)
        charged = capture(account, held, "2", now=now)
        assert (plain(charged.credits), drawn(charged)) == ("2", [("top_up", "2")])
        assert (plain(charged.balance_after), amounts(account)[0]) == (after[0], after[0])
        assert ledger.balance(account, NOON + HOUR).total == 0

    @pytest.mark.parametrize("now", [NOON + HOUR - INSTANT, NOON + HOUR])
    def test_a_release_at_the_end_of_the_grant(self, account, now):
        give(account, "5", "pack", label="pack", expires_at=NOON + HOUR)
        held = hold(account, "5", until=NOON + DAY)
        left = release(account, held, now).balance_after
        assert left == (0 if now == NOON + HOUR else D("5"))
        assert grants(account)["pack"][1:3] == ("0", "0")

    def test_a_grant_and_a_hold_that_end_together_expire(self, account):
        give(account, "5", "pack", label="pack", expires_at=NOON + HOUR)
        hold(account, "2")
        ledger.settle([account], NOON + HOUR)
        assert entries(account, after=2) == [
            "60 expire pack -3 = 0 / 0",
            "60 release pack 2 = 2 / 2 hold hold",
            "60 expire pack -2 = 0 / 0",
        ]

    def test_the_hold_with_the_sooner_end_makes_the_wallet_due(self, account):
        give(account, "10", "pack", expires_at=NOON + 3 * DAY)
        hold(account, "1", "late", NOON + 2 * DAY)
        assert Wallet.objects.get().next_due_at == NOON + 2 * DAY
        hold(account, "1", "soon", NOON + DAY)
        assert Wallet.objects.get().next_due_at == NOON + DAY
        ledger.settle([account], NOON + DAY)
        wallet = Wallet.objects.get()
        assert (wallet.next_due_at, wallet.running_holds) == (NOON + 2 * DAY, 1)
        assert set(Hold.objects.values_list("idempotency_key", "status")) == {
            ("late", "held"), ("soon", "expired"),
        }  # fmt: skip

    def test_a_hold_asked_for_by_a_late_clock_lasts_as_long_as_was_asked_for(self, account):
        give(account, "10", "pack", now=NOON + MINUTE)
        held = hold(account, "4", until=NOON + HOUR)
        assert (held.created_at, held.expires_at) == (NOON + MINUTE, NOON + HOUR + MINUTE)


class TestReplays:
    def test_a_closed_hold_answers_its_status_and_its_charge(self, account):
        give(account, "10")
        first = hold(account, "4", detail={"n": 1})
        charged = capture(account, first, "3")
        again = hold(account, "4", now=NOON + MINUTE)
        assert (again.replayed, again.hold_id, again.status, again.charge_id) == (
            True, first.hold_id, "captured", charged.charge_id,
        )  # fmt: skip
        assert (again.credits, again.detail, again.expires_at, again.created_at) == (
            D("4"), {"n": 1}, NOON + HOUR, NOON,
        )  # fmt: skip
        assert (again.drawn, again.balance_after) == (first.drawn, D("7"))
        assert first.replayed is False

    @pytest.mark.parametrize("why", ["running holds", "limit", "debt", "balance", "nothing"])
    def test_a_replayed_hold_is_not_refused_and_another_body_is(self, account, why):
        give(account, "10", "pack")
        terms = {"project_id": PROJECT, "fingerprint": b"one"}
        first = hold(account, "10", **terms)
        if why == "limit":
            limit(account, "project", "1")
        elif why == "debt":
            owe(account, "3")
        elif why == "nothing":
            give(account, "100", "more")

        def again(fingerprint):
            request = charge_request(account, "10", "hold", **terms | {"fingerprint": fingerprint})
            most = 1 if why == "running holds" else None
            return ledger.hold(request, expires_at=NOON + HOUR, now=NOON, most_running=most)

        assert (again(b"one").replayed, again(b"one").hold_id) == (True, first.hold_id)
        with pytest.raises(ledger.KeyReused):
            again(b"two")
        assert Hold.objects.count() == 1

    def test_a_capture_with_another_body_is_refused_also_for_another_hold(self, account):
        give(account, "10")
        first, second = hold(account, "4", "first"), hold(account, "4", "second")
        charged = capture(account, first, "4", fingerprint=b"one")
        for held in first, second:
            assert capture(account, held, "4", fingerprint=b"one").charge_id == charged.charge_id
            with pytest.raises(ledger.KeyReused):
                capture(account, held, "4", fingerprint=b"two")
        assert amounts(account) == ("2", "4", "0")

    def test_a_replayed_capture_answers_every_figure_again(self, account):
        give(account, "6", "pack")
        held = hold(account, "4")
        first = capture(account, held, "10", covered_by="x", now=NOON + MINUTE)
        give(account, "50", "more")
        again = capture(account, held, "10", covered_by="x", now=NOON + HOUR)
        assert again.replayed
        for name in (
            "charge_id", "credits", "uncollected", "balance_before", "balance_after", "drawn", "covered_by",
            "created_at",
        ):  # fmt: skip
            assert getattr(again, name) == getattr(first, name), name

    def test_the_number_of_running_holds_is_that_of_one_account(self, account):
        give(account, "10")
        other = new_account()
        give(other, "10")
        for which in account, other:
            request = charge_request(which, "1", "hold")
            ledger.hold(request, expires_at=NOON + HOUR, now=NOON, most_running=1)
            assert Wallet.objects.get(account_id=which).running_holds == 1
