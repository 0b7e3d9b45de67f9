"""Fixtures of the browser tests: a real browser and a real server with threads and commits.

`page` is a new browser window, `site` the address of the portal, and `sign_in(alice)` opens a session without
the sign-in page. A failed test stores a screenshot in var/test/journeys.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from playwright.sync_api import Browser, Page, expect, sync_playwright

from accounts.models import User
from sandbox.objects import deliveries
from tests.integration.journeys import chromium

TIMEOUT_MILLISECONDS = 30_000  # long enough for a loaded machine

expect.set_options(timeout=TIMEOUT_MILLISECONDS)

# Playwright runs an event loop in this thread, which Django would treat as asynchronous code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    if path is None:
        pytest.fail(chromium.MISSING, pytrace=False)
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        yield instance
        instance.close()


@pytest.fixture
def site(transactional_db: None, catalogue: None, live_server: Any, settings: Any) -> Iterator[str]:
    """The portal's address; the sandbox and all absolute links use it."""
    settings.SITE_URL = live_server.url
    settings.STRIPE_API_BASE = f"{live_server.url}/sandbox/stripe"
    yield str(live_server.url)
    deliveries.wait_until_idle()  # deliveries must end before the tables are emptied


@pytest.fixture
def page(browser: Browser, site: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A new window. A script error, a blocked resource or a request to another host fails the test."""
    context = browser.new_context(base_url=site, viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    window = context.new_page()
    errors: list[str] = []
    window.on("pageerror", lambda error: errors.append(f"script error: {error}"))
    window.on(
        "console",
        lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None,
    )
    window.on(
        "request", lambda sent: None if _own(sent.url, site) else errors.append(f"request to {sent.url}")
    )
    yield window
    if getattr(request.node, "test_failed", False):
        screenshots = Path(settings.VAR_DIR) / "journeys"
        screenshots.mkdir(parents=True, exist_ok=True)
        window.screenshot(path=screenshots / f"{request.node.name}.png", full_page=True)
    context.close()
    assert not errors, "\n".join(errors)


@pytest.fixture
def sign_in(page: Page, site: str) -> Callable[[User], Page]:
    """Sign a user in by a session cookie, without the sign-in page."""

    def open_session(user: User) -> Page:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME]
        assert SessionStore(session_key=cookie.value).exists(cookie.value)
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie.value, "url": site}])
        return page

    return open_session


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed and report.when == "call":
        item.test_failed = True  # type: ignore[attr-defined]
    return report


def _own(url: str, site: str) -> bool:
    return url.startswith((site, "data:", "blob:", "about:"))
