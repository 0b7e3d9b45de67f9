"""The stage of billing's tests: the real gateway and SDK talk to the sandbox inside this process.

Deliveries need commits, which most tests do not make: `events()` hands over what Stripe would have sent.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Purchase, StripeEvent
from billing.purchases import checkout, create
from billing.subscriptions import plan_terms
from billing.webhooks import events as stripe_events
from tests.sandbox.conftest import BASE, Buyer, InProcess

SITE = "http://127.0.0.1"
PAYS = "4242 4242 4242 4242"
DECLINES = "4000 0000 0000 0002"


@pytest.fixture(autouse=True)
def no_terms_remembered() -> Iterator[None]:
    yield
    plan_terms.forget_all()


@pytest.fixture
def stripe_world(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stripe's API v1 as a test sees it; the gateway speaks to the same sandbox."""
    settings.SITE_URL = SITE
    settings.STRIPE_API_BASE = BASE
    client = stripe.StripeClient(
        "sk_test_sandbox", base_addresses={"api": BASE}, http_client=InProcess(), max_network_retries=0
    )
    monkeypatch.setattr(stripe_gateway, "_client", lambda *_: client)
    return client.v1


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.get(person=alice)


@pytest.fixture
def balance(account: Account) -> Callable[[], Decimal]:
    """What alice has now, top-ups included."""
    return lambda: ledger.balance(account.pk, timezone.now()).total


@pytest.fixture
def order(stripe_world: Any, account: Account, alice: User) -> Callable[..., Purchase]:
    """An order of a pack that has its payment page: `order("small")`."""

    def make(pack: str | None = None, *, key: str = "order-1", quantity: int = 1, code: str = "") -> Purchase:
        purchase = create.pack_purchase(
            account=account,
            buyer=alice,
            origin="page",
            pack_key=pack or smallest_pack(),
            quantity=quantity,
            currency="usd",
            promotion_code=code,
            key=key,
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        return purchase

    return make


def smallest_pack() -> str:
    from pricing.models import Pack

    return str(Pack.objects.order_by("credits").values_list("key", flat=True)[0])


@pytest.fixture
def pay() -> Callable[..., Any]:
    """Pay an order on Stripe's page: `pay(purchase)`, `pay(purchase, DECLINES)`."""

    def at(purchase: Purchase, number: str = PAYS, **fields: str) -> Any:
        return Buyer().pay(purchase.checkout_url, number, **fields)

    return at


@pytest.fixture
def paid(order: Callable[..., Purchase], pay: Callable[..., Any]) -> Callable[..., Purchase]:
    """A pack that alice has paid for and that is credited."""

    def make(pack: str | None = None, **more: Any) -> Purchase:
        purchase = order(pack, **more)
        pay(purchase)
        return checkout.refresh_from_stripe(purchase, timezone.now())

    return make


@pytest.fixture
def events(stripe_world: Any) -> Callable[..., list[dict[str, Any]]]:
    """What Stripe has to tell, oldest first: `events()`, `events("checkout.session.completed")`."""

    def read(*types: str) -> list[dict[str, Any]]:
        found = [stripe_gateway.to_plain(event) for event in stripe_world.events.list({"limit": 100}).data]
        return [event for event in reversed(found) if not types or event["type"] in types]

    return read


@pytest.fixture
def tell(stripe_world: Any) -> Callable[..., StripeEvent]:
    """Let an event arrive and be applied."""

    def arrive(event: dict[str, Any]) -> StripeEvent:
        row = stripe_events.store(event, timezone.now(), source="webhook")
        return stripe_events.process(row.pk, timezone.now())

    return arrive


@pytest.fixture
def later() -> Callable[..., Any]:
    """A time from now: `later(days=31)`."""
    return lambda **span: timezone.now() + timedelta(**span)
