"""Pages, lists and exports are compressed for clients that accept it; secrets and events are not."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import User
from config import compression
from tests.api import Api

pytestmark = pytest.mark.django_db
LONG = b"<p>the same</p>" * 200
GZIP = {"accept-encoding": "gzip, deflate, br"}


def answered(response: HttpResponse | StreamingHttpResponse, method: str = "get", path: str = "/") -> Any:
    """The response after the middleware, to a browser."""
    request: HttpRequest = getattr(RequestFactory(headers=GZIP), method)(path)
    return compression.Compression(lambda request: response)(request)


def is_compressed(response: Any) -> bool:
    return response.headers.get("Content-Encoding") == "gzip"


@pytest.mark.parametrize("path", ["/", "/billing/", "/history/", "/settings/"])
def test_a_page_is_compressed_for_clients_that_accept_it(
    alice: User, signed_in: Callable[[User], Client], path: str
) -> None:
    browser = signed_in(alice)
    plain, packed = browser.get(path), browser.get(path, headers=GZIP)
    assert (plain.status_code, is_compressed(plain), is_compressed(packed)) == (200, False, True)
    assert "Accept-Encoding" in plain["Vary"] and "Accept-Encoding" in packed["Vary"]
    assert int(packed["Content-Length"]) == len(packed.content) < len(plain.content) / 2
    page = gzip.decompress(packed.content).decode()
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")


def test_the_length_of_a_page_differs_from_answer_to_answer() -> None:
    assert len({len(answered(HttpResponse(LONG)).content) for _ in range(40)}) > 10


@pytest.mark.parametrize(
    "name", ["api_keys", "mfa_view_recovery_codes", "mfa_activate_totp", "admin:accounts_apikey_add"]
)
def test_a_page_that_shows_a_secret_is_not_compressed(name: str) -> None:
    response = answered(HttpResponse(LONG), path=reverse(name))
    assert not is_compressed(response) and response.content == LONG
    assert is_compressed(answered(HttpResponse(LONG), path=reverse("settings")))


def test_lists_of_the_api_are_compressed_and_its_short_answers_are_not(
    api_of: Callable[..., Api], alice: User
) -> None:
    client = api_of(alice).client
    services, balance = (client.get(f"/api/v1/{name}", headers=GZIP) for name in ("services", "balance"))
    assert (services.status_code, is_compressed(services)) == (200, True)
    assert json.loads(gzip.decompress(services.content))["data"]
    assert (balance.status_code, is_compressed(balance)) == (200, False)
    assert "Accept-Encoding" not in balance.get("Vary", "")


def test_an_export_is_compressed_as_it_is_written(alice: User, signed_in: Callable[[User], Client]) -> None:
    export = signed_in(alice).get("/history/export.csv", headers=GZIP)
    assert is_compressed(export) and export.streaming and "Content-Length" not in export.headers
    assert gzip.decompress(b"".join(export.streaming_content)).decode("utf-8-sig").startswith("time_utc,")


@pytest.mark.parametrize(
    ("response", "method", "compressed"),
    [
        (HttpResponse(LONG), "get", True),
        (HttpResponse(LONG[: compression.SMALLEST]), "get", True),
        (HttpResponse(LONG[: compression.SMALLEST - 1]), "get", False),
        (HttpResponse(LONG), "post", False),
        (HttpResponse(LONG, content_type="application/problem+json"), "get", True),
        (HttpResponse(LONG, content_type="image/png"), "get", False),
        (HttpResponse(LONG, headers={"Content-Encoding": "br"}), "get", False),
        (StreamingHttpResponse([LONG], content_type="text/event-stream"), "get", False),
        (StreamingHttpResponse([LONG], content_type="text/event-stream; charset=utf-8"), "get", False),
    ],
)
def test_what_is_compressed(response: Any, method: str, compressed: bool) -> None:
    before = response.get("Content-Encoding")
    answer = answered(response, method)
    assert is_compressed(answer) == compressed
    assert compressed or answer.get("Content-Encoding") == before
