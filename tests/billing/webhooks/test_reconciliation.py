"""News that never arrives, answers that are lost, books that are restored from yesterday's backup."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway, tasks
from billing.models import AutoTopUp, Grant, Mail, Purchase, Reconciliation, Refund, StripeEvent, Subscription
from billing.payments import cards, recovery
from billing.purchases import checkout
from billing.purchases import create as purchases
from billing.refunds import requests
from billing.subscriptions import stripe_sync
from billing.subscriptions.stripe_sync import StaleSnapshot
from billing.webhooks import events, reconciliation
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue
from tests.billing.conftest import smallest_pack
from tests.conftest import person
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def top_up(stripe_world: Any, account: Account) -> AutoTopUp:
    """Automatic top-up with a saved card, far below its threshold."""
    method = stripe_world.payment_methods.attach("pm_card_visa", {"customer": cards.ensure_customer(account)})
    cards.save_card(account.pk, stripe_gateway.to_plain(method))
    return AutoTopUp.objects.create(
        account=account,
        enabled=True,
        below=Decimal(10**6),
        pack=smallest_pack(),
        currency="usd",
        monthly_amount=10**6,
        monthly_count=5,
    )


def unsaved(account: Account, **facts: Any) -> Purchase:
    common = {"kind": "pack", "origin": "auto_top_up", "offer": smallest_pack(), "label": "Pack"}
    return Purchase(account=account, credits=100, amount=500, currency="usd", **common | facts)


# P7: the webhook never arrives


@pytest.mark.fault("P7", "P2")
def test_the_return_page_credits_at_once(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    alice: User,
    signed_in: Callable[[User], Client],
    balance: Callable[[], Decimal],
) -> None:
    before, purchase = balance(), order()
    pay(purchase)
    for _ in range(2):
        signed_in(alice).get(f"/billing/purchases/{purchase.public_id}/return/", follow=True)
    assert balance() == before + purchase.credits
    assert Mail.objects.filter(template="receipt").count() == 1


@pytest.mark.fault("P7", "C1", "C2")
def test_without_it_one_run_of_reconciliation_does_and_a_second_changes_nothing(
    order: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before, purchase = balance(), order()
    pay(purchase)
    for _ in range(2):
        tasks.reconcile()
        tasks.process_events()
    assert balance() == before + purchase.credits
    assert Grant.objects.filter(kind="top_up").count() == 1
    assert not StripeEvent.objects.exclude(state__in=["done", "ignored"]).exists()


@pytest.mark.fault("P7")
def test_reconciliation_comes_within_a_quarter_of_an_hour(settings: Any) -> None:
    assert settings.CELERY_BEAT_SCHEDULE["reconcile"]["schedule"] <= 15 * 60
    assert settings.CELERY_BEAT_SCHEDULE["reconcile"]["task"] == tasks.reconcile.name


@pytest.mark.fault("P7", "P17")
def test_a_page_whose_making_was_not_recorded_is_found_by_what_stripe_says_of_it(
    order: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before, purchase = balance(), order()
    pay(purchase)
    Purchase.objects.update(stripe_session_id=None, checkout_url="")  # we died before writing it down
    tasks.reconcile()
    assert balance() == before + purchase.credits


# O2: yesterday's backup


@pytest.mark.fault("O2")
def test_packs_top_ups_and_refunds_of_today_come_back(
    stripe_world: Any,
    top_up: AutoTopUp,
    account: Account,
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    balance: Callable[[], Decimal],
) -> None:
    before = balance()
    lost = order()
    pay(lost)
    Purchase.objects.all().delete()
    automatic = unsaved(account)
    marks = {"purchase": automatic.public_id, "account": account.public_id}
    method = stripe_world.payment_methods.list(
        {"customer": cards.ensure_customer(account), "type": "card"}
    ).data[0]
    paid = stripe_world.payment_intents.create(
        {
            "amount": 500,
            "currency": "usd",
            "customer": cards.ensure_customer(account),
            "payment_method": method.id,
            "confirm": True,
            "off_session": True,
            "metadata": marks | recovery.stripe_metadata(automatic),
        }
    )
    stripe_world.refunds.create({"payment_intent": paid.id, "amount": 250})

    report = reconciliation.run(timezone.now())

    assert report is not None and report.findings == []
    assert [row["paid_gap"] or row["refunded_gap"] for row in reconciliation.differences(report)] == [0]
    back = {row.pk: (row.status, row.origin, row.credits, row.refunded) for row in Purchase.objects.all()}
    assert back == {
        lost.pk: ("paid", "page", lost.credits, 0),
        automatic.pk: ("paid", "auto_top_up", 100, 250),
    }
    assert balance() == before + lost.credits + 50
    assert ledger.audit.run(now=timezone.now()).findings == []


# C6 and outages: the run itself


@pytest.mark.fault("C6")
def test_one_thing_that_cannot_be_mended_is_reported_and_the_others_are_mended(
    stripe_world: Any, paid: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = paid()
    ids = [
        stripe_world.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": 5}).id
        for _ in range(3)
    ]
    StripeEvent.objects.all().delete()
    monkeypatch.setattr(stripe_gateway, "list_events", lambda _since: iter(()))
    follow = requests.apply_stripe_refund

    def poisonous(facts: Any, now: Any) -> Any:
        if facts["id"] == ids[1]:
            raise RuntimeError("poison")
        return follow(facts, now)

    monkeypatch.setattr(requests, "apply_stripe_refund", poisonous)

    report = reconciliation.run(timezone.now())

    assert report is not None
    assert [(one["left"], one["why"]) for one in report.findings] == [(ids[1], "RuntimeError: poison")]
    purchase.refresh_from_db()
    assert purchase.refunded == 10


@pytest.mark.fault("P7")
def test_an_outage_in_the_middle_leaves_the_bookmark_where_it_was(
    order: Callable[..., Purchase], pay: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(order())

    def down(*_: Any) -> Any:
        raise stripe_gateway.StripeUnavailable("timed out")

    Purchase.objects.update(stripe_session_id=None)
    for part in (
        "list_events",
        "list_checkout_sessions",
        "list_payment_intents",
        "list_refunds",
        "list_disputes",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(stripe_gateway, part, down)
            tasks.reconcile()
        assert not Reconciliation.objects.exists()
    tasks.reconcile()
    assert Purchase.objects.get().status == "paid"
    assert Reconciliation.objects.count() == 1


class Killed(BaseException):
    """The process is gone: nothing catches this."""


@pytest.mark.fault("P7", "P20", "C2")
def test_a_run_that_dies_after_any_of_its_questions_is_finished_by_the_next(
    catalogue: None, stripe_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time there is a payment to credit and an approved refund to send."""
    row = Catalogue.objects.get()
    row.policies["refund_window_days"] = 30
    row.save(update_fields=["policies"])
    catalogue_cache.changed()
    ask = stripe_gateway._request
    for last in range(30):
        account = Account.objects.get(person=person(f"buyer{last}"))
        start = ledger.balance(account.pk, timezone.now()).total
        unheard, refunded = bought(account, "unheard"), bought(account, "refunded")
        checkout.refresh_from_stripe(refunded, timezone.now())
        asked = requests.create(purchase=refunded, user=None, message="", now=timezone.now())
        with monkeypatch.context() as patch:
            patch.setattr(requests, "send", lambda refund, _now: refund)
            requests.approve(asked, actor="staff", reason="", now=timezone.now())
        questions = 0

        def dying(question: Any, last: int = last) -> Any:
            nonlocal questions
            answer = ask(question)
            if questions == last:
                raise Killed
            questions += 1
            return answer

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(stripe_gateway, "_request", dying)
            reconciliation.run(timezone.now())
        report = reconciliation.run(timezone.now())

        assert report is not None and report.findings == []
        unheard.refresh_from_db()
        refunded.refresh_from_db()
        assert (unheard.status, refunded.refunded) == ("paid", refunded.amount)
        assert Refund.objects.get(purchase=refunded).status == Refund.Status.DONE
        made = stripe_world.refunds.list({"payment_intent": refunded.stripe_payment_id}).data
        assert len(made) == 1
        assert ledger.balance(account.pk, timezone.now()).total == start + unheard.credits
        if questions < last:
            break
    assert last > 6 and questions < last


def bought(account: Account, key: str) -> Purchase:
    """A pack that is paid at Stripe, and nothing was heard of it."""
    purchase = purchases.pack_purchase(
        account=account,
        buyer=None,
        origin="page",
        pack_key=smallest_pack(),
        quantity=1,
        currency="usd",
        key=key,
        now=timezone.now(),
    )
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    return purchase


# P17: answers that say nothing of what became of the request


@pytest.mark.fault("P17", "P20")
@pytest.mark.parametrize(
    "answer", [stripe.IdempotencyError, stripe.AuthenticationError, stripe.APIConnectionError]
)
def test_an_answer_that_decides_nothing_leaves_a_refund_to_be_sent_again(
    stripe_world: Any, paid: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    row = Catalogue.objects.get()
    row.policies["refund_window_days"] = 30
    row.save(update_fields=["policies"])
    catalogue_cache.changed()
    purchase = paid()
    asked = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    real = stripe_gateway._client("", "")

    class Lost:
        """Does what is asked, and its answer is lost."""

        class v1:
            class refunds:
                @staticmethod
                def create(*given: Any) -> Any:
                    real.v1.refunds.create(*given)
                    raise answer("lost")

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "_client", lambda *_: Lost)
        assert requests.approve(asked, actor="staff", reason="", now=timezone.now()).status == "approved"
    tasks.reconcile()

    assert Refund.objects.get().status == Refund.Status.DONE
    assert len(stripe_world.refunds.list({}).data) == 1


# P16: a top-up's failure heard by its event


@pytest.mark.fault("P16")
@pytest.mark.parametrize(
    ("code", "outcome", "paused", "mail"),
    [
        ("authentication_required", "authenticate", True, "top_up_authenticate"),
        ("card_declined", "declined", False, "top_up_failed"),
    ],
)
def test_a_failed_top_up_is_counted_and_told_once_also_when_only_its_event_says_so(
    top_up: AutoTopUp,
    account: Account,
    tell: Callable[..., StripeEvent],
    code: str,
    outcome: str,
    paused: bool,
    mail: str,
) -> None:
    now = timezone.now()
    purchase = unsaved(account, list_amount=500, idempotency_key="auto:1", created_at=now)
    purchase.save()
    intent = {
        "id": "pi_x",
        "status": "requires_payment_method",
        "currency": "usd",
        "metadata": {"purchase": purchase.public_id, "account": account.public_id},
        "last_payment_error": {"code": code, "message": "no"},
    }
    event = {"type": "payment_intent.payment_failed", "created": now.timestamp(), "data": {"object": intent}}

    assert [tell({"id": f"evt_{n}", **event}).state for n in range(2)] == ["done", "done"]

    top_up.refresh_from_db()
    assert (top_up.failures, top_up.last_outcome, bool(top_up.suspended_card)) == (1, outcome, paused)
    assert list(Mail.objects.values_list("template", flat=True)) == [mail]


# P6: an older answer of Stripe's


@pytest.mark.fault("P6")
def test_an_answer_older_than_what_we_have_is_asked_for_again(
    account: Account, stripe_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:

    price = stripe_sync.ensure_price(plan_key="starter", interval="month", currency="usd", amount=990)
    customer = cards.ensure_customer(account)
    card = stripe_world.payment_methods.attach("pm_card_visa", {"customer": customer})
    made = stripe_world.subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": price}],
            "default_payment_method": card.id,
            "metadata": {"account": account.public_id},
        }
    )
    stripe_sync.synchronize(made.id, timezone.now())
    ask, asked = stripe_gateway.retrieve_subscription, []

    def slow(subscription_id: str) -> Any:
        """While Stripe's answer is on its way, the plan is cancelled and that news is quicker."""
        answer = ask(subscription_id)
        asked.append(answer["status"])
        if len(asked) == 1:
            stripe_world.subscriptions.cancel(subscription_id)
            stripe_sync.apply_snapshot(ask(subscription_id), timezone.now())
        return answer

    monkeypatch.setattr(stripe_gateway, "retrieve_subscription", slow)
    event = {"id": "evt_1", "type": "customer.subscription.updated", "created": 1}
    row = events.store({**event, "data": {"object": {"id": made.id}}}, timezone.now(), source="webhook")

    assert events.process(row.pk, timezone.now()).state == "done"

    assert asked == ["active", "canceled"]
    after = Subscription.objects.get(account=account)
    assert (after.plan, after.stripe_subscription_id) == ("free-trial", None)
    with pytest.raises(StaleSnapshot):
        stripe_sync.apply_snapshot(ask(made.id), timezone.now() + timedelta(seconds=1), version=after.version)
