"""The SDK with the sandbox behind it: in this process, or over HTTP to a live server."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import stripe
from django.test import Client, RequestFactory

from sandbox import store
from sandbox.api import endpoint
from sandbox.objects import deliveries
from tests.sandbox.clock_time import NOVEMBER

BASE = "http://127.0.0.1/sandbox/stripe"
CARD = {
    "method": "card",
    "number": "4242 4242 4242 4242",
    "expiry": "12/34",
    "cvc": "123",
}
US_TRANSFER = {"funding_type": "bank_transfer", "bank_transfer": {"type": "us_bank_transfer"}}
IBAN, FAILING_IBAN = "AT61 1904 3002 3457 3201", "AT86 1904 3002 3547 3202"


class InProcess(stripe.HTTPClient):
    """Sends the SDK's requests to the sandbox's view: no socket, and no middleware of the product."""

    name = "in-process"

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **kwargs: Any) -> Any:
        parts = urlsplit(url)
        request = RequestFactory().generic(
            method.upper(),
            parts.path,
            post_data or "",
            content_type="application/x-www-form-urlencoded",
            QUERY_STRING=parts.query,
            headers={name: value for name, value in headers.items() if name.lower() != "content-type"},
        )
        answer = endpoint.api(request, unquote(parts.path).partition("/v1/")[2])
        return answer.content.decode(), answer.status_code, dict(answer.headers)

    def close(self) -> None:
        pass


@pytest.fixture
def v1(db: None) -> Any:
    """Stripe's API v1 through the SDK, in this process and in the test's transaction."""
    client = stripe.StripeClient(
        "sk_test_sandbox", base_addresses={"api": BASE}, http_client=InProcess(), max_network_retries=0
    )
    return client.v1


@pytest.fixture
def portal(live_server: Any, settings: Any) -> Iterator[str]:
    """The URL of a live server, to which the sandbox delivers its events."""
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
    """A customer's browser on the hosted pages: opens pages and submits forms."""

    def __init__(self) -> None:
        self.browser = Client(enforce_csrf_checks=True)
        self.response: Any = None

    def open(self, url: str) -> Any:
        self.response = self.browser.get(_path(url))
        return self.response

    def submit(self, url: str, **fields: str) -> Any:
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', self.response.content.decode())
        assert token, "the page has no form"
        self.response = self.browser.post(_path(url), {"csrfmiddlewaretoken": token[1], **fields})
        return self.response

    def pay(self, url: str, number: str = "4242 4242 4242 4242", **fields: str) -> Any:
        """Open a page and pay by card; return the response to the form."""
        self.open(url)
        return self.submit(url, **CARD | {"number": number} | fields)

    @property
    def text(self) -> str:
        return str(self.response.content.decode())

    @property
    def redirect(self) -> str:
        return str(self.response.headers.get("Location", ""))


def _path(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


@pytest.fixture
def buyer(db: None) -> Buyer:
    return Buyer()


@pytest.fixture
def checkout(v1: Any, customer: Any) -> Callable[..., Any]:
    """Create a checkout session for one pack of 10 USD; keyword arguments change its parameters."""

    def make(**more: Any) -> Any:
        price = {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "1,000 credits"}}
        params: dict[str, Any] = {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "success_url": "http://shop.example/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.example/packs",
        }
        if "customer" not in more:
            more["customer"] = customer(card=None).id
        return v1.checkout.sessions.create(params | more)

    return make


@pytest.fixture
def price(v1: Any) -> Callable[..., Any]:
    """Create a recurring price, by default 20 USD a month."""

    def make(amount: int = 2000, interval: str = "month", name: str = "Pro", **more: Any) -> Any:
        params = {
            "currency": "usd",
            "unit_amount": amount,
            "recurring": {"interval": interval},
            "product_data": {"name": name},
        }
        return v1.prices.create(params | more)

    return make


@pytest.fixture
def customer(v1: Any) -> Callable[..., Any]:
    """Create a customer with a default test card (by name), on a test clock if `at` is given."""

    def make(card: str | None = "visa", at: int | None = None, **more: Any) -> Any:
        if at is not None:
            more["test_clock"] = v1.test_helpers.test_clocks.create({"frozen_time": at}).id
        created = v1.customers.create({"email": "ann@example.org", **more})
        if card:
            method = v1.payment_methods.attach(f"pm_card_{card}", {"customer": created.id})
            v1.customers.update(created.id, {"invoice_settings": {"default_payment_method": method.id}})
        return created

    return make


@pytest.fixture
def event_types(v1: Any) -> Callable[..., list[str]]:
    """The types of all events, oldest first; with an id, those of that object."""

    def read(about: str = "") -> list[str]:
        events = reversed(v1.events.list({"limit": 100}).data)
        return [event.type for event in events if not about or event.data.object.id == about]

    return read


@pytest.fixture
def charges(db: None) -> Callable[[], list[store.Body]]:
    """All charges, newest first."""
    return lambda: store.where("charge")


@pytest.fixture
def begin(v1: Any, customer: Any, price: Any) -> Any:
    """Create a subscription of 20 USD a month, on a test clock that is at the first of November."""

    def make(at: int = NOVEMBER, **more: Any) -> Any:
        owner = customer(at=at)
        return v1.subscriptions.create({"customer": owner.id, "items": [{"price": price().id}], **more})

    return make
