"""The dashboard and the history update themselves while a program uses credits."""

import re
from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from accounts.models import Account, User
from tests.usage.spending import give, spend

AccountOf = Callable[[User], Account]
SignIn = Callable[[User], Page]
SMALL_TARGETS = """() => [...document.querySelectorAll(
        'header a, header button, footer a, main .button, main .tab')]
    .map(element => [element.textContent.trim(), element.getBoundingClientRect()])
    .filter(([, box]) => box.width && (box.height < 24 || box.width < 24))
    .map(([name]) => name)"""


@pytest.mark.requirement("FLICK-05", "RECR-07")
def test_a_charge_is_shown_within_two_seconds(alice: User, account_of: AccountOf, sign_in: SignIn) -> None:
    """The page polls within two seconds of its own clock, and the first response contains the charge."""
    page, account = sign_in(alice), account_of(alice)
    page.clock.install()
    page.goto("/")
    expect(page.locator("#credit-figure")).to_contain_text("100")
    loaded = page.evaluate("performance.timeOrigin")
    page.clock.pause_at(page.evaluate("Date.now()") + 5000)
    page.wait_for_load_state("networkidle")
    spend(account, "37.5", timezone.now(), conversation="c-81")
    with page.expect_request("**/counter?seen=*") as request:
        page.clock.run_for(2000)
    assert "62.5" in request.value.response().text()  # type: ignore[union-attr]
    page.clock.resume()
    expect(page.locator("#credit-figure")).to_contain_text("62.5")
    expect(page.locator("#activity tr.is-new")).to_contain_text("c-81")
    expect(page.locator("#balance .balance-figure")).to_have_text("62.5")
    assert page.evaluate("performance.timeOrigin") == loaded, "the page was reloaded"


@pytest.mark.requirement("FLICK-05")
def test_the_history_shows_a_new_row(alice: User, account_of: AccountOf, sign_in: SignIn) -> None:
    page, account = sign_in(alice), account_of(alice)
    page.goto("/history/")
    rows = page.locator("tr[id^=entry-]")
    expect(rows).to_have_count(1)
    for number in (2, 3):
        spend(account, "1", timezone.now())
        expect(rows).to_have_count(number)


def test_the_counter_opens_a_panel_that_stays_open_while_it_changes(
    alice: User, account_of: AccountOf, sign_in: SignIn
) -> None:
    page, account = sign_in(alice), account_of(alice)
    page.goto("/usage/")
    page.click("#credit-counter")
    panel = page.locator("#credit-panel")
    expect(panel).to_be_visible()
    give(account, "400", timezone.now())
    expect(panel).to_contain_text("500")
    expect(panel).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


@pytest.mark.fault("W2")
def test_when_the_session_ends_the_page_redirects_to_sign_in(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.goto("/history/")
    page.context.clear_cookies()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=%2Fhistory%2F$"))
    expect(page.locator("main input[name=password]")).to_have_count(1)


@pytest.mark.fault("W2")
def test_a_live_update_of_a_replaced_session_does_not_lead_away_from_a_submitted_form(
    alice: User, sign_in: SignIn
) -> None:
    """A change of the second factor replaces the session while the other requests of the page go on."""
    page, held = sign_in(alice), list[Route]()
    page.goto("/projects/")
    page.route("**/projects/", lambda route: held.append(route) if is_post(route) else route.continue_())
    page.route("**/counter*", lambda route: sign_in_again(route) if held else route.continue_())
    page.get_by_label("Name").fill("Blog")
    page.evaluate(
        """document.addEventListener('submit', () =>
          setTimeout(() => htmx.trigger('#credit-figure', 'refill:tick'), 300))"""
    )
    with page.expect_response("**/counter*"):
        page.locator("main form button[type=submit]").click(no_wait_after=True)
    page.wait_for_timeout(500)  # the page would be at the sign-in form
    held[0].continue_()
    expect(page.locator("#messages")).to_contain_text("Blog")


def is_post(route: Route) -> bool:
    return route.request.method == "POST"


def sign_in_again(route: Route) -> None:
    route.fulfill(status=200, headers={"HX-Redirect": "/accounts/login/"})


def test_a_hidden_tab_sends_no_requests(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.clock.install()
    page.goto("/")
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden'})")
    requests: list[str] = []
    # the browser may still fetch the icon; the page's scripts must not send requests
    page.on(
        "request",
        lambda request: requests.append(request.url) if request.resource_type in {"xhr", "fetch"} else None,
    )
    page.clock.run_for(3500)
    assert requests == []


def test_a_counter_that_cannot_be_updated_says_so(
    alice: User, account_of: AccountOf, sign_in: SignIn
) -> None:
    page = sign_in(alice)
    page.goto("/")
    stale = page.locator("#credit-stale")
    expect(stale).to_be_hidden()
    page.route("**/counter*", lambda route: route.abort())
    expect(stale).to_be_visible()
    expect(stale).to_contain_text("may be out of date")
    page.unroute("**/counter*")
    spend(account_of(alice), "1", timezone.now())
    expect(page.locator("#credit-figure")).to_contain_text("99")
    expect(stale).to_be_hidden()


def test_figures_of_the_chart_can_be_reached_by_keyboard(
    alice: User, account_of: AccountOf, sign_in: SignIn
) -> None:
    page = sign_in(alice)
    spend(account_of(alice), "5.25", timezone.now())
    page.goto("/")
    last = page.locator(".chart-point").last
    last.focus()
    expect(last.locator(".chart-value")).to_have_css("opacity", "1")
    expect(last.locator(".chart-value")).to_contain_text("5.25 credits")
    page.keyboard.press("ArrowLeft")
    before = page.locator(".chart-point").nth(-2)
    expect(before).to_be_focused()
    expect(before.locator(".chart-value")).to_have_css("opacity", "1")


@pytest.mark.parametrize("path", ["/", "/usage/", "/history/", "/history/statement/", "/faq/"])
def test_pages_fit_every_width(alice: User, account_of: AccountOf, sign_in: SignIn, path: str) -> None:
    page = sign_in(alice)
    give(
        account_of(alice),
        "123456.789012",
        timezone.now(),
        label="A pack with a name that is long enough to wrap",
    )
    spend(account_of(alice), "0.000001", timezone.now(), conversation="conversation-" + "x" * 60)
    page.goto(path)
    for width in (390, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        assert page.evaluate(SMALL_TARGETS) == [], f"targets of less than 24 pixels at {width}"


def test_the_page_works_without_script(alice: User, account_of: AccountOf, sign_in: SignIn) -> None:
    page = sign_in(alice)
    for _ in range(60):
        spend(account_of(alice), "0.5", timezone.now())
    page.route("**/*.js", lambda route: route.abort())
    page.goto("/history/")
    expect(page.locator("tr[id^=entry-]")).to_have_count(50)
    page.click("text=Load more")
    page.wait_for_url("**before=**")
    expect(page.locator("tr[id^=entry-]")).to_have_count(11)
