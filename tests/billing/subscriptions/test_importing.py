"""Members of legacy plans are imported with the subscription that they pay for at Stripe."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Account, User
from billing import stripe_gateway
from billing.models import BillingProfile, Purchase, StripeEvent, StripePrice, Subscription
from billing.subscriptions import changes, importing, lifecycle, previews, stripe_sync
from tests.billing.subscriptions.conftest import of_kind

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("REFLY-08")]


@pytest.fixture
def member(stripe_api: Any, clock: time_machine.Traveller) -> Callable[..., str]:
    """A subscription that other software made at Stripe, 5.00 USD a month unless told: its id."""

    def make(amount: int = 500, interval: str = "month", metadata: dict[str, str] | None = None) -> str:
        customer = stripe_api.customers.create({"email": "old@example.org"}).id
        card = stripe_api.payment_methods.attach("pm_card_visa", {"customer": customer}).id
        stripe_api.customers.update(customer, {"invoice_settings": {"default_payment_method": card}})
        price = stripe_api.prices.create(
            {
                "currency": "usd",
                "unit_amount": amount,
                "recurring": {"interval": interval},
                "product_data": {"name": "Old Plus"},
            }
        )
        params: dict[str, Any] = {"customer": customer, "items": [{"price": price.id}]}
        return str(stripe_api.subscriptions.create(params | {"metadata": metadata or {}}).id)

    return make


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command on these rows; what it printed."""

    def command(*rows: str, apply: bool = True, header: str = "account,stripe_subscription_id,plan") -> str:
        file = tmp_path / "members.csv"
        file.write_text("\n".join([header, *rows]), encoding="utf-8")
        try:
            call_command("import_subscriptions", str(file), *(["--apply"] if apply else []))
        except CommandError as error:
            return capsys.readouterr().out + f"\n{error}"
        return capsys.readouterr().out

    return command


def state(account: Account) -> tuple[str, int, str | None]:
    subscription = Subscription.objects.get(account=account)
    return subscription.plan, subscription.amount, subscription.stripe_subscription_id


def test_a_member_keeps_plan_price_and_payment_and_gets_the_credits(
    member: Callable[..., str], run: Callable[..., str], account: Account, stripe_api: Any
) -> None:
    subscription_id = member()
    row = f"alice@example.com,{subscription_id},plus".replace("alice@example.com", email_of(account))

    assert "can be imported" in run(row, apply=False)
    assert state(account) == ("free-trial", 0, None)
    assert not StripePrice.objects.exists() and not BillingProfile.objects.exists()

    assert f"{subscription_id} plus: imported" in run(row)

    assert state(account) == ("plus", 500, subscription_id)
    assert of_kind(account, "plan") == Decimal(700)
    remote = stripe_api.subscriptions.retrieve(subscription_id)
    assert remote.metadata["account"] == account.public_id
    assert BillingProfile.objects.get().stripe_customer_id == remote.customer
    version = Subscription.objects.get(account=account).version
    assert "imported already" in run(row)
    assert Subscription.objects.get(account=account).version == version


def email_of(account: Account) -> str:
    assert account.person is not None
    return str(account.person.email)


def test_renewals_keep_the_legacy_plan_at_its_old_price(
    member: Callable[..., str], run: Callable[..., str], account: Account, advance: Callable[..., None]
) -> None:
    subscription_id = member()
    run(f"{account.public_id},{subscription_id},plus")

    advance(days=31)
    advance(hours=2)

    assert state(account) == ("plus", 500, subscription_id)
    assert of_kind(account, "plan") == Decimal(700)
    renewal = Purchase.objects.get()
    assert (renewal.status, renewal.amount, renewal.offer) == ("paid", 500, "plus")


@pytest.mark.requirement("REFLY-09")
def test_leaving_an_imported_legacy_plan_is_final(
    member: Callable[..., str], run: Callable[..., str], account: Account, stripe_api: Any
) -> None:
    subscription_id = member()
    run(f"{account.public_id},{subscription_id},plus")
    now = timezone.now()
    preview = previews.preview(account, plan_key="creator", interval="", currency="usd", now=now)
    assert preview.leaves_legacy
    changes.confirm(account, preview.token, now)
    assert state(account)[0] == "creator"

    assert "is on the plan creator now" in run(f"{account.public_id},{subscription_id},plus")
    stripe_api.subscriptions.cancel(subscription_id)
    stripe_sync.synchronize(subscription_id, now)
    assert "has left this legacy plan, which is final" in run(f"{account.public_id},{member()},plus")
    assert state(account) == ("free-trial", 0, None)


def test_the_event_of_the_mark_finishes_an_import_whose_process_died(
    member: Callable[..., str],
    account: Account,
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription_id = member()
    checked = importing.check(importing.Row(2, account.public_id, subscription_id, "plus"))

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stripe_sync, "apply_snapshot", die)
        with pytest.raises(KeyboardInterrupt):
            importing.apply(checked, timezone.now())
    assert state(account) == ("free-trial", 0, None)

    for event in events():
        process_event(event)

    assert state(account) == ("plus", 500, subscription_id)
    assert not StripeEvent.objects.filter(state__in=["failed", "quarantined"]).exists()


def test_an_import_that_stripe_did_not_answer_is_finished_by_the_next_run(
    member: Callable[..., str], run: Callable[..., str], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = f"{account.public_id},{(subscription_id := member())},plus"

    def no_answer(**_: Any) -> Any:
        raise stripe_gateway.StripeUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "update_subscription", no_answer)
        assert "unknown: Stripe did not answer" in run(row)
    assert state(account) == ("free-trial", 0, None)

    assert "imported" in run(row)
    assert state(account) == ("plus", 500, subscription_id)


def test_nobody_else_enters_a_legacy_plan_through_stripe(
    member: Callable[..., str],
    account: Account,
    run: Callable[..., str],
    bob: User,
    account_of: Callable[[User], Account],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    run(f"{account.public_id},{member()},plus")
    other = account_of(bob)
    imported = Subscription.objects.get(account=account)
    price = StripePrice.objects.get(plan_key="plus")
    assert imported.intent == ""
    smuggled = member(metadata={"account": other.public_id})
    StripePrice.objects.filter(pk=price.pk).update(stripe_price_id=price_of(smuggled))

    for event in events("customer.subscription.created"):
        process_event(event)

    assert state(other) == ("free-trial", 0, None)


def price_of(subscription_id: str) -> str:
    items = stripe_gateway.retrieve_subscription(subscription_id)["items"]["data"]
    return str(items[0]["price"]["id"])


@pytest.mark.parametrize(
    ("changes_of_row", "fault"),
    [
        ({"account": "nobody@example.org"}, "No account has this id or e-mail address"),
        ({"subscription": "sub_unknown"}, "Stripe has no such subscription"),
        ({"plan": "unknown"}, "There is no such plan"),
        ({"plan": "early-bird"}, "This plan has no price"),
        ({"plan": "pro"}, "It costs $5.00 each month, the catalogue says $10.00"),
    ],
)
def test_a_row_that_contradicts_stripe_or_the_catalogue_is_refused_with_the_way_out(
    member: Callable[..., str],
    run: Callable[..., str],
    account: Account,
    changes_of_row: dict[str, str],
    fault: str,
) -> None:
    row = {"account": account.public_id, "subscription": member(), "plan": "plus"} | changes_of_row

    printed = run(",".join(row.values()))

    assert fault in printed and "1 refused" in printed
    assert state(account) == ("free-trial", 0, None)
    assert not StripePrice.objects.exists() and not BillingProfile.objects.exists()


def test_a_cancelled_subscription_and_one_of_another_interval_are_refused(
    member: Callable[..., str], run: Callable[..., str], account: Account, stripe_api: Any
) -> None:
    ended = member()
    stripe_api.subscriptions.cancel(ended)
    assert "The subscription is canceled" in run(f"{account.public_id},{ended},plus")
    yearly = member(interval="year")
    assert "the catalogue says no price" in run(f"{account.public_id},{yearly},plus")


def test_one_refused_row_does_not_stop_the_others_and_repeated_rows_are_refused(
    member: Callable[..., str],
    run: Callable[..., str],
    account: Account,
    bob: User,
    account_of: Callable[[User], Account],
) -> None:
    first, second = member(), member(amount=1000)
    other = account_of(bob)

    printed = run(
        f"{account.public_id},{first},pro",
        f"{other.public_id},{second},pro",
        f"{other.public_id},{first},plus",
    )

    assert "3 rows, 2 refused" in printed
    assert "Line 3 is for the same account" in printed
    assert state(other) == ("pro", 1000, second)
    assert state(account) == ("free-trial", 0, None)


def test_members_with_another_price_of_the_same_amount_change_to_that_of_the_others(
    stripe_api: Any,
    member: Callable[..., str],
    run: Callable[..., str],
    account: Account,
    bob: User,
    account_of: Callable[[User], Account],
) -> None:
    first, second = member(), member()
    rows = f"{account.public_id},{first},plus", f"{account_of(bob).public_id},{second},plus"
    printed = run(*rows)
    assert f"Others on this plan have the price {price_of(first)}" in printed
    assert state(account_of(bob)) == ("free-trial", 0, None)

    item = stripe_api.subscriptions.retrieve(second)["items"].data[0].id
    items = [{"id": item, "price": price_of(first)}]
    stripe_api.subscriptions.update(second, {"items": items, "proration_behavior": "none"})
    assert "2 rows, 0 refused" in run(*rows)
    assert state(account_of(bob)) == ("plus", 500, second)


def test_a_file_without_the_columns_is_refused(run: Callable[..., str], stripe_api: Any) -> None:
    assert "must name the column plan" in run("a,b", header="account,stripe_subscription_id")


def test_an_account_with_a_paid_plan_is_refused(
    starter: Subscription, member: Callable[..., str], run: Callable[..., str], account: Account
) -> None:
    printed = run(f"{account.public_id},{member()},plus")
    assert "The account has the subscription" in printed
    assert Subscription.objects.get(account=account).plan == "starter"
    assert lifecycle.has_left_plan(account.pk, "plus") is False
