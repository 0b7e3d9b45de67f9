"""Every link of the portal on a narrow screen: no page is missing, blocked or too wide."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from accounts.models import Account, User
from tests.access import world

SignIn = Callable[[User], Page]
WIDTH = 390
ID = re.compile(r"(?<=_)[0-9a-f]{32}")
ONE_OF_MANY = re.compile(r"^(/pricing/|/plans/|/billing/buy/)(?!compare|estimate)[a-z0-9.-]+/$")
NOT_FOLLOWED = re.compile(
    r"^/(admin|sandbox|api|accounts/logout)/"
)  # other parts of the site, and signing out
DOWNLOADED = re.compile(r"\.(csv|json|pdf|py)$")
LINKS = """() => [...document.querySelectorAll('a[href]')].map(
    link => [link.href, link.innerText || link.ariaLabel || link.textContent])"""


def shape(path: str) -> str:
    """The path with ids replaced: one page of each kind is visited."""
    return ONE_OF_MANY.sub(r"\1*/", ID.sub("*", path))


@pytest.mark.requirement("APIN-14")
def test_every_link_leads_to_a_page(alice: User, api_of: Any, sign_in: SignIn, site: str) -> None:
    world.create_objects(Account.objects.get(person=alice), alice, api_of(alice))
    page = sign_in(alice)
    page.set_viewport_size({"width": WIDTH, "height": 844})
    errors: list[str] = []
    page.on(
        "response",
        lambda response: (
            errors.append(f"{response.status} {response.url}") if response.status >= 400 else None
        ),
    )
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    queue, visited = ["/", "/wall/"], {"/", "/wall/"}
    while queue:
        path = queue.pop(0)
        page.goto(path, wait_until="domcontentloaded")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > WIDTH:
            errors.append(f"{path} is {width} pixels wide")
        for address, name in page.evaluate(LINKS):
            target = urlsplit(address)
            if not name.strip():
                errors.append(f"{path} has a link without a name to {target.path}")
            if (
                not address.startswith(site)
                or NOT_FOLLOWED.match(target.path)
                or shape(target.path) in visited
            ):
                continue
            visited.add(shape(target.path))
            if DOWNLOADED.search(target.path):
                assert page.request.get(address).ok, address
            else:
                queue.append(address.removeprefix(site))
    assert not errors, "\n".join(errors)
    for expected in (
        "/projects/*/",
        "/charges/*/",
        "/billing/purchases/*/",
        "/pricing/*/",
        "/keys/*/revoke/",
    ):
        assert shape(expected) in {re.sub(r"[a-z]+_\*", "*", path) for path in visited}, expected
