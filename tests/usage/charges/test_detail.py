"""One charge in detail: the names of what its ids mean, and figures as they were stored."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, Project, User
from billing import ledger
from billing.models import Charge
from core.ids import public_id
from tests.usage.spending import give, spend
from usage import periods
from usage.charges import detail, listing

AccountOf = Callable[[User], Account]

DETAIL = {
    "lines": [
        {
            "meter": "input_tokens",
            "quantity": "2500.5",
            "unit_credits": "11",
            "per": 5000,
            "multipliers": {"quality=high": "1.5", "service=x": "2"},
            "credits": "16.5",
            "blocks": 3,
        },
        {"meter": "images", "quantity": 2, "unit_credits": "1.75", "multipliers": {}, "credits": "3.5"},
    ],
    "rate": {"version": "2026-11-01", "effective_at": "2026-11-01T08:00:00Z"},
    "options": {"quality": "high", "size": 4},
    "metadata": {"tool": "summary"},
}


@pytest.fixture
def account(clock: Any, alice: User, account_of: AccountOf) -> Account:
    return account_of(alice)


def test_every_id_has_its_name_and_every_figure_is_as_stored(account: Account, alice: User) -> None:
    now = timezone.now()
    pack = give(account, "50", now, label="Small pack")
    project = Project.objects.create(account=account, name="Research", created_at=now)
    issued = api_keys.issue(
        kind="account", name="laptop", scopes=["spend"], account=account, created_by=alice, now=now
    )
    charged = spend(
        account,
        "120",
        now,
        detail=DETAIL,
        action="agent-run",
        project_id=project.pk,
        member_id=alice.pk,
        api_key_id=issued.key.pk,
        conversation="c-1",
    )
    charge = Charge.objects.get(pk=charged.charge_id)
    corrections = [
        ledger.reverse(
            account_id=account.pk,
            charge_id=charge.pk,
            credits=Decimal(credits),
            key=f"r{credits}",
            reason=f"{credits} back",
            actor="",
            now=now + timedelta(minutes=credits),
        )
        for credits in (2, 5)
    ]
    other = spend(account, "1", now)
    ledger.reverse(account_id=account.pk, charge_id=other.charge_id, key="other", reason="r", now=now)
    shown = detail.of(charge)
    [daily, top_up] = shown.drawn
    assert (daily.kind, daily.label, daily.credits) == ("daily", "Daily refresh", 100)
    assert top_up == detail.DrawnGrant(
        kind="top_up",
        label="Small pack",
        grant=public_id(prefix="grant", value=pack.grant_id),
        credits=Decimal(20),
    )
    assert [correction.pk for correction in shown.reversals] == [one.correction_id for one in corrections]
    assert asdict(replace(shown, drawn=[], reversals=[])) == {
        "service": "Claude Sonnet 4",
        "action": "Agent run",
        "conversation": "c-1",
        "project": "Research",
        "project_id": project.public_id,
        "member": "alice@example.org",
        "api_key": "laptop",
        "lines": [
            {
                "meter": "input tokens",
                "quantity": Decimal("2500.5"),
                "unit_credits": 11,
                "per": 5000,
                "multipliers": [("service=x", 2), ("quality=high", Decimal("1.5"))],
                "credits": Decimal("16.5"),
                "blocks": 3,
            },
            {
                "meter": "images",
                "quantity": 2,
                "unit_credits": Decimal("1.75"),
                "per": 1,
                "multipliers": [],
                "credits": Decimal("3.5"),
                "blocks": None,
            },
        ],
        "rate_version": "2026-11-01",
        "rate_effective_at": datetime(2026, 11, 1, 8, tzinfo=UTC),
        "drawn": [],
        "options": [("size", "4"), ("quality", "high")],
        "metadata": [("tool", "summary")],
        "reversals": [],
    }


def test_a_charge_without_attribution_or_of_a_withdrawn_service_is_shown_by_its_keys(
    account: Account, charlie: User, account_of: AccountOf
) -> None:
    now = timezone.now()
    foreign = Project.objects.create(account=account_of(charlie), name="Secret", created_at=now)
    charged = spend(account, "1", now, service="withdrawn", project_id=foreign.pk)
    shown = detail.of(Charge.objects.get(pk=charged.charge_id))
    names = (shown.service, shown.action, shown.project, shown.project_id, shown.member, shown.api_key)
    assert names == ("withdrawn", "", "", "", "", "")


def test_the_list_shows_the_charges_of_the_period_and_filter_newest_first(
    account: Account, alice: User, charlie: User, account_of: AccountOf
) -> None:
    start = timezone.now()
    project = Project.objects.create(account=account, name="Research", created_at=start)
    give(account, "50", start - timedelta(days=3))
    ids = [
        spend(account, "1", start + timedelta(seconds=second), project_id=project.pk, action=action).charge_id
        for second, action in ((0, ""), (1, "agent-run"), (1, ""), (1, ""), (2, ""))
    ]
    spend(account, "1", start + timedelta(seconds=1))  # of no project
    spend(account, "1", start - timedelta(days=1), project_id=project.pk)  # of yesterday
    spend(account_of(charlie), "1", start, project_id=project.pk)
    ids = [ids[0], *sorted(ids[1:4]), ids[4]][::-1]
    today = periods.latest_days(account, days=1, now=start)
    filters = {"project_id": project.pk}
    page = listing.page_of(account, today, filters=filters)
    assert ([row.charge.pk for row in page.charge_rows], page.before) == (ids, "")
    assert {row.project for row in page.charge_rows} == {"Research"}
    titles = {row.charge.action: row.title for row in page.charge_rows}
    assert titles == {"agent-run": "Agent run · Claude Sonnet 4", "": "Claude Sonnet 4"}
    assert listing.page_of(account, today, filters=filters, size=5).before == ""
    first = listing.page_of(account, today, filters=filters, size=3)
    assert first.before == public_id(prefix="chg", value=ids[2])
    second = listing.page_of(account, today, filters=filters, size=3, after=first.before)
    assert [row.charge.pk for row in second.charge_rows] == ids[3:]
    for place, seen in enumerate(ids):
        name = public_id(prefix="chg", value=seen)
        newer = listing.newer_than(account, today, filters=filters, seen=name)
        assert [row.charge.pk for row in newer] == ids[:place]
    assert len(listing.newer_than(account, today, filters={}, seen="")) == 6
    assert len(listing.newer_than(account, today, filters={}, seen="", limit=2)) == 2
    [unattributed] = [
        row for row in listing.page_of(account, today, filters={}).charge_rows if not row.project
    ]
    assert unattributed.charge.project_id is None
