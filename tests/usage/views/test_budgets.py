"""Pages of budgets: the trees of holds of an account, and what each branch of one spent."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from tests.usage.spending import give

SONNET = "claude-sonnet-4"


@pytest.fixture
def api(alice: User, api_of: Any, account_of: Callable[[User], Account], catalogue: None) -> Any:
    give(account_of(alice), "500", timezone.now())
    return api_of(alice)


def opened(api: Any, credits: str, purpose: str, **fields: Any) -> str:
    body = {"service": SONNET, "credits": credits, "metadata": {"purpose": purpose}, **fields}
    return str(api.post("holds", body, key=purpose.replace(" ", "-")).json()["id"])


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def row_of(page: str, name: str) -> str:
    row = page[page.index(name) :]
    return row[: row.index("</tr>")]


def figures(row: str) -> list[str]:
    """The numbers of a row: reserved at the start, in use below, spent, left."""
    return [cell.split("</td>")[0] for cell in row.split('">') if "</td>" in cell]


def test_a_running_tree_shows_what_each_branch_spent(
    api: Any, alice: User, signed_in: Callable[[User], Client]
) -> None:
    root = opened(api, "60", "Write the report")
    research = opened(api, "30", "Research", parent=root)
    search = opened(api, "10.5", "Search the web", parent=research)
    api.post(f"holds/{search}/capture", {"credits": "7.25"}, key="captured")
    opened(api, "4", "Draw <b>", parent=root)

    page = text_of(signed_in(alice), f"/budgets/{root}/")
    assert figures(row_of(page, "Research"))[-4:] == ["30", "0", "7.25", "22.75"]
    assert figures(row_of(page, "Search the web"))[-4:] == ["10.5", "0", "7.25", "0"]
    assert figures(row_of(page, "Draw &lt;b&gt;"))[-4:] == ["4", "0", "0", "4"]
    assert page.index("Research") < page.index("Search the web") < page.index("Draw")
    assert "branch-2" in page and "of 60 credits" in page
    listed = text_of(signed_in(alice), "/budgets/")
    assert figures(row_of(listed, "Write the report"))[-4:] == ["60", "26.75", "7.25", "26"]
    assert "Research" not in listed, "a branch is no tree of its own"


def test_a_tree_that_has_ended_is_shown_as_closed(
    api: Any, alice: User, clock: Any, signed_in: Callable[[User], Client]
) -> None:
    root = opened(api, "60", "Write the report", expires_in=60)
    opened(api, "30", "Research", parent=root)
    clock.shift(60)
    page = text_of(signed_in(alice), f"/budgets/{root}/")
    assert page.count(">expired<") == 2
    assert "What was not spent has returned to the balance." in page


def test_running_trees_stand_first_and_plain_holds_are_no_trees(
    api: Any, alice: User, signed_in: Callable[[User], Client]
) -> None:
    opened(api, "1", "A plain hold")
    roots = [opened(api, "10", f"Tree {number}") for number in range(3)]
    for number, root in enumerate(roots):
        child = opened(api, "1", f"Child {number}", parent=root)
        api.post(f"holds/{child}/release", {}, key=f"release-{number}")
    api.post(f"holds/{roots[2]}/release", {}, key="release-root")
    page = text_of(signed_in(alice), "/budgets/")
    assert page.index("Tree 1") < page.index("Tree 0") < page.index("Tree 2")
    assert "A plain hold" not in page


def test_a_running_tree_is_listed_also_when_newer_trees_have_closed(
    api: Any, alice: User, signed_in: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage.budgets.SHOWN_TREES", 2)
    opened(api, "1", "Child", parent=opened(api, "10", "A running tree"))
    for number in range(2):
        root = opened(api, "10", f"Tree {number}")
        child = opened(api, "1", f"Child {number}", parent=root)
        for hold in (child, root):
            api.post(f"holds/{hold}/release", {}, key=f"release-{hold}")
    page = text_of(signed_in(alice), "/budgets/")
    assert page.index("A running tree") < page.index("Tree 1")
    assert "Tree 0" not in page


@pytest.mark.parametrize("closed", [False, True])
def test_a_tree_is_listed_however_many_of_its_branches_have_branches(
    api: Any, alice: User, signed_in: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    monkeypatch.setattr("usage.budgets._READ_PARENTS", 2)
    holds = [opened(api, "10", "Write the report")]
    for number in range(3):
        holds.append(opened(api, "2", f"Step {number}", parent=holds[0]))
        holds.append(opened(api, "1", f"Part {number}", parent=holds[-1]))
    for hold in reversed(holds) if closed else ():
        api.post(f"holds/{hold}/release", {}, key=f"release-{hold}")
    assert "Write the report" in text_of(signed_in(alice), "/budgets/")


def test_of_a_large_tree_the_newest_branches_are_shown_and_all_are_in_the_figures(
    api: Any, alice: User, signed_in: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage.budgets.SHOWN_BRANCHES", 2)
    root = opened(api, "60", "Write the report")
    for number in range(4):
        child = opened(api, "1", f"Step {number}", parent=root)
        api.post(f"holds/{child}/capture", {"credits": "1"}, key=f"capture-{number}")
    page = text_of(signed_in(alice), f"/budgets/{root}/")
    assert "Step 3" in page and "Step 1" not in page
    assert "2 older branches are not shown." in page and '"stat-figure">4<' in page


def test_a_new_branch_of_an_old_one_is_shown_below_it(
    api: Any, alice: User, signed_in: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage.budgets.SHOWN_BRANCHES", 2)
    root = opened(api, "60", "Write the report")
    old = opened(api, "10", "Research", parent=root)
    for number in range(2):
        opened(api, "1", f"Step {number}", parent=root)
    for number in range(2):
        opened(api, "1", f"Search {number}", parent=old)
    page = text_of(signed_in(alice), f"/budgets/{root}/")
    assert page.index("Research") < page.index("Search 0") < page.index("Search 1")
    assert "Step 1" not in page and "2 older branches are not shown." in page


def test_a_branch_a_foreign_tree_and_no_trees(
    api: Any, alice: User, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    root = opened(api, "60", "Write the report")
    child = opened(api, "30", "Research", parent=root)
    assert signed_in(alice).get(f"/budgets/{child}/").status_code == 404
    assert signed_in(charlie).get(f"/budgets/{root}/").status_code == 404
    assert "No budgets yet" in text_of(signed_in(charlie), "/budgets/")
