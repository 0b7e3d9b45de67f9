"""Static files in production: one stylesheet, hashed names, compressed in advance, cached for years."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli
import pytest
from django.conf import settings as project
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import Client

from accounts.models import User
from config.static_files import Storage

STYLES = Path(project.BASE_DIR, "static/css")
IMPORTED = re.findall(r'@import url\("(.+)"\);', (STYLES / "portal.css").read_text())


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which static files are collected."""
    return tmp_path_factory.mktemp("static")


@pytest.fixture
def portal_css(collected: Path, settings: Any) -> str:
    """The URL of the stylesheet, served as in production: our own files are collected."""
    settings.STATIC_ROOT = collected
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": "config.static_files.Storage"}}
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = False
    call_command("collectstatic", interactive=False, verbosity=0)
    return staticfiles_storage.url("css/portal.css")


def get(client: Client, url: str, **headers: str) -> Any:
    response = client.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return response, b"".join(response.streaming_content) if response.streaming else response.content


def test_every_stylesheet_but_those_of_the_api_reference_and_the_admin_is_in_the_one_of_all_pages() -> None:
    assert {*IMPORTED, "portal.css", "api_docs.css", "admin_prices.css"} == {
        path.name for path in STYLES.glob("*.css")
    }
    assert IMPORTED[0] == "tokens.css"  # it states the order of the layers


def test_the_collected_stylesheet_contains_the_others_and_imports_none(
    portal_css: str, client: Client
) -> None:
    _response, styles = get(client, portal_css)
    texts = [(STYLES / name).read_text() for name in IMPORTED]
    found = [styles.decode().find(text) for text in texts]
    assert -1 not in found and found == sorted(found)
    assert b"@import" not in styles


def test_collecting_again_gives_the_same_file(portal_css: str) -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    assert staticfiles_storage.url("css/portal.css") == portal_css


@pytest.mark.parametrize(
    ("accepted", "encoding", "decode"),
    [("gzip, deflate, br", "br", brotli.decompress), ("gzip", "gzip", gzip.decompress), ("", None, bytes)],
)
def test_a_hashed_file_is_compressed_in_advance_and_cached_for_years(
    portal_css: str, client: Client, accepted: str, encoding: str | None, decode: Callable[[bytes], bytes]
) -> None:
    assert re.fullmatch(r"/static/css/portal\.[0-9a-f]{12}\.css", portal_css)
    _plain, styles = get(client, portal_css)
    response, body = get(client, portal_css, accept_encoding=accepted)
    assert (response.status_code, response.get("Content-Encoding")) == (200, encoding)
    assert decode(body) == styles
    assert response["Vary"] == "Accept-Encoding"
    assert response["Cache-Control"] == "max-age=315360000, public, immutable"
    assert encoding is None or len(body) < len(styles) / 3


def test_a_file_that_has_not_changed_is_not_sent_again(portal_css: str, client: Client) -> None:
    response, _body = get(client, portal_css, accept_encoding="br")
    assert response["ETag"].startswith('W/"'), "the plain file has it too, with other bytes"
    again, body = get(client, portal_css, accept_encoding="br", if_none_match=response["ETag"])
    assert (again.status_code, body) == (304, b"")


def test_a_page_links_the_stylesheet_and_the_brands_colours(
    alice: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    page = browser.get("/").content.decode()
    assert re.findall(r'rel="stylesheet" href="([^"?]+)', page) == ["/static/css/portal.css", "/brand.css"]
    versioned = re.search(r'href="(/brand.css\?v=[^"]+)"', page)
    assert versioned is not None
    assert "immutable" in browser.get(versioned[1])["Cache-Control"]
    assert "immutable" not in browser.get("/brand.css?v=older")["Cache-Control"]


def test_a_host_where_nothing_was_collected_shows_pages_without_styles(tmp_path: Path) -> None:
    """Each page was an error there, and so was the page of the error."""
    assert Storage(location=tmp_path, base_url="/static/").url("css/portal.css") == "/static/css/portal.css"
