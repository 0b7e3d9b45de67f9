"""The page of a charge."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Project, User
from billing import ledger
from core.ids import public_id
from tests.usage.spending import give, spend

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


def address(charged: ledger.Charged) -> str:
    return f"/charges/{public_id(prefix='chg', value=charged.charge_id)}/"


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


@pytest.mark.requirement("CORE-04", "REFLY-07")
def test_the_page_shows_quantities_multipliers_rate_grants_and_balances(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "50", now, label="Small pack")
    project = Project.objects.create(account=account, name="Research notes", created_at=now)
    detail = {
        "lines": [
            {
                "meter": "output_tokens",
                "quantity": 45000,
                "unit_credits": "8.5",
                "per": 5000,
                "multipliers": {"quality=high": "1.5"},
                "credits": "114.75",
            }
        ],
        "rate": {"version": "2026-11-01", "effective_at": "2026-11-01T00:00:00Z"},
        "metadata": {"tool": "summary"},
    }
    charged = spend(account, "114.75", now, detail=detail, project_id=project.pk, conversation="c-81")
    page = text_of(signed_in(alice), address(charged))
    for words in (
        "114.75",
        "output tokens",
        "45,000",
        "8.5",
        "quality: high × 1.5",
        "Version 2026-11-01",
        "Research notes",
        "c-81",
        "Small pack",
        "−100",
        "−14.75",
        ">150</span>",
        ">35.25</span>",
        "summary",
    ):
        assert words in page, words


@pytest.mark.requirement("REFLY-10", "FLOW-02")
@pytest.mark.parametrize(
    ("covered_by", "mark", "sentence"),
    [
        ("unlimited", "unlimited", "this model is unlimited on your plan"),
        ("own_key", "own key", "the call used your own provider key"),
    ],
)
def test_a_covered_use_shows_why_it_cost_no_credits(
    alice: User, account_of: AccountOf, signed_in: SignedIn, covered_by: str, mark: str, sentence: str
) -> None:
    charged = spend(account_of(alice), "0", timezone.now(), covered_by=covered_by)
    assert sentence in text_of(signed_in(alice), address(charged))
    usage = text_of(signed_in(alice), "/usage/")
    assert mark in usage[usage.index('id="calls-title"') :]


def test_returned_credits_are_shown_with_the_reason(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    charged = spend(account, "20", now)
    ledger.reverse(
        account_id=account.pk,
        charge_id=charged.charge_id,
        credits=Decimal(5),
        key="back",
        reason="The model answered nothing",
        actor="staff",
        now=now + timedelta(minutes=1),
    )
    page = text_of(signed_in(alice), address(charged))
    assert "partly returned" in page
    assert "The model answered nothing" in page
    assert "+5" in page


@pytest.mark.fault("Z1")
def test_a_charge_of_another_account_is_not_found(
    alice: User, charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    charged = spend(account_of(alice), "1", timezone.now())
    assert signed_in(charlie).get(address(charged)).status_code == 404


@pytest.mark.parametrize(
    "name",
    ["chg_1", "grant_" + "0" * 32, "chg_0190c0f5a1b27c3d8e4f5061728394a5", "chg_%00", "CHG_" + "0" * 32],
)
def test_a_malformed_or_unknown_id_is_not_found(alice: User, signed_in: SignedIn, name: str) -> None:
    assert signed_in(alice).get(f"/charges/{name}/").status_code == 404


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"lines": [{"meter": "x", "quantity": "many", "credits": None}]},
        {"lines": [{}], "rate": None, "metadata": ["a"]},
        {"rate": {"effective_at": "soon"}},
    ],
)
def test_a_charge_with_incomplete_or_malformed_detail_has_a_page(
    alice: User, account_of: AccountOf, signed_in: SignedIn, detail: dict[str, object]
) -> None:
    charged = spend(account_of(alice), "1", timezone.now(), detail=detail)
    assert signed_in(alice).get(address(charged)).status_code == 200
