"""The pages to which Stripe redirects: readers without a session learn the outcome and nothing else."""

import html
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, User
from billing import selectors
from billing.models import Purchase
from billing.payments import return_links
from tests.billing.conftest import smallest_pack
from tests.billing.stripe_sandbox import SITE
from tests.sandbox.conftest import Buyer

Start = Callable[[str, dict[str, Any]], str]


@pytest.fixture
def start(stripe_api: Any, api_of: Any, alice: User) -> Start:
    """The page at Stripe that the product's backend gets for Alice: `start("checkouts", {"pack": "s"})`."""

    def url(path: str, body: dict[str, Any]) -> str:
        answer = api_of(alice).post(path, body, key=uuid.uuid4().hex)
        assert answer.status_code == 201, answer.content
        return str(answer.json()["url"])

    return url


@pytest.fixture
def checkout(start: Start) -> str:
    return start("checkouts", {"pack": smallest_pack(), "currency": "usd"})


def left(url: str) -> str:
    """Where Stripe's page leads back without having been submitted."""
    text = Buyer().open(url).content.decode()
    found = re.search(r'href="([^"]*/billing/[^"]*returned/[^"]*|[^"]*/billing/left/[^"]*)"', text)
    assert found
    return html.unescape(found[1])


def read(url: str, browser: Client | None = None, **more: Any) -> str:
    """The page's heading and text."""
    response = (browser or Client()).get(url.removeprefix(SITE), **more)
    assert response.status_code == 200, (url, response.status_code)
    page = response.content.decode()
    assert "no-store" in response["Cache-Control"]
    main = page[page.index("<main") : page.index("</main>")]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main))


def test_a_buyer_without_a_session_learns_that_the_payment_was_received(
    checkout: str, account: Account, alice: User
) -> None:
    buyer = Buyer()
    buyer.pay(checkout)
    text = read(buyer.redirect)
    assert "Payment received" in text and "Sign in" in text
    purchase = Purchase.objects.get()
    assert purchase.status == Purchase.Status.PAID, "the page asks Stripe, before any webhook"
    for of_account in (alice.email, account.name, purchase.label, "$", "credits"):
        assert of_account not in text


def test_a_buyer_who_goes_back_learns_that_nothing_was_charged(checkout: str) -> None:
    assert "Nothing was charged" in read(left(checkout))
    assert Purchase.objects.get().status == Purchase.Status.CREATED


@pytest.mark.parametrize(
    ("status", "heading"),
    [
        ("created", "Waiting for your payment"),
        ("pending", "Payment pending"),
        ("failed", "The payment failed"),
        ("cancelled", "Nothing was charged"),
        ("quarantined", "We are reviewing your payment"),
    ],
)
def test_each_state_of_a_purchase_has_its_answer(checkout: str, status: str, heading: str) -> None:
    Purchase.objects.update(status=status)
    url = return_links.url("payment_returned", Purchase.objects.get().public_id)
    assert heading in read(url)
    if status != "created":
        assert heading in read(url.replace("/returned/", "/left/"))


def test_a_payment_that_was_refunded_is_not_called_received(checkout: str) -> None:
    buyer = Buyer()
    buyer.pay(checkout)
    assert "Payment received" in read(buyer.redirect)
    purchase = Purchase.objects.get()
    for amount, refunded, heading in (
        (purchase.amount, purchase.amount, "Payment refunded"),
        (purchase.amount, purchase.amount - 1, "Payment received"),
        (0, 0, "Payment received"),  # a discount of 100 %
    ):
        Purchase.objects.update(amount=amount, refunded=refunded)
        assert heading in read(buyer.redirect), refunded


def test_a_member_goes_on_to_the_page_of_the_purchase(
    checkout: str, alice: User, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    buyer = Buyer()
    buyer.pay(checkout)
    assert "credits added" in read(buyer.redirect, signed_in(alice), follow=True)
    assert "Purchase not paid" not in read(left(checkout), signed_in(alice), follow=True)
    text = read(buyer.redirect, signed_in(charlie))
    assert "Payment received" in text and "credits" not in text, "a user of another account"


def test_a_card_is_saved_for_the_account_that_the_page_was_made_for(
    start: Start, account: Account, alice: User
) -> None:
    url = start("payment-method", {})
    assert "No card saved" in read(left(url))
    buyer = Buyer()
    buyer.pay(url)
    text = read(buyer.redirect)
    assert "Card saved" in text and "4242" not in text and alice.email not in text
    assert selectors.profile_of(account.pk).card_last4 == "4242"


def test_a_session_of_another_account_saves_nothing(
    start: Start, charlie: User, account_of: Callable[[User], Account]
) -> None:
    buyer = Buyer()
    buyer.pay(start("payment-method", {}))
    session = buyer.redirect.partition("?")[2]
    others = account_of(charlie)
    assert "No card saved" in read(f"{return_links.url('card_returned', others.public_id)}?{session}")
    assert not selectors.profile_of(others.pk).card_id


def test_stripe_is_asked_for_no_invented_session(start: Start, account: Account) -> None:
    url = return_links.url("card_returned", account.public_id)
    assert "Card not confirmed yet" in read(f"{url}?session=cs_test_invented")


def test_a_link_cannot_be_guessed_or_used_for_something_else(checkout: str, account: Account) -> None:
    purchase = Purchase.objects.get()
    signed = return_links.url("payment_returned", purchase.public_id)
    altered = signed.replace(signed[-6:-1], "AAAAA")
    card = return_links.url("card_returned", account.public_id)
    for url in (
        f"{SITE}/billing/returned/{purchase.public_id}/",
        f"{SITE}/billing/left/{purchase.public_id}:x/",
        altered,
        signed.replace("/billing/returned/", "/billing/card/returned/"),
        card.replace("/billing/card/returned/", "/billing/returned/"),
    ):
        assert Client().get(url.removeprefix(SITE)).status_code == 404, url
