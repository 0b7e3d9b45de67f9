"""Lines of the history, its export and the figures of a statement: whole rows, filters together, names."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, User
from billing import ledger
from core.ids import public_id
from tests.usage.spending import give, spend
from usage.history import pages, statements
from usage.history.pages import Filter

pytestmark = pytest.mark.usefixtures("clock")


class Past:
    """The history of Alice's team, in Berlin: one move an hour from noon in UTC."""

    def __init__(self, team: Account, alice: User, bob: User, staff: User) -> None:
        Account.objects.filter(pk=team.pk).update(zone="Europe/Berlin")
        self.team = Account.objects.get(pk=team.pk)
        self.start = timezone.now()
        issued = api_keys.issue(
            kind="account", name="laptop", scopes=["spend"], account=team, created_by=alice, now=self.start
        )
        self.laptop = ApiKey.objects.get(pk=issued.key.pk)
        self.pack = give(team, "50", self.at(1), label="Pack", actor=bob.public_id, reason="=thanks")
        terms = {
            "member_id": bob.pk,
            "api_key_id": self.laptop.pk,
            "conversation": "c-1",
            "action": "agent-run",
        }
        self.charge = spend(team, "120", self.at(2), **terms)
        self.by_key = spend(team, "1", self.at(3), api_key_id=self.laptop.pk)
        request = ledger.ChargeRequest(
            account_id=team.pk, credits=Decimal(2), key="hold", service="gpt-4o", member_id=alice.pk
        )
        hold = ledger.hold(request, expires_at=self.at(5), now=self.at(4))
        ledger.release(account_id=team.pk, hold_id=hold.hold_id, now=self.at(4.5))
        for number, actor in enumerate((staff.public_id, self.laptop.public_id, "ada@refill.example", "cli")):
            ledger.adjust(
                account_id=team.pk, credits=Decimal(1), key=f"a{number}", reason=f"by {number}", actor=actor,
                now=self.at(6 + number),
            )  # fmt: skip

    def at(self, hours: float) -> datetime:
        return self.start + timedelta(hours=hours)


@pytest.fixture
def past(team: Account, alice: User, bob: User, staff: User) -> Past:
    return Past(team, alice, bob, staff)


def lines_of(past: Past, **filters: Any) -> list[pages.HistoryLine]:
    return list(pages.all_lines(past.team, Filter(**filters)))


def test_every_line_has_its_title_and_the_name_of_who_acted(past: Past) -> None:
    lines = [(line.kind, line.title, line.actor, line.credits) for line in lines_of(past)]
    use = "Agent run · Claude Sonnet 4"
    assert lines == [
        ("adjust", "by 3", "cli", 1),
        ("adjust", "by 2", "Support", 1),
        ("adjust", "by 1", "laptop", 1),
        ("adjust", "by 0", "Support", 1),
        ("release", "GPT-4o", "alice@example.org", 2),
        ("hold", "GPT-4o", "alice@example.org", -2),
        ("charge", "Claude Sonnet 4", "laptop", -1),
        ("charge", use, "bob@example.org", -20),
        ("charge", use, "bob@example.org", -100),
        ("grant", "=thanks", "bob@example.org", 50),
        ("grant", "Daily refresh", "", 100),
    ]


@pytest.mark.parametrize(
    ("reason", "title"),
    [
        ("refund ref_01a7", "Refund"),
        ("dispute dsp_01a7 won", "Disputed payment"),
        ("the purchase that earned the reward was refunded", "Reward of an invitation"),
        ("", "Small pack"),
        ("Bought twice", "Bought twice"),
    ],
)
def test_reasons_of_the_product_are_shown_without_ids(team: Account, reason: str, title: str) -> None:
    now, purchase = timezone.now(), uuid4()
    give(team, "50", now, purchase_id=purchase)
    back = {"account_id": team.pk, "purchase_id": purchase, "credits": None, "reason": reason, "now": now}
    ledger.claw_back(key="back", **back)
    ledger.restore(account_id=team.pk, claw_back_key="back", key="again", reason=reason, now=now)
    lines = [line for line in pages.page_of(team, Filter()).lines if line.kind != "grant"]
    assert [(line.kind, line.title) for line in lines] == [("restore", title), ("claw_back", title)]


def test_reasons_of_staff_are_shown_as_they_wrote_them(team: Account) -> None:
    now = timezone.now()
    ledger.adjust(
        account_id=team.pk,
        credits=Decimal(1),
        key="a",
        reason="refund in credits",
        actor="a@b.example",
        now=now,
    )
    assert pages.page_of(team, Filter(kind="adjust")).lines[0].title == "refund in credits"


def test_a_former_member_is_shown_as_support_and_a_members_keys_by_name(past: Past, bob: User) -> None:
    Membership.objects.filter(account=past.team, user=bob).delete()
    [grant] = [line for line in lines_of(past, kind="grant") if line.credits == 50]
    assert grant.actor == "Support"


def test_what_a_platform_key_or_staff_did_with_a_use_of_a_member_has_their_name(past: Past) -> None:
    backend = api_keys.issue(kind="platform", name="=Backend", scopes=["manage"], now=past.start).key
    for number, actor in enumerate((backend.public_id, "ada@refill.example")):
        ledger.reverse(
            account_id=past.team.pk, charge_id=past.charge.charge_id, credits=Decimal(1), key=f"r{number}",
            reason="", actor=actor, now=past.at(11 + number),
        )  # fmt: skip
    lines = [(line.title, line.actor) for line in lines_of(past, kind="reverse")]
    use = "Agent run · Claude Sonnet 4"
    assert lines == [(use, "Support"), (use, "=Backend")]
    headings, *rows = pages.csv_rows(past.team, Filter(kind="reverse"))
    assert [row[headings.index("who")] for row in rows] == ["Support", "'=Backend"]


def test_a_row_of_the_export_has_every_figure_and_id(past: Past) -> None:
    headings, *rows = pages.csv_rows(past.team, Filter(kind="charge"))
    assert headings == pages.CSV_HEADINGS
    pack = public_id(prefix="grant", value=past.pack.grant_id)
    row = dict(zip(headings, rows[1], strict=True))
    entry = row.pop("entry")
    assert entry.startswith("ent_")
    assert row == {
        "time_utc": "2026-11-20T14:00:00+00:00",
        "time_local": "2026-11-20T15:00:00+01:00",
        "zone": "Europe/Berlin",
        "kind": "charge",
        "what": "Agent run · Claude Sonnet 4",
        "service": "claude-sonnet-4",
        "action": "agent-run",
        "conversation": "c-1",
        "who": "bob@example.org",
        "credits": "-20",
        "balance_after": "30",
        "grant_kind": "top_up",
        "grant": pack,
        "charge": public_id(prefix="chg", value=past.charge.charge_id),
    }
    _headings, *grants = pages.csv_rows(past.team, Filter(grant_id=past.pack.grant_id, kind="grant"))
    [given] = [dict(zip(headings, row, strict=True)) for row in grants]
    assert (given["what"], given["credits"], given["balance_after"]) == ("'=thanks", "50", "150")
    assert [given[name] for name in ("service", "action", "conversation", "charge")] == ["", "", "", ""]


def test_lines_are_narrowed_by_kind_grant_and_time_together(past: Past) -> None:
    every = [line for line in lines_of(past)]
    pack, two = past.pack.grant_id, past.at(2)
    tests: dict[str, tuple[Any, Callable[[Any], bool]]] = {
        "kind": ("charge", lambda entry: entry.kind == "charge"),
        "grant_id": (pack, lambda entry: entry.grant_id == pack),
        "start": (two, lambda entry: entry.created_at >= two),
        "end": (past.at(3), lambda entry: entry.created_at < past.at(3)),
    }
    for size in range(1, 5):
        for names in combinations(tests, size):
            expected = [entry for entry in every if all(tests[name][1](entry) for name in names)]
            found = lines_of(past, **{name: tests[name][0] for name in names})
            assert expected and [line for line in found] == expected, names


def test_pages_and_newer_lines_are_those_of_the_filter(past: Past) -> None:
    every = [line.seq for line in lines_of(past, kind="charge")]
    page = pages.page_of(past.team, Filter(kind="charge"), size=2)
    assert ([line.seq for line in page.lines], page.older_than) == (every[:2], every[1])
    rest = pages.page_of(past.team, Filter(kind="charge"), older_than=page.older_than, size=2)
    assert ([line.seq for line in rest.lines], rest.older_than) == (every[2:], None)
    exact = pages.page_of(past.team, Filter(kind="charge"), size=3)
    assert (len(exact.lines), exact.older_than) == (3, None)
    newer = pages.newer_than(past.team, Filter(kind="charge"), seen=every[2])
    assert [line.seq for line in newer] == every[:2]
    [newest] = pages.newer_than(past.team, Filter(kind="charge"), seen=every[2], limit=1)
    assert newest.seq == every[0]


def test_the_figures_of_a_statement_by_kind(past: Past) -> None:
    def summary(start: datetime, end: datetime) -> tuple[Any, ...]:
        figures = pages.summary_of(statements.of_period(past.team, start=start, end=end))
        return figures.opening, dict(figures.by_kind), figures.closing

    assert summary(past.at(2), past.at(3)) == (150, {"Charged": -120}, 30)
    assert summary(past.at(2), past.at(4)) == (150, {"Charged": -121}, 29)
    assert summary(past.at(3), past.at(4)) == (30, {"Charged": -1}, 29)
    assert summary(past.at(-24), past.at(2)) == (0, {"Granted": 150}, 150)
    assert summary(past.at(4), past.at(7)) == (29, {"Held": -2, "Released": 2, "Adjusted": 1}, 30)
    assert summary(past.at(20), past.at(21)) == (33, {}, 33)


def test_the_history_of_another_account_is_never_part_of_it(past: Past, charlie: User) -> None:
    theirs = Account.objects.get(person=charlie)
    spend(theirs, "3", past.at(2), conversation="secret")
    give(theirs, "7", past.at(2), label="Secret pack")
    text = str(list(pages.csv_rows(past.team, Filter())))
    assert "secret" not in text.lower() and len(lines_of(past)) == 11
    assert [line.credits for line in pages.all_lines(theirs, Filter())] == [7, -3, 100]
    assert list(pages.all_lines(theirs, Filter(grant_id=past.pack.grant_id))) == []
