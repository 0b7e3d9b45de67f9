"""Plans, packs and invitations as visitors see them, without an account."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from billing.promotions import referrals
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import loading
from pricing.models import Catalogue, Pack, Plan, Sale
from tests.billing.conftest import change_policies

pytestmark = pytest.mark.django_db
CATALOGUES = ["refly", "codeflicker", "apinfer", "flowly", "recraft"]


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return " ".join(response.content.decode().replace("\u00a0", " ").split())


@pytest.mark.requirement("FLICK-12")
@pytest.mark.parametrize("name", CATALOGUES)
def test_a_visitor_sees_the_plans_and_packs_on_offer_and_no_legacy_plan(name: str, client: Client) -> None:
    loading.load(name, now=timezone.now())
    text = page(client, "/plans/")
    for plan in Plan.objects.all():
        assert (f'<h3 class="plan-name">{plan.name}</h3>' in text) == plan.open_to_new_members
    for pack in Pack.objects.all():
        assert f'<h3 class="pack-name">{pack.name}</h3>' in text


@pytest.mark.requirement("FLICK-12")
def test_prices_are_those_of_the_selected_currency_and_interval(catalogue: None, client: Client) -> None:
    Pack.objects.filter(key="small").update(prices={"usd": 512, "eur": 499})
    catalogue_cache.changed()
    text = page(client, "/plans/?interval=year&currency=eur")
    assert "€4.99" in text
    price = Plan.objects.get(key="starter").prices["year"]["eur"]
    assert f'€{price / 100:.2f}</span> <span class="soft">per year' in text
    assert "next=/plans/starter/%3Finterval%3Dyear%26currency%3Deur" in text
    assert "$" not in text[text.index("<main") : text.index("</main>")]
    assert page(client, "/plans/?interval=nope&currency=nope").count("per month") >= 3


@pytest.mark.requirement("FLOW-05")
def test_a_visitor_sees_the_price_of_a_sale(catalogue: None, client: Client) -> None:
    now, pack = timezone.now(), Pack.objects.get(key="small")
    Sale.objects.create(
        key="winter",
        pack=pack,
        label="Winter sale",
        prices={"usd": 432, "eur": 432},
        starts_at=now - timedelta(days=1),
        ends_at=now + timedelta(days=2),
    )
    text = page(client, "/plans/")
    assert "<strong>$4.32</strong>" in text and "Winter sale" in text


@pytest.mark.requirement("RECR-06")
def test_a_pack_for_paid_plans_says_so(catalogue: None, client: Client) -> None:
    assert "With a paid plan only" not in page(client, "/plans/")
    Pack.objects.filter(key="small").update(paid_plans_only=True)
    assert page(client, "/plans/").count("With a paid plan only") == 1


def test_without_offers_the_page_leads_to_the_prices(catalogue: None, client: Client) -> None:
    Plan.objects.update(retired_at=timezone.now())
    Pack.objects.update(retired_at=timezone.now())
    assert "No plans or packs yet" in page(client, "/plans/")


@pytest.mark.requirement("FLICK-12", "APIN-15")
def test_every_public_page_links_prices_plans_help_and_the_pages_of_the_product(client: Client) -> None:
    loading.load("apinfer", now=timezone.now())
    text = page(client, "/faq/")
    header, footer = text[: text.index("<main")], text[text.index("<footer") :]
    for part in (header, footer):
        assert all(f'href="{path}"' in part for path in ("/pricing/", "/plans/", "/documentation/"))
    for address in (
        "https://community.apinfer.example/",
        "https://status.apinfer.example/",
        "https://apinfer.example/terms",
        "https://apinfer.example/privacy",
    ):
        assert f'href="{address}"' in footer


def test_a_product_without_pages_of_its_own_has_no_empty_links(catalogue: None, client: Client) -> None:
    row = Catalogue.objects.get()
    del row.wording["links"]
    row.save()
    catalogue_cache.changed()
    text = page(client, "/faq/")
    assert "Community" not in text and "Terms" not in text


@pytest.mark.requirement("REFLY-04", "RECR-05")
@pytest.mark.parametrize(
    ("qualifies", "when"),
    [
        ("first_purchase", "after your first purchase"),
        ("first_charge", "after your first use"),
        ("sign_up", "when your e-mail address is verified"),
    ],
)
def test_an_invitation_says_what_it_gives_and_when(
    catalogue: None, account: Account, client: Client, qualifies: str, when: str
) -> None:
    rules = {"inviter_credits": "200", "invited_credits": "70", "qualifies": qualifies, "lasts": "90 days"}
    change_policies(referral=rules | {"services": ["tag:advanced"]})
    text = page(client, f"/invite/{referrals.code_of(account)}/")
    assert "70 credits" in text and when in text and "valid for 90 days" in text
    assert "Advanced models only" in text and "100 credits per day" in text
    assert account.name not in text
    assert client.session["invitation"] == referrals.code_of(account)


@pytest.mark.parametrize("code", ["INV-ABCDEFGHJK", "nonsense"])
def test_an_unknown_invitation_promises_nothing(catalogue: None, client: Client, code: str) -> None:
    text = page(client, f"/invite/{code}/")
    assert "code is unknown" in text and "You are invited" not in text and "You get them" not in text
    assert "Create account" in text and "invitation" not in client.session


def test_an_invitation_of_a_product_without_rewards_promises_nothing(
    catalogue: None, account: Account, client: Client
) -> None:
    change_policies(referral=None)
    assert "gives no credits any more" in page(client, f"/invite/{referrals.code_of(account)}/")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_pages_of_visitors_have_a_description_in_the_readers_language(catalogue: None, language: str) -> None:
    visitor = Client(headers={"accept-language": language})
    found = {}
    for path in ("/accounts/login/", "/pricing/", "/plans/", "/documentation/", "/faq/"):
        [found[path]] = re.findall(r'<meta name="description" content="([^"]+)">', page(visitor, path))
    assert found["/accounts/login/"].startswith("Refly · ")
    for text in found.values():
        assert bool(re.search("[\u4e00-\u9fff]", text)) == (language == "zh-CN")
    assert len(set(found.values())) == 4  # /faq/ has that of the sign-in
