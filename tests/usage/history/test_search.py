"""Search in the history finds what was entered, with and without sums, and only in the own account."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Project, User
from billing.models import Charge, Entry, Grant
from tests.usage.spending import give, spend
from usage.history import pages, search
from usage.sums import folding

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def account(clock: Any, alice: User, account_of: Callable[[User], Account]) -> Account:
    """An account with four charges on three days."""
    account = account_of(alice)
    project = Project.objects.create(account=account, name="Rocket 100%")
    give(account, "50", timezone.now(), label="Pack", expires_at=None)
    uses: list[tuple[int, str, dict[str, Any]]] = [
        (24, "1", {"conversation": "c-81", "project_id": project.pk}),
        (24, "2", {"conversation": "c-8_1", "service": "gpt-4o"}),
        (48, "2.5", {"conversation": "other", "action": "agent-run"}),
        (1, "4", {"conversation": "C-81 again"}),
    ]
    for hours, credits, use in uses:
        clock.shift(timedelta(hours=hours))
        spend(account, credits, timezone.now(), **use)
    return account


def found(account: Account, text: str) -> list[Decimal]:
    """The credits of the lines, newest first."""
    return [line.credits for line in pages.page_of(account, pages.Filter(search=text)).lines]


SEARCHES: list[tuple[str, list[str]]] = [
    ("GPT-4", ["-2"]),
    ("claude", ["-4", "-2.5", "-1"]),
    ("agent run", ["-2.5"]),
    ("rocket", ["-1"]),
    ("100%", ["-1"]),
    ("c-81", ["-4", "-1"]),
    (" C-81 AGAIN ", ["-4"]),
    ("c-8_", ["-2"]),
    ("2", ["-2"]),
    ("-2.5", ["-2.5"]),
    ("\u22124", ["-4"]),
    ("50.00", ["50"]),
    ("nothing like it", []),
]


@pytest.mark.parametrize("summed", [False, True])
def test_calls_and_amounts_are_found(account: Account, summed: bool) -> None:
    if summed:
        folding.fold(account.pk)
    assert {text: found(account, text) for text, _ in SEARCHES} == {
        text: [Decimal(credits) for credits in expected] for text, expected in SEARCHES
    }


def test_objects_are_found_by_their_id(account: Account) -> None:
    charge, grant = Charge.objects.get(credits=4), Grant.objects.get(label="Pack")
    project, entry = Project.objects.get(), Entry.objects.get(credits=-2)
    assert found(account, charge.public_id) == [-4]
    assert found(account, entry.public_id) == [-2]
    assert found(account, project.public_id) == [-1]
    assert Decimal(50) in found(account, grant.public_id)
    assert found(account, "chg_" + "0" * 32) == found(account, "ent_" + "0" * 32) == []


def test_nothing_of_another_account_is_found(
    account: Account, charlie: User, account_of: Callable[[User], Account]
) -> None:
    theirs = account_of(charlie)
    charge, project = Charge.objects.get(credits=4), Project.objects.get()
    texts = (charge.public_id, project.public_id, "rocket", "c-81", "50")
    assert [found(theirs, text) for text in texts] == [[]] * 5


def test_charges_of_days_that_are_not_summed_yet_are_found(clock: Any, account: Account) -> None:
    folding.fold(account.pk)
    clock.shift(timedelta(days=1))
    spend(account, "7", timezone.now(), conversation="c-81 newest")
    assert found(account, "c-81") == [-7, -4, -1]


def test_runs_of_days_are_few() -> None:
    day = timezone.now().date()
    days = [day + timedelta(days=number) for number in (0, 1, 3, 5, 6, 7)]
    assert search.runs_of(days) == [(days[0], days[1]), (days[2], days[2]), (days[3], days[5])]
    many = [day + timedelta(days=2 * number) for number in range(20)]
    runs = search.runs_of(many)
    assert len(runs) == search.MOST_SPANS
    assert runs[0] == (many[0], many[12]) and runs[1:] == [(one, one) for one in many[13:]]


def test_a_search_is_in_the_url_of_the_page_and_of_its_links(
    account: Account, alice: User, signed_in: Callable[[User], Client], monkeypatch: Any
) -> None:
    monkeypatch.setattr(pages, "PAGE_SIZE", 1)
    client = signed_in(alice)
    page = client.get("/history/?q=c-81").content.decode()
    assert page.count('id="entry-') == 2 and 'value="c-81"' in page
    assert 'href="/history/export.csv?q=c-81"' in page
    nothing = client.get("/history/?q=zzz").content.decode()
    assert "No entries match these filters." in nothing and "Clear filters" in nothing
    assert client.get("/history/?q=%00").status_code == 200


def test_the_text_is_never_sql(account: Account) -> None:
    texts = ["' or true --", "\\", "%(account)s", "{conditions}", "'); select 1", "%", "_"]
    shown = {text: found(account, text) for text in texts}
    assert shown == {text: [] for text in texts} | {"%": [-1], "_": [-2]}
