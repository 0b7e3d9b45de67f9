"""A process killed at each commit of buying and of refunding: doing it again pays and refunds once."""

import re
from collections import Counter
from typing import Any

import pytest
import stripe
from django.core.management import call_command
from django.utils import timezone

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Mail, Purchase, Refund
from billing.purchases import checkout, create
from billing.refunds import requests
from tests.billing.conftest import SITE, smallest_pack
from tests.billing.ledger.state import broken, state_of
from tests.conftest import person
from tests.integration.crashes.process import elsewhere, every_boundary
from tests.sandbox.conftest import BASE, Buyer, InProcess

pytestmark = pytest.mark.django_db(transaction=True)
IDS = re.compile(r"[0-9a-f]{32}")


class AnotherMachine(InProcess):
    """Stripe: it does not die with us."""

    def request(self, *arguments: Any, **options: Any) -> Any:
        with elsewhere():
            return super().request(*arguments, **options)


@pytest.fixture(autouse=True)
def world(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue, and Stripe's sandbox inside this process; its events are not delivered."""
    settings.SITE_URL, settings.STRIPE_API_BASE = SITE, BASE

    def client(*_: str) -> stripe.StripeClient:
        options = {"base_addresses": {"api": BASE}, "max_network_retries": 0}
        return stripe.StripeClient("sk_test_sandbox", http_client=AnotherMachine(), **options)

    monkeypatch.setattr(stripe_gateway, "_client", client)
    monkeypatch.setattr("sandbox.objects.deliveries.send_soon", lambda *_, **__: None)
    call_command("load_catalogue", verbosity=0)


def account_of(name: str) -> Account:
    return Account.objects.get(person=person(name))


def buy(account: Account) -> Purchase:
    """What a buyer does, and does again when the page did not answer: order, pay unless paid, come back."""
    purchase = create.pack_purchase(
        account=account,
        buyer=account.person,
        origin="page",
        pack_key=smallest_pack(),
        quantity=1,
        currency="usd",
        key="order",
        now=timezone.now(),
    )
    checkout.open_page(purchase, timezone.now())
    purchase.refresh_from_db()
    if not is_paid_at_stripe(purchase):
        with elsewhere():
            Buyer().pay(purchase.checkout_url)
    return checkout.refresh_from_stripe(purchase, timezone.now())


def is_paid_at_stripe(purchase: Purchase) -> bool:
    return stripe_gateway.retrieve_checkout_session(purchase.stripe_session_id)["payment_status"] == "paid"


def refund(purchase: Purchase) -> None:
    """What buyer, staff and beat do one after the other, each taking up what it finds."""
    now = timezone.now()
    asked = Refund.objects.filter(purchase=purchase).first()
    if asked is None:
        asked = requests.create(purchase=purchase, user=None, wish="no use", now=now)
    if asked.status == Refund.Status.REQUESTED:
        requests.approve(asked, actor="staff", reason="", now=now)
    requests.send_approved(now)


def outcome(account: Account) -> dict[str, Any]:
    """All that there is of an account, here and at Stripe, without ids and times."""
    assert broken([account.pk]) == []
    at_stripe = stripe_gateway._client("", "").v1
    payments = [
        one.id
        for one in at_stripe.payment_intents.list({"limit": 100}).data
        if one.metadata.to_dict().get("account") == account.public_id
    ]
    mine = [one for one in at_stripe.refunds.list({"limit": 100}).data if one.payment_intent in payments]
    facts = ("status", "credits", "amount", "refunded", "payment_method")
    return {
        "ledger": IDS.sub("…", str(state_of([account.pk], times=False))),
        "purchases": list(Purchase.objects.filter(account=account).values_list(*facts)),
        "numbered": Purchase.objects.filter(account=account, invoice_number=None).count(),
        "refunds": list(Refund.objects.filter(account=account).values_list("status", "amount", "credits")),
        "mails": Counter(Mail.objects.filter(account_id=account.pk).values_list("template", flat=True)),
        "payments at Stripe": len(payments),
        "refunds at Stripe": [(one.status, one.amount) for one in mine],
    }


@pytest.mark.fault("L9", "P3", "P17")
def test_buying_killed_at_any_commit_and_done_again_is_one_payment_and_one_grant():
    undisturbed = account_of("undisturbed")
    buy(undisturbed)
    expected = outcome(undisturbed)
    assert expected["payments at Stripe"] == 1
    assert expected["purchases"][0][0] == Purchase.Status.PAID

    def scene(boundary):
        account = account_of(f"buyer{boundary}")

        def check():
            assert broken([account.pk]) == []
            buy(account)
            assert outcome(account) == expected, f"killed after commit {boundary}"

        return lambda: buy(account), check

    assert every_boundary(scene) > 5


@pytest.mark.fault("L9", "P17", "P20")
def test_a_refund_killed_at_any_commit_and_taken_up_again_goes_back_once():
    undisturbed = account_of("undisturbed")
    refund(buy(undisturbed))
    expected = outcome(undisturbed)
    assert len(expected["refunds at Stripe"]) == 1

    def scene(boundary):
        account = account_of(f"buyer{boundary}")
        purchase = buy(account)

        def check():
            assert broken([account.pk]) == []
            refund(purchase)
            assert outcome(account) == expected, f"killed after commit {boundary}"

        return lambda: refund(purchase), check

    assert every_boundary(scene) > 3
