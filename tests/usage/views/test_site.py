"""Help pages, and the stylesheet with the brand's colours."""

import html
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts import registration
from accounts.models import User
from core import colour
from pricing import models
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import loading
from tests.usage.spending import give


@pytest.mark.requirement("APIN-14")
@pytest.mark.parametrize("path", ["/documentation/", "/faq/", "/support/"])
def test_help_pages_require_no_sign_in(catalogue: None, client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_the_support_page_shows_the_address_of_the_catalogue(catalogue: None, client: Client) -> None:
    wording = catalogue_cache.current().wording
    assert wording is not None
    assert f"mailto:{wording.support_email}" in client.get("/support/").content.decode()


@pytest.mark.parametrize("accent", ["#ffee00", "#0e7a5f", "#000000", "#ff2d55"])
def test_brand_colours_have_sufficient_contrast(catalogue: None, client: Client, accent: str) -> None:
    catalogue_row = models.Catalogue.objects.get()
    catalogue_row.brand["accent"] = accent
    catalogue_row.save()
    catalogue_cache.changed()
    css = client.get("/brand.css").content.decode()
    found = dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6})", css))
    assert colour.contrast(found["brand-light"], "#ffffff") >= 4.5
    assert colour.contrast(found["on-brand-light"], found["brand-light"]) >= 4.5
    assert colour.contrast(found["brand-dark"], "#17181a") >= 4.5
    assert colour.contrast(found["on-brand-dark"], found["brand-dark"]) >= 4.5


@pytest.mark.parametrize("name", ["refly", "codeflicker", "apinfer", "flowly", "recraft"])
def test_a_new_user_can_follow_the_documentation_in_each_catalogue(
    db: None, client: Client, api_of: Callable[..., Any], name: str
) -> None:
    loading.load(name, now=timezone.now())
    user = User.objects.create_user("dora@example.com")
    account = registration.open_personal_account(user, timezone.now())
    registration.confirm_address(user, user.email, timezone.now())
    text = html.unescape(client.get("/documentation/").content.decode())
    curl = text[text.index("curl ") : text.index("</code>")]
    assert f"{settings.SITE_URL}/api/v1/charges" in curl and "Idempotency-Key: my-call-1" in curl
    body = json.loads(curl[curl.index("-d '") + 4 : curl.rindex("'")])
    api = api_of(user)
    answer = api.post("charges", body, key="my-call-1")
    assert (
        (answer.status_code == 402) == ("Buy a pack before your first charge." in text) == (name == "apinfer")
    )
    if answer.status_code == 402:  # its credits are bought, and the answer says so
        assert "buy" in {option["kind"] for option in answer.json()["ways_on"]}
        give(account, "20", timezone.now())
        answer = api.post("charges", body, key="my-call-1")
    assert answer.status_code == 201, answer.json()
    assert Decimal(answer.json()["credits"]) > 0


def test_the_documentation_without_a_catalogue_has_an_example_too(db: None, client: Client) -> None:
    assert "curl" in client.get("/documentation/").content.decode()
