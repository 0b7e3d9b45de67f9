"""The same thing at the same time: real threads, real commits, and the ledger's audit at the end."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
import stripe
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import AutoTopUp, Grant, Mail, Promotion, Purchase, Refund, StripeEvent
from billing.payments import cards
from billing.promotions import codes, redemption
from billing.purchases import auto_top_up, checkout, create
from billing.refunds import requests
from billing.webhooks import events as stripe_events
from tests.billing.conftest import SITE, smallest_pack
from tests.conftest import person
from tests.sandbox.conftest import BASE, Buyer, InProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Alice's account, in a world where commits are real; Stripe's clients are one for each thread."""
    settings.SITE_URL, settings.STRIPE_API_BASE = SITE, BASE

    def client(*_: str) -> stripe.StripeClient:
        return stripe.StripeClient(
            "sk_test_sandbox", base_addresses={"api": BASE}, http_client=InProcess(), max_network_retries=0
        )

    monkeypatch.setattr(stripe_gateway, "_client", client)
    monkeypatch.setattr("sandbox.objects.deliveries.send_soon", lambda *_, **__: None)
    call_command("load_catalogue", verbosity=0)
    return Account.objects.get(person=person("alice"))


def at_once(times: int, act: Callable[[int], Any]) -> list[Any]:
    """Do something in so many threads at the same moment; what each returned or raised."""
    gate = Barrier(times)

    def one(number: int) -> Any:
        try:
            gate.wait(timeout=30)
            return act(number)
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def order(account: Account, key: str = "order") -> Purchase:
    purchase = create.pack_purchase(
        account=account,
        buyer=None,
        origin="page",
        pack_key=smallest_pack(),
        quantity=1,
        currency="usd",
        key=key,
        now=timezone.now(),
    )
    checkout.open_page(purchase, timezone.now())
    return purchase


def sound() -> bool:
    """The ledger's own proof."""
    return not ledger.audit.run(now=timezone.now()).findings


@pytest.mark.fault("P1", "P2")
def test_twenty_deliveries_and_five_return_pages_at_once_are_one_grant_and_one_mail(account: Account) -> None:
    purchase = order(account)
    Buyer().pay(purchase.checkout_url)
    events = stripe_gateway._client("", "").v1.events.list({"limit": 100}).data
    [completed] = [stripe_gateway.to_plain(one) for one in events if one.type == "checkout.session.completed"]

    def news(number: int) -> Any:
        now = timezone.now()
        if number < 5:
            return checkout.refresh_from_stripe(Purchase.objects.get(pk=purchase.pk), now).status
        return stripe_events.process(stripe_events.store(completed, now, source="webhook").pk, now).state

    outcomes = at_once(25, news)

    assert set(outcomes) == {"paid", "done"}, outcomes
    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1
    assert StripeEvent.objects.count() == 1
    assert Mail.objects.filter(template="receipt").count() == 1
    assert sound()


def test_a_second_click_at_the_same_moment_is_one_order_and_one_page(account: Account) -> None:
    outcomes = at_once(8, lambda _: order(account).checkout_url)

    assert len(set(outcomes)) == 1, outcomes
    assert Purchase.objects.count() == 1


@pytest.mark.fault("P19")
def test_one_code_redeemed_at_once_keeps_both_limits(account: Account) -> None:
    now = timezone.now()
    people = [account, *(Account.objects.get(person=person(f"guest-{n}")) for n in range(9))]
    Promotion.objects.create(
        code="RUSH",
        label="Rush",
        gives="credits",
        credits=5,
        total_limit=6,
        starts_at=now - timedelta(days=1),
        ends_at=now + timedelta(days=1),
    )

    outcomes = at_once(
        30, lambda n: codes.redeem(account=people[n % 10], code="RUSH", now=timezone.now()).credits
    )

    given = [outcome for outcome in outcomes if outcome == Decimal(5)]
    assert len(given) == 6
    refused = [outcome for outcome in outcomes if outcome != Decimal(5)]
    assert all(isinstance(outcome, redemption.CodeRefused) for outcome in refused), refused
    assert Promotion.objects.get(code="RUSH").redeemed == 6
    counts = [Grant.objects.filter(account=one, kind="promotion").count() for one in people]
    assert sum(counts) == 6 and max(counts) == 1
    assert sound()


@pytest.mark.fault("P16")
def test_many_looks_at_once_make_one_automatic_payment(account: Account) -> None:
    v1 = stripe_gateway._client("", "").v1
    method = v1.payment_methods.attach("pm_card_visa", {"customer": cards.ensure_customer(account)})
    cards.save_card(account.pk, stripe_gateway.to_plain(method))
    AutoTopUp.objects.create(
        account=account,
        enabled=True,
        below=10**6,
        pack=smallest_pack(),
        currency="usd",
        monthly_amount=10**9,
        monthly_count=50,
    )

    outcomes = at_once(12, lambda _: auto_top_up.buy_if_low(account.pk, timezone.now()))

    assert outcomes.count("paid") == 1, outcomes
    assert len(v1.payment_intents.list({}).data) == 1
    assert Purchase.objects.filter(origin="auto_top_up").count() == 1


def test_two_people_of_staff_approve_one_refund_once(account: Account) -> None:
    purchase = order(account)
    Buyer().pay(purchase.checkout_url)
    checkout.refresh_from_stripe(purchase, timezone.now())
    asked = requests.create(purchase=purchase, user=None, wish="", now=timezone.now())

    outcomes = at_once(
        4, lambda n: requests.approve(asked, actor=f"staff-{n}", reason="", now=timezone.now()).status
    )

    assert sum(outcome == "done" for outcome in outcomes) == 1, outcomes
    assert all(outcome == "done" or isinstance(outcome, requests.RefundRefused) for outcome in outcomes)
    assert Refund.objects.get().amount == purchase.amount == Purchase.objects.get().refunded
    assert len(stripe_gateway._client("", "").v1.refunds.list({}).data) == 1
    assert sound()
