"""The real SDK talking to the sandbox: in this process (fast), or over HTTP to a running portal."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe
from django.test import Client

from sandbox.objects import deliveries
from tests.sandbox.moving_time import NOVEMBER

BASE = "http://127.0.0.1/sandbox/stripe"
CARD = {
    "method": "card",
    "number": "4242 4242 4242 4242",
    "expiry": "12/34",
    "cvc": "123",
    "email": "ann@example.org",
}


class InProcess(stripe.HTTPClient):
    """Carries the SDK's requests to the sandbox's view without a socket."""

    name = "in-process"

    def __init__(self) -> None:
        super().__init__()
        self.django = Client()

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **kwargs: Any) -> Any:
        parts = urlsplit(url)
        answer = self.django.generic(
            method.upper(),
            parts.path,
            post_data or "",
            content_type="application/x-www-form-urlencoded",
            QUERY_STRING=parts.query,
            headers={name: value for name, value in headers.items() if name.lower() != "content-type"},
        )
        return answer.content.decode(), answer.status_code, dict(answer.headers)

    def close(self) -> None:
        pass


@pytest.fixture
def v1(db: None) -> Any:
    """Stripe's API v1 through the SDK, in this process; what it does is rolled back after the test."""
    client = stripe.StripeClient(
        "sk_test_sandbox", base_addresses={"api": BASE}, http_client=InProcess(), max_network_retries=0
    )
    return client.v1


@pytest.fixture
def portal(live_server: Any, settings: Any) -> Iterator[str]:
    """The address of a running portal; the sandbox delivers its events there."""
    settings.SITE_URL = live_server.url
    settings.STRIPE_API_BASE = f"{live_server.url}/sandbox/stripe"
    yield live_server.url
    deliveries.wait_until_idle()


@pytest.fixture
def v1_over_http(portal: str) -> Any:
    client = stripe.StripeClient(
        "sk_test_sandbox", base_addresses={"api": f"{portal}/sandbox/stripe"}, max_network_retries=0
    )
    return client.v1


class Buyer:
    """Somebody at a hosted page: opens it, fills the form, follows where it leads within the sandbox."""

    def __init__(self) -> None:
        self.browser = Client(enforce_csrf_checks=True)
        self.seen: Any = None

    def open(self, url: str) -> Any:
        self.seen = self.browser.get(_path(url))
        return self.seen

    def submit(self, url: str, **fields: str) -> Any:
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', self.seen.content.decode())
        assert token, "the page has no form"
        self.seen = self.browser.post(_path(url), {"csrfmiddlewaretoken": token[1], **fields})
        return self.seen

    def pay(self, url: str, number: str = "4242 4242 4242 4242", **fields: str) -> Any:
        """Open a page and pay by card; the answer to the form."""
        self.open(url)
        return self.submit(url, **CARD | {"number": number} | fields)

    @property
    def text(self) -> str:
        return str(self.seen.content.decode())

    @property
    def led_to(self) -> str:
        return str(self.seen.headers.get("Location", ""))


def _path(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


@pytest.fixture
def buyer(db: None) -> Buyer:
    return Buyer()


@pytest.fixture
def checkout(v1: Any) -> Callable[..., Any]:
    """Make a Checkout Session for one pack of 10 USD; keyword arguments change its parameters."""

    def make(**given: Any) -> Any:
        price = {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "1,000 credits"}}
        params: dict[str, Any] = {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "success_url": "http://shop.example/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.example/packs",
        }
        return v1.checkout.sessions.create(params | given)

    return make


@pytest.fixture
def price(v1: Any) -> Callable[..., Any]:
    """Make a recurring price (20 USD a month unless told otherwise)."""

    def make(amount: int = 2000, interval: str = "month", name: str = "Pro", **given: Any) -> Any:
        params = {
            "currency": "usd",
            "unit_amount": amount,
            "recurring": {"interval": interval},
            "product_data": {"name": name},
        }
        return v1.prices.create(params | given)

    return make


@pytest.fixture
def customer(v1: Any) -> Callable[..., Any]:
    """Make a customer with a default test card (by name), on a test clock when `at` is given."""

    def make(card: str | None = "visa", at: int | None = None, **given: Any) -> Any:
        if at is not None:
            given["test_clock"] = v1.test_helpers.test_clocks.create({"frozen_time": at}).id
        made = v1.customers.create({"email": "ann@example.org", **given})
        if card:
            method = v1.payment_methods.attach(f"pm_card_{card}", {"customer": made.id})
            v1.customers.update(made.id, {"invoice_settings": {"default_payment_method": method.id}})
        return made

    return make


@pytest.fixture
def event_types(v1: Any) -> Callable[..., list[str]]:
    """The types of all events so far, oldest first; with an id, of those about that object."""

    def read(about: str = "") -> list[str]:
        events = reversed(v1.events.list({"limit": 100}).data)
        return [event.type for event in events if not about or event.data.object.id == about]

    return read


@pytest.fixture
def begin(v1: Any, customer: Any, price: Any) -> Any:
    """A subscription to a plan of 20 USD a month, on a test clock that stands at the first of November."""

    def make(card: str = "visa", at: int = NOVEMBER, **given: Any) -> Any:
        owner = customer(card, at=at)
        return v1.subscriptions.create({"customer": owner.id, "items": [{"price": price().id}], **given})

    return make
