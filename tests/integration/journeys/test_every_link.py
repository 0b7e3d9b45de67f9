"""Somebody follows every link of the portal on a telephone: nothing is missing, blocked or too wide."""

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
NOT_FOLLOWED = re.compile(r"^/(admin|sandbox|api|accounts/logout)/")  # other houses, and the way out
DOWNLOADED = re.compile(r"\.(csv|pdf)$")
LINKS = """() => [...document.querySelectorAll('a[href]')].map(
    one => [one.href, one.innerText || one.ariaLabel || one.textContent])"""


def shape(path: str) -> str:
    """What pages of one kind have in common: one charge stands for all."""
    return ONE_OF_MANY.sub(r"\1*/", ID.sub("*", path))


@pytest.mark.requirement("APIN-14")
def test_every_link_leads_somewhere(alice: User, api_of: Any, sign_in: SignIn, site: str) -> None:
    world.furnish(Account.objects.get(person=alice), alice, api_of(alice))
    page = sign_in(alice)
    page.set_viewport_size({"width": WIDTH, "height": 844})
    wrong: list[str] = []
    page.on("response", lambda got: wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    ahead, known = ["/", "/wall/"], {"/", "/wall/"}
    while ahead:
        path = ahead.pop(0)
        page.goto(path, wait_until="domcontentloaded")
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > WIDTH:
            wrong.append(f"{path} is {wide} pixels wide")
        for address, name in page.evaluate(LINKS):
            where = urlsplit(address)
            if not name.strip():
                wrong.append(f"{path} has a link without a name to {where.path}")
            if not address.startswith(site) or NOT_FOLLOWED.match(where.path) or shape(where.path) in known:
                continue
            known.add(shape(where.path))
            if DOWNLOADED.search(where.path):
                assert page.request.get(address).ok, address
            else:
                ahead.append(address.removeprefix(site))
    assert not wrong, "\n".join(wrong)
    for expected in (
        "/projects/*/",
        "/charges/*/",
        "/billing/purchases/*/",
        "/pricing/*/",
        "/keys/*/revoke/",
    ):
        assert shape(expected) in {re.sub(r"[a-z]+_\*", "*", one) for one in known}, expected
