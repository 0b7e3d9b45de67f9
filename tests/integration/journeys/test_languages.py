"""Pages hold the texts of every language: messages that are 40 % longer, and Chinese ones, wide and narrow.

Nothing makes a page wider than the window, and no button, tab or heading of a table loses a part of its text.
Numbers in attributes and addresses have no separators of the language.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page

from accounts.models import Account, User
from billing import ledger
from tests import languages
from tests.access import world
from tests.usage.spending import give

SignIn = Callable[[User], Page]
PATHS = (
    *(
        "/",
        "/usage/",
        "/usage/forecast/",
        "/history/",
        "/history/statement/",
        "/billing/purchases/",
        "/projects/",
        "/pricing/",
        "/pricing/compare/",
    ),
    *("/pricing/claude-sonnet-4/", "/plans/", "/billing/", "/billing/buy/", "/billing/subscription/"),
    *("/billing/alerts/", "/billing/auto-top-up/", "/billing/invitations/", "/billing/redeem/", "/keys/"),
    *("/webhooks/", "/settings/", "/members/", "/budgets/", "/exports/", "/faq/"),
    *("/accounts/2fa/", "/accounts/sessions/", "/accounts/email/", "/settings/delete/", "/documentation/"),
)
FOR_VISITORS = ("/accounts/login/", "/accounts/signup/", "/plans/", "/pricing/", "/no/such/page")
FAULTS = """(tablesFit) => {
  const found = [];
  const width = document.documentElement.clientWidth;
  const whole = document.documentElement.scrollWidth;
  if (whole > width) found.push(`${whole} wide`);
  const scrolls = (element) => element && (["auto", "scroll"].includes(getComputedStyle(element).overflowX)
    || scrolls(element.parentElement));
  for (const frame of document.querySelectorAll(".table-frame"))
    if (tablesFit && frame.scrollWidth > frame.clientWidth + 1)
      found.push(`scrolls: ${frame.textContent.trim().slice(0, 60)}`);
  const texts = document.querySelectorAll("button, .button, .badge, .tab, th, label, h1, h2, h3, dt");
  for (const element of texts) {
    const box = element.getBoundingClientRect();
    if (!element.checkVisibility() || box.width <= 1 || element.matches(".visually-hidden"))
      continue;
    const text = element.textContent.trim().replace(/\\s+/g, " ").slice(0, 60);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth) found.push(`clipped: ${text}`);
    else if ((box.right > width + 1 || box.left < -1) && !scrolls(element)) found.push(`outside: ${text}`);
  }
  for (const time of document.querySelectorAll("main time")) {
    const words = time.textContent.trim().split(/\\s+/);
    if (tablesFit && time.checkVisibility() && time.getClientRects().length > words.length)
      found.push(`broken: ${time.textContent}`);
  }
  const isLocalised = /^\\d+[,\u00a0]\\d+$|=\\d+(,|%2C|%C2%A0)\\d+(&|$)/;
  for (const element of document.querySelectorAll("input, progress, svg *, a, [hx-get]"))
    for (const { name, value } of element.attributes)
      if (!["aria-label", "title"].includes(name) && isLocalised.test(value))
        found.push(`${name}="${value}"`);
  return found;
}"""


def faults(page: Page, paths: tuple[str, ...], language: str) -> list[str]:
    found = []
    tables_fit = language != languages.LONGER  # times consist of two messages: tables scroll with those
    for path in paths:
        page.goto(path, wait_until="domcontentloaded")
        assert page.locator("html").get_attribute("lang") == language
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 844})
            found += [f"{path} at {width}: {fault}" for fault in page.evaluate(FAULTS, tables_fit)]
    return found


@pytest.mark.parametrize("language", [languages.LONGER, "zh-hans"])
def test_pages_hold_the_texts_of_every_language(
    alice: User, api_of: Any, sign_in: SignIn, page: Page, site: str, language: str
) -> None:
    account = Account.objects.get(person=alice)
    world.create_objects(account, alice, api_of(alice))
    then = timezone.now() - timedelta(days=400)  # a time with its year beside a large amount
    give(account, "120000", then, kind="bonus", label="-", expires_at=then + timedelta(days=31))
    ledger.settle_for_read(account.pk, timezone.now())
    give(account, "11526.68", timezone.now(), kind="bonus", expires_at=timezone.now() + timedelta(days=40))
    with languages.longer():
        page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": language, "url": site}])
        found = faults(page, FOR_VISITORS, language)
        User.objects.filter(pk=alice.pk).update(language=language)
        found += faults(sign_in(alice), PATHS, language)
    assert found == [], "\n".join(found)
