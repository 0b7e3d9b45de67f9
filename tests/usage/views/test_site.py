"""Help pages, and the stylesheet with the brand's colours."""

import re

import pytest
from django.test import Client

from core import colour
from pricing import models
from pricing.catalogue import cache as catalogue_cache


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
