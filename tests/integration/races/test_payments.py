"""Concurrent payments with real threads and commits; the ledger's audit checks the result."""

import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from functools import partial
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from accounts import erasure as account_erasure
from accounts.models import Account, User
from billing import erasure, ledger
from billing.models import AutoTopUp, Grant, Mail, Promotion, Purchase, Referral, Refund, StripeEvent
from billing.notifications import emails
from billing.promotions import codes, redemption, referrals, single_use_codes
from billing.purchases import auto_top_up, checkout, create
from billing.refunds import requests
from billing.webhooks import events as stripe_events
from core.errors import Refusal
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies, smallest_pack
from tests.billing.webhooks.delivery import deliver, signed_headers
from tests.conftest import person
from tests.integration.races.concurrency import persistently
from tests.integration.races.web import serving
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Alice's account, with committed data and the Stripe sandbox."""
    stripe_sandbox.connect(settings, monkeypatch)
    call_command("load_catalogue", verbosity=0)
    return Account.objects.get(person=person("alice"))


def at_once(threads: int, call: Callable[[int], Any]) -> list[Any]:
    """Run `call(number)` in this many threads at the same time. Returns the results or errors."""
    start = Barrier(threads)

    def run(number: int) -> Any:
        try:
            start.wait(timeout=30)
            return call(number)
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def open_purchase(account: Account) -> Purchase:
    """A purchase with its payment page; repeated calls return the same one."""
    purchase = create.pack_purchase(
        account=account,
        buyer=None,
        origin="page",
        pack_key=smallest_pack(),
        quantity=1,
        currency="usd",
        key="purchase",
        now=timezone.now(),
    )
    checkout.open_page(purchase, timezone.now())
    return purchase


def refresh(purchase: Purchase) -> str:
    """The status of a purchase after the return page has fetched it from Stripe."""
    return str(checkout.refresh_from_stripe(Purchase.objects.get(pk=purchase.pk), timezone.now()).status)


def completed_event() -> dict[str, Any]:
    stripe_api = stripe_sandbox.api()
    [event] = [
        stripe_sandbox.plain(event)
        for event in stripe_api.events.list({"limit": 100}).data
        if event.type == "checkout.session.completed"
    ]
    return event


def enable_auto_top_up(account: Account, *, below: Decimal) -> None:
    """Save a card and buy the smallest pack whenever fewer than `below` credits are available."""
    stripe_sandbox.save_card(account)
    AutoTopUp.objects.create(
        account=account,
        enabled=True,
        below=below,
        pack=smallest_pack(),
        currency="usd",
        monthly_amount=10**9,
        monthly_count=50,
    )


def assert_audit_passes() -> None:
    assert ledger.audit.run(now=timezone.now()).findings == []


@pytest.mark.fault("P1", "P2")
def test_twenty_deliveries_and_five_return_pages_at_once_are_one_grant_and_one_email(
    account: Account,
) -> None:
    purchase = open_purchase(account)
    Buyer().pay(purchase.checkout_url)
    completed = completed_event()

    def arrive(number: int) -> Any:
        if number < 5:
            return refresh(purchase)
        stored = stripe_events.store(completed, timezone.now(), source="webhook")
        return stripe_events.process(stored.pk, timezone.now()).state

    outcomes = at_once(25, arrive)

    assert set(outcomes) == {"paid", "done"}, outcomes
    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1
    assert StripeEvent.objects.count() == 1
    assert Mail.objects.filter(template="receipt").count() == 1
    assert_audit_passes()


@pytest.mark.fault("P1", "P2")
def test_twenty_deliveries_to_a_running_server_and_four_return_pages_credit_once(account: Account) -> None:
    purchase = open_purchase(account)
    Buyer().pay(purchase.checkout_url)
    payload, headers = signed_headers(completed_event())
    with serving() as address:

        def arrive(number: int) -> str:
            if number < 4:
                return refresh(purchase)
            return str(_post(f"{address}/stripe/webhook/", payload, headers))

        outcomes = at_once(24, arrive)

    assert sorted(map(str, outcomes)) == ["200"] * 20 + ["paid"] * 4
    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1
    assert (StripeEvent.objects.count(), Mail.objects.filter(template="receipt").count()) == (1, 1)
    assert_audit_passes()


def _post(url: str, payload: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, payload, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.fault("P3")
def test_a_payment_is_credited_once_although_the_database_connection_ends_before_the_commit(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = open_purchase(account)
    Buyer().pay(purchase.checkout_url)
    event = completed_event()
    before = ledger.balance(account.pk, timezone.now()).total

    def end_connection(**_: Any) -> None:
        """Runs after the credits are granted and before the transaction is committed."""
        assert Grant.objects.filter(purchase_id=purchase.pk).exists()
        with connection.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patch:
        patch.setattr(emails, "queue", end_connection)
        assert deliver(event).status_code == 500
    connection.close()
    assert not Grant.objects.filter(purchase_id=purchase.pk).exists()
    assert StripeEvent.objects.get().state in StripeEvent.WAITING
    assert StripeEvent.objects.get().processed_at is None

    assert stripe_events.process_waiting(timezone.now() + timedelta(minutes=1)) == 1

    assert StripeEvent.objects.get().state == StripeEvent.State.DONE
    assert ledger.balance(account.pk, timezone.now()).total == before + purchase.credits
    assert deliver(event).status_code == 200
    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1
    assert_audit_passes()


def test_a_second_click_at_the_same_moment_is_one_purchase_and_one_page(account: Account) -> None:
    outcomes = at_once(8, lambda _: open_purchase(account).checkout_url)

    assert len(set(outcomes)) == 1, outcomes
    assert Purchase.objects.count() == 1


@pytest.mark.fault("P19")
def test_a_code_redeemed_concurrently_keeps_the_total_limit_and_the_limit_per_account(
    account: Account,
) -> None:
    now = timezone.now()
    accounts = [account, *(Account.objects.get(person=person(f"guest-{n}")) for n in range(9))]
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
        30, lambda n: codes.redeem(account=accounts[n % 10], code="RUSH", now=timezone.now()).credits
    )

    refused = [outcome for outcome in outcomes if outcome != Decimal(5)]
    assert len(refused) == 24
    assert all(isinstance(outcome, redemption.CodeRefused) for outcome in refused), refused
    assert Promotion.objects.get(code="RUSH").redeemed == 6
    counts = [Grant.objects.filter(account=account, kind="promotion").count() for account in accounts]
    assert sum(counts) == 6 and max(counts) == 1
    assert_audit_passes()


@pytest.mark.fault("P19")
def test_codes_for_one_use_are_made_and_redeemed_once_by_concurrent_requests(account: Account) -> None:
    now, batch = timezone.now(), uuid4()
    terms = {"gives": "credits", "credits": 5, "single_use": True, "ends_at": now + timedelta(days=1)}
    promotion = Promotion.objects.create(code="ONCE", label="Once", starts_at=now, **terms)
    accounts = [account, *(Account.objects.get(person=person(f"guest-{n}")) for n in range(4))]

    made = at_once(4, lambda _: single_use_codes.make(promotion, number=20, batch=batch, now=now))
    outcomes = at_once(
        10, lambda n: codes.redeem(account=accounts[n % 5], code=made[0][0], now=timezone.now()).credits
    )
    imports = at_once(
        4, lambda n: single_use_codes.add(promotion, "CARD-0001\nCARD-0002", batch=uuid4(), now=now)
    )

    assert made == [made[0]] * 4
    assert outcomes.count(Decimal(5)) == 1, outcomes
    assert imports.count(2) == 1, imports
    others = [one for one in outcomes + imports if not isinstance(one, int | Decimal)]
    assert all(isinstance(one, Refusal) for one in others), others
    assert promotion.single_use_codes.count() == 22


@pytest.mark.fault("P19")
def test_an_invitation_accepted_concurrently_keeps_its_limit(account: Account) -> None:
    terms = {"inviter_credits": "30", "invited_credits": "20", "assumed": True, "reason": "for this test"}
    change_policies(referral=terms | {"most_invitations": 3})
    code = referrals.code_of(account)
    guests = [Account.objects.get(person=person(f"guest-{n}")) for n in range(9)]

    outcomes = at_once(9, lambda n: referrals.accept(account=guests[n], code=code, now=timezone.now()))

    refused = [outcome.code for outcome in outcomes if isinstance(outcome, redemption.CodeRefused)]
    assert refused == ["code_used_up"] * 6, outcomes
    assert Referral.objects.filter(inviter=account).count() == 3


@pytest.mark.fault("P16")
def test_concurrent_checks_make_one_automatic_payment(account: Account) -> None:
    enable_auto_top_up(account, below=Decimal(10**6))

    outcomes = at_once(12, lambda _: auto_top_up.buy_if_low(account.pk, timezone.now()))

    assert outcomes.count("paid") == 1, outcomes
    assert len(stripe_sandbox.api().payment_intents.list({}).data) == 1
    assert Purchase.objects.filter(origin="auto_top_up").count() == 1


@pytest.mark.fault("P16")
def test_fifty_charges_cross_the_threshold_together_and_one_pack_is_bought(account: Account) -> None:
    total = ledger.balance(account.pk, timezone.now()).available
    enable_auto_top_up(account, below=total)
    assert auto_top_up.buy_for_low_accounts(timezone.now()) == 0
    credits = (total / 60).quantize(Decimal("0.01"))

    def charge_and_check(thread: int) -> str:
        for number in range(5):
            key = f"charge {thread} {number}"
            request = ledger.ChargeRequest(account_id=account.pk, credits=credits, key=key, service="gpt-4o")
            persistently(partial(ledger.charge, request, timezone.now()))
            auto_top_up.buy_for_low_accounts(timezone.now())
        return "done"

    assert at_once(10, charge_and_check) == ["done"] * 10

    assert len(stripe_sandbox.api().payment_intents.list({}).data) == 1
    purchase = Purchase.objects.get(origin="auto_top_up")
    assert purchase.status == Purchase.Status.PAID
    assert ledger.balance(account.pk, timezone.now()).total == total - credits * 50 + purchase.credits
    assert_audit_passes()


def test_a_refund_approved_by_several_staff_at_once_is_refunded_once(account: Account) -> None:
    purchase = open_purchase(account)
    Buyer().pay(purchase.checkout_url)
    checkout.refresh_from_stripe(purchase, timezone.now())
    refund = requests.create(purchase=purchase, user=None, message="", now=timezone.now())

    outcomes = at_once(
        4, lambda n: requests.approve(refund, actor=f"staff-{n}", reason="", now=timezone.now()).status
    )

    assert outcomes.count("done") == 1, outcomes
    assert all(outcome == "done" or isinstance(outcome, requests.RefundRefused) for outcome in outcomes)
    assert Refund.objects.get().amount == purchase.amount == Purchase.objects.get().refunded
    assert len(stripe_sandbox.api().refunds.list({}).data) == 1
    assert_audit_passes()


@pytest.mark.fault("O6")
def test_a_deleted_account_has_no_purchase_that_can_still_be_paid(account: Account) -> None:
    """The person deletes the account while other tabs buy."""
    user = User.objects.get(personal_account=account)

    def act(number: int) -> Any:
        if number == 0:
            return erasure.erase(user, timezone.now(), shown=Decimal(10**9))
        purchase = create.pack_purchase(
            account=account,
            buyer=user,
            origin="page",
            pack_key=smallest_pack(),
            quantity=1,
            currency="usd",
            key=f"tab {number}",
            now=timezone.now(),
        )
        return checkout.open_page(purchase, timezone.now())

    outcomes = at_once(4, act)
    account.refresh_from_db()
    open_pages = Purchase.objects.filter(account=account, status=Purchase.Status.CREATED)
    assert {type(outcome) for outcome in outcomes} <= {
        type(None),
        str,
        account_erasure.AccountErased,
        erasure.PaymentPending,
    }
    assert account.erased_at is None or not open_pages.exists()
    assert (account.erased_at is None) == isinstance(outcomes[0], erasure.PaymentPending)
