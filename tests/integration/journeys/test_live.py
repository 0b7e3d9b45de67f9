"""Tabs of a browser follow the account through one stream of the web server that runs in production.

A tab that has had an event of the stream polls 45 seconds later at the earliest, so that what it shows within
the usual time limit of thirty seconds has come by the stream. How soon it comes is tested without a browser
(races/test_live_tabs.py) and by the page's clock (test_dashboard.py).
"""

import re
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import Account, User
from billing.models import Purchase
from tests.integration.races.web import serving
from tests.usage.spending import spend
from tests.usage.test_live_updates import waiting_purchase

AccountOf = Callable[[User], Account]


@pytest.fixture
def site(transactional_db: None, catalogue: None) -> Iterator[str]:
    with serving(processes=1) as address:
        yield address


@pytest.fixture
def window(browser: Browser, site: str, alice: User) -> Iterator[BrowserContext]:
    """A browser in which alice is signed in."""
    context = browser.new_context(base_url=site, locale="en-GB")
    context.set_default_timeout(30_000)
    client = Client()
    client.force_login(alice)
    name = f"refill_session_{site.rpartition(':')[2]}"
    context.add_cookies([{"name": name, "value": client.session.session_key or "", "url": site}])
    yield context
    context.close()


def open_tab(window: BrowserContext, path: str = "/") -> tuple[Page, list[str]]:
    """A tab and the paths that it requests from now on."""
    tab, paths = window.new_page(), list[str]()
    tab.on("request", lambda request: paths.append(request.url.split("/", 3)[3].partition("?")[0]))
    tab.goto(f"/{path.lstrip('/')}")
    return tab, paths


def open_following_tab(window: BrowserContext, path: str = "/") -> tuple[Page, list[str]]:
    """A tab that has a stream, and the paths that it requests."""
    tab, paths = window.new_page(), list[str]()
    tab.on("request", lambda request: paths.append(request.url.split("/", 3)[3].partition("?")[0]))
    with tab.expect_response("**/live"):
        tab.goto(f"/{path.lstrip('/')}")
    return tab, paths


def wait_until_quiet(tabs: list[tuple[Page, list[str]]]) -> None:
    """Until no tab requests anything for a while: each has had an event, and none polls."""
    for _attempt in range(12):
        for _tab, paths in tabs:
            paths.clear()
        tabs[0][0].wait_for_timeout(2500)
        if not any(paths for _tab, paths in tabs):
            return
    raise AssertionError([paths for _tab, paths in tabs if paths])


@pytest.mark.requirement("FLICK-05", "RECR-07")
def test_all_tabs_follow_the_account_through_one_stream_and_none_polls(
    window: BrowserContext, alice: User, account_of: AccountOf
) -> None:
    paths_of_tabs = ("/history/", "/usage/", *["/projects/"] * 5)
    tabs = [open_following_tab(window), *(open_tab(window, path) for path in paths_of_tabs)]
    for tab, _paths in tabs:
        expect(tab.locator("#credit-figure")).to_contain_text("100")
    first = tabs[0][0]
    first.wait_for_timeout(2500)
    assert sum(paths.count("live") for _tab, paths in tabs) == 1, "a browser opens six connections to a host"
    wait_until_quiet(tabs)

    first.locator("#credit-counter").focus()
    spend(account_of(alice), "37.5", timezone.now(), conversation="c-81")
    for tab, _paths in tabs:
        expect(tab.locator("#credit-figure")).to_contain_text("62.5")
    expect(first.locator("#activity tr.is-new")).to_contain_text("c-81")
    expect(first.locator("#credit-counter")).to_be_focused()
    expect(tabs[1][0].locator("tr[id^=entry-]")).to_have_count(2)
    expect(tabs[2][0].locator("main")).to_contain_text("c-81")

    first.close()  # the tab that held the stream: another one takes over
    spend(account_of(alice), "2.5", timezone.now())
    expect(tabs[1][0].locator("#credit-figure")).to_contain_text("60")
    assert sum(paths.count("live") for _tab, paths in tabs[1:]) == 1


def test_what_is_opened_stays_open_when_a_change_is_shown(
    window: BrowserContext, alice: User, account_of: AccountOf
) -> None:
    spend(account_of(alice), "1", timezone.now())
    tab, _paths = open_following_tab(window, "/usage/")
    table = tab.locator("#sums details", has_text="Show as a table").first
    table.locator("summary").click()
    spend(account_of(alice), "2", timezone.now())
    expect(table.locator("tbody tr").last).to_contain_text("3")
    expect(table).to_have_attribute("open", "")


def test_a_hidden_tab_closes_the_stream_and_catches_up_when_it_is_shown_again(
    window: BrowserContext, alice: User, account_of: AccountOf
) -> None:
    tab, paths = open_following_tab(window)
    show(tab, "hidden")
    paths.clear()
    spend(account_of(alice), "1", timezone.now())
    tab.wait_for_timeout(1500)
    assert "counter" not in paths
    show(tab, "visible")
    expect(tab.locator("#credit-figure")).to_contain_text("99")


def test_a_pending_payment_that_fails_is_shown(
    window: BrowserContext, alice: User, account_of: AccountOf
) -> None:
    purchase = waiting_purchase(account_of(alice))
    tab, _paths = open_following_tab(window, f"/billing/purchases/{purchase.public_id}/return/")
    Purchase.objects.filter(pk=purchase.pk).update(status=Purchase.Status.FAILED)
    expect(tab.locator("#purchase-status")).to_contain_text("The payment failed")


@pytest.mark.fault("W2")
def test_when_one_tab_signs_out_the_others_go_to_the_sign_in_page(window: BrowserContext) -> None:
    other, _paths = open_tab(window, "/history/")
    tab, _paths = open_tab(window)
    tab.click("[popovertarget=account-menu]")
    tab.get_by_role("button", name="Sign out").click()
    expect(other).to_have_url(re.compile(r"/accounts/login/\?next=%2Fhistory%2F$"))


@pytest.mark.fault("W2")
def test_when_the_session_is_ended_elsewhere_the_tabs_go_to_the_sign_in_page(
    window: BrowserContext, alice: User
) -> None:
    tabs = [open_tab(window, path)[0] for path in ("/", "/history/")]
    tabs[0].wait_for_timeout(1500)
    for session in Session.objects.all():
        assert session.get_decoded()[SESSION_KEY] == str(alice.pk)
        session.delete()
    for tab in tabs:
        expect(tab).to_have_url(re.compile("/accounts/login/"))


def show(tab: Page, state: str) -> None:
    tab.evaluate(
        """state => {
            Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        state,
    )
