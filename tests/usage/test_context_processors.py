"""The frame of every page: brand, navigation, footer, error pages and content security policy."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.test.utils import override_settings

from accounts.models import User
from pricing import models
from pricing.catalogue import cache as catalogue_cache
from tests.some import some

SignedIn = Callable[[User], Client]
PAGES = ("/", "/usage/", "/history/", "/history/statement/", "/documentation/", "/faq/", "/support/")


@pytest.mark.requirement("APIN-14")
@pytest.mark.parametrize("path", [*PAGES, "/accounts/login/", "/nowhere/"])
def test_documentation_faq_and_support_are_reachable_from_every_page(
    alice: User, client: Client, signed_in: SignedIn, path: str
) -> None:
    browser = client if path == "/accounts/login/" else signed_in(alice)
    page = browser.get(path).content.decode()
    footer = page[page.index("<footer") : page.index("</footer>")]
    for target in ("/documentation/", "/faq/", "/support/"):
        assert f'href="{target}"' in footer


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_landmarks_a_skip_link_and_one_heading(
    alice: User, signed_in: SignedIn, path: str
) -> None:
    page = signed_in(alice).get(path).content.decode()
    assert '<html lang="en"' in page
    assert 'href="#main"' in page and '<main id="main"' in page
    assert page.count("<h1") == 1
    assert len(re.findall(r"<nav [^>]*aria-label=", page)) >= 1


@pytest.mark.parametrize(
    ("path", "label"), [("/", "Dashboard"), ("/usage/", "Usage"), ("/history/statement/", "History")]
)
def test_the_navigation_marks_the_current_page(
    alice: User, signed_in: SignedIn, path: str, label: str
) -> None:
    page = signed_in(alice).get(path).content.decode()
    marked = re.findall(r'class="nav-link"[^>]*aria-current="page">([^<]+)<', page)
    assert marked == [label]


@pytest.mark.fault("W7")
@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_inline_script_or_style_and_load_nothing_from_other_hosts(
    alice: User, signed_in: SignedIn, path: str
) -> None:
    response = signed_in(alice).get(path)
    page = response.content.decode()
    assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=\s*[\"']", page)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    loading = re.sub(r"<a [^>]*>", "", page)  # a link of the footer may lead to a page of the product
    assert not re.search(r"(?:src|href)=[\"'](?:https?:)?//", loading)
    policy = response["Content-Security-Policy"]
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy


def test_styles_and_scripts_load_nothing_from_other_hosts() -> None:
    styles = some(Path(settings.BASE_DIR, "static/css").glob("*.css"))
    for path in [*styles, *some(Path(settings.BASE_DIR, "static/js").glob("*.js"))]:
        text = path.read_text()
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path
        imported = re.findall(r"@import\b[^;]*", text)
        assert all(re.fullmatch(r'@import url\("[a-z_]+\.css"\)', one) for one in imported), path
        assert "eval(" not in text, path


def test_pages_work_without_a_catalogue(db: None, client: Client) -> None:
    assert "Refill" in client.get("/accounts/login/").content.decode()
    assert client.get("/brand.svg")["Content-Type"] == "image/svg+xml"


def test_the_brand_name_comes_from_the_catalogue(alice: User, signed_in: SignedIn) -> None:
    page = signed_in(alice).get("/").content.decode()
    assert "<title>Dashboard · Refly</title>" in page


@pytest.mark.requirement("REFLY-11")
def test_the_header_shows_the_badge_of_the_plan(
    alice: User, signed_in: SignedIn, account_of: Callable[[User], Any]
) -> None:
    from billing.models import Subscription
    from billing.subscriptions import plan_terms

    assert "Early bird" not in signed_in(alice).get("/").content.decode()
    plan = models.Plan.objects.exclude(badge="").first()
    assert plan is not None, "no plan of the catalogue has a badge"
    account = account_of(alice)
    Subscription.objects.filter(account=account).update(plan=plan.key)
    plan_terms.forget(account.pk)
    page = signed_in(alice).get("/").content.decode()
    header = page[page.index("<header") : page.index("</header>")]
    assert plan.badge in header


def test_an_unknown_page_links_back_to_the_dashboard(alice: User, signed_in: SignedIn) -> None:
    response = signed_in(alice).get("/nowhere/")
    assert response.status_code == 404
    assert b"Page not found" in response.content
    assert b'href="/"' in response.content


@pytest.mark.fault("W1")
def test_an_expired_form_is_refused_with_an_explanation(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    response = strict.post("/accounts/logout/")
    assert response.status_code == 403
    assert b"This form has expired" in response.content


@override_settings(ALLOWED_HOSTS=["portal.example"])
@pytest.mark.fault("W3")
def test_a_forged_host_is_refused_with_an_explanation(db: None, client: Client) -> None:
    response = client.get("/accounts/login/", headers={"host": "evil.example"})
    assert response.status_code == 400
    assert b"read this request" in response.content


def test_the_error_page_needs_no_database(db: None, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from usage.views import site

    def broken(*args: object) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(site, "current_brand", broken)
    client.raise_request_exception = False
    response = client.get("/brand.css")
    assert response.status_code == 500
    assert b"Something went wrong on our side" in response.content
    assert b"check whether the change was made" in response.content


def portal_of(browser: Client, path: str = "/faq/") -> Any:
    """The template variable `portal` of a page."""
    return browser.get(path).context["portal"]


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ("/", ["Dashboard"]),
        ("/history/", ["History"]),
        ("/projects/", ["Canvases"]),
        ("/plans/", ["Plans"]),
        ("/billing/buy/", ["Billing"]),
        ("/keys/", ["API keys"]),
        ("/pricing/", ["Models & prices"]),
        ("/pricing/gpt-4o/", ["Models & prices"]),
        ("/members/", ["Settings"]),
        ("/settings/", ["Settings"]),
        ("/faq/", []),
    ],
)
def test_the_navigation_has_every_part_and_marks_the_current_one(
    alice: User, signed_in: SignedIn, path: str, labels: list[str]
) -> None:
    response = signed_in(alice).get(path, follow=True)
    items = response.context["portal"].nav
    assert [item.label for item in items if item.current] == labels
    names = ["Dashboard", "Usage", "History", "Canvases", "Models & prices", "Plans", "Billing", "API keys"]
    assert [item.label for item in items] == [*names, "Settings"]


def test_the_plans_are_linked_where_there_are_two_to_choose_from(alice: User, signed_in: SignedIn) -> None:
    browser = signed_in(alice)
    offered = models.Plan.objects.filter(legacy=False, retired_at=None).order_by("rank")
    keys = list(offered.values_list("key", flat=True))
    models.Plan.objects.filter(key__in=keys[2:]).update(retired_at="2026-01-01T00:00:00Z")
    catalogue_cache.changed()
    assert portal_of(browser).plans_url == "/plans/"
    models.Plan.objects.filter(key=keys[1]).update(legacy=True)
    catalogue_cache.changed()
    portal = portal_of(browser)
    assert (portal.plans_url, "Plans" in [item.label for item in portal.nav]) == ("", False)


def test_a_member_sees_the_account_that_is_selected_and_buys_where_the_role_allows(
    team: Any, alice: User, bob: User, signed_in: SignedIn, client: Client
) -> None:
    browser = signed_in(bob)
    own = portal_of(browser)
    assert (own.account.person, own.buy_url, [other.account for other in own.others]) == (
        bob,
        "/billing/buy/",
        [team],
    )
    browser.post(f"/switch/{team.public_id}/")
    type(team).objects.filter(pk=team.pk).update(zone="Asia/Kathmandu")
    shared = portal_of(browser)
    assert (shared.account, shared.buy_url, shared.zone) == (team, "", "Asia/Kathmandu")
    assert [other.account.person for other in shared.others] == [bob]
    assert shared.balance.account_id == team.pk
    nobody = portal_of(client)
    values = (nobody.account, nobody.balance, nobody.version, nobody.others, nobody.zone)
    assert values == (None, None, "", [], "UTC")
    assert [item.url for item in nobody.nav] == ["/pricing/", "/plans/", "/documentation/"]
    assert (nobody.buy_url, nobody.early_bird) == ("", "")


def test_the_brand_has_the_values_of_the_catalogue_or_defaults(alice: User, signed_in: SignedIn) -> None:
    brand = signed_in(alice).get("/faq/").context["brand"]
    row = models.Catalogue.objects.get()
    assert (brand.name, brand.tagline, brand.mark, brand.accent) == (
        row.brand["name"],
        row.brand["tagline"],
        row.brand["mark"],
        row.brand["accent"],
    )
    version = brand.version
    row.brand["accent"] = "#ff2d55"
    row.save()
    catalogue_cache.changed()
    assert signed_in(alice).get("/faq/").context["brand"].version != version
    models.Catalogue.objects.all().delete()
    catalogue_cache.forget()
    portal = portal_of(signed_in(alice))
    assert (portal.project_word, portal.projects_word, portal.has_wall) == ("project", "projects", False)
    assert portal.takes_provider_keys is False
