"""Fixtures of the tests of billing: an account, purchases, payments and events of the Stripe sandbox."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Purchase, StripeEvent
from billing.purchases import checkout, create
from billing.webhooks import events as stripe_events
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue, Pack
from sandbox import store
from tests.billing import stripe_sandbox
from tests.sandbox.conftest import Buyer

PAYS = "4242 4242 4242 4242"
DECLINES = "4000 0000 0000 0002"


@pytest.fixture
def stripe_api(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stripe's API v1; the gateway talks to the same sandbox."""
    stripe_sandbox.connect(settings, monkeypatch)
    return stripe_sandbox.api()


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.get(person=alice)


@pytest.fixture
def balance(account: Account) -> Callable[[], Decimal]:
    """Alice's total balance now."""
    return lambda: ledger.balance(account.pk, timezone.now()).total


@pytest.fixture
def new_purchase(stripe_api: Any, account: Account, alice: User) -> Callable[..., Purchase]:
    """A purchase of a pack with its payment page: `new_purchase("small")`."""

    def make(
        pack: str | None = None, *, key: str = "purchase-1", quantity: int = 1, code: str = ""
    ) -> Purchase:
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


def change_policies(**policies: Any) -> None:
    """Change policies of the loaded catalogue."""
    row = Catalogue.objects.get()
    row.policies |= policies
    row.save(update_fields=["policies"])
    catalogue_cache.changed()


@pytest.fixture
def refund_window(catalogue: None) -> None:
    """Refunds can be requested for 30 days, which the default catalogue does not allow."""
    change_policies(refund_window_days=30)


def smallest_pack() -> str:
    return str(Pack.objects.order_by("credits").values_list("key", flat=True)[0])


@pytest.fixture
def pay() -> Callable[..., Any]:
    """Pay a purchase on Stripe's page: `pay(purchase)`, `pay(purchase, DECLINES)`."""

    def submit(purchase: Purchase, number: str = PAYS, **fields: str) -> Any:
        return Buyer().pay(purchase.checkout_url, number, **fields)

    return submit


@pytest.fixture
def paid_purchase(new_purchase: Callable[..., Purchase], pay: Callable[..., Any]) -> Callable[..., Purchase]:
    """A paid and credited purchase of alice."""

    def make(pack: str | None = None, **more: Any) -> Purchase:
        purchase = new_purchase(pack, **more)
        pay(purchase)
        return checkout.refresh_from_stripe(purchase, timezone.now())

    return make


@pytest.fixture
def events(stripe_api: Any) -> Callable[..., list[dict[str, Any]]]:
    """Stripe's events, oldest first: `events()`, `events("checkout.session.completed")`.

    Read from the sandbox's rows: the SDK makes thousands of objects of a list that is read again and again.
    """

    def read(*types: str) -> list[dict[str, Any]]:
        found = [store.public(event) for event in reversed(store.where("event"))]
        return [event for event in found if not types or event["type"] in types]

    return read


@pytest.fixture
def process_event(stripe_api: Any) -> Callable[..., StripeEvent]:
    """Store and process an event."""

    def receive(event: dict[str, Any]) -> StripeEvent:
        stored = stripe_events.store(event, timezone.now(), source="webhook")
        return stripe_events.process(stored.pk, timezone.now())

    return receive


@pytest.fixture
def process_all_events(
    events: Callable[..., Any], process_event: Callable[..., StripeEvent]
) -> Callable[[], list[StripeEvent]]:
    """Process all events of Stripe, oldest first; those that have been applied or ignored are not sent again.

    An event that comes again is what tests/billing/webhooks is about.
    """

    def process() -> list[StripeEvent]:
        rows = StripeEvent.objects.exclude(state__in=StripeEvent.WAITING).defer("payload")
        closed = {row.stripe_id: row for row in rows}
        return [closed.get(event["id"]) or process_event(event) for event in events()]

    return process


@pytest.fixture
def later() -> Callable[..., Any]:
    """A time from now: `later(days=31)`."""
    return lambda **span: timezone.now() + timedelta(**span)
