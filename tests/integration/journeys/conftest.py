"""The stage of the journeys: a real browser in front of a real server with real threads and real commits.

A journey is a story of a person: `page` is a fresh browser window, `site` the address of the portal, and
`sign_in(alice)` spares the story its first chapter. A failed journey leaves a picture in var/test/journeys.
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

PATIENCE_MILLISECONDS = 30_000  # long enough for a loaded machine

expect.set_options(timeout=PATIENCE_MILLISECONDS)

# Playwright keeps an event loop in this thread, which Django would take for asynchronous code of ours.
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
    """The portal's address, with the sandbox and every link of ours on it."""
    settings.SITE_URL = live_server.url
    settings.STRIPE_API_BASE = f"{live_server.url}/sandbox/stripe"
    yield str(live_server.url)
    deliveries.wait_until_idle()  # an event on its way must not meet the emptying of the tables


@pytest.fixture
def page(browser: Browser, site: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh window. A script error, a blocked resource or a request to another host fails the journey."""
    context = browser.new_context(base_url=site, viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    window = context.new_page()
    wrongs: list[str] = []
    window.on("pageerror", lambda error: wrongs.append(f"script error: {error}"))
    window.on(
        "console", lambda said: wrongs.append(said.text) if "Content Security Policy" in said.text else None
    )
    window.on("request", lambda asked: None if _own(asked.url, site) else wrongs.append(f"asked {asked.url}"))
    yield window
    if getattr(request.node, "journey_failed", False):
        pictures = Path(settings.VAR_DIR) / "journeys"
        pictures.mkdir(parents=True, exist_ok=True)
        window.screenshot(path=pictures / f"{request.node.name}.png", full_page=True)
    context.close()
    assert not wrongs, "\n".join(wrongs)


@pytest.fixture
def sign_in(page: Page, site: str) -> Callable[[User], Page]:
    """Open the window as somebody who has signed in, by a session cookie of the real kind."""

    def enter(user: User) -> Page:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME]
        assert SessionStore(session_key=cookie.value).exists(cookie.value)
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie.value, "url": site}])
        return page

    return enter


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed and report.when == "call":
        item.journey_failed = True  # type: ignore[attr-defined]
    return report


def _own(url: str, site: str) -> bool:
    return url.startswith((site, "data:", "blob:", "about:"))
