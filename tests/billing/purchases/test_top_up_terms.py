"""Automatic top-up at its boundaries: threshold, pauses, monthly limits, currencies, the switch."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Membership, User
from billing import ledger, stripe_gateway
from billing.models import AutoTopUp, Purchase, Subscription
from billing.purchases import auto_top_up, top_up_failures, top_up_settings
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue, Pack, Plan, Sale
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies, smallest_pack
from tests.moves.money.world import allowance

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P16")]
MIDMONTH = datetime(2027, 4, 15, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(MIDMONTH, tick=False):
        yield


@pytest.fixture
def yen(catalogue: None) -> None:
    """All packs are sold in yen too."""
    row = Catalogue.objects.get()
    row.currencies = [*row.currencies, "jpy"]
    row.save(update_fields=["currencies"])
    for pack in Pack.objects.all():
        pack.prices["jpy"] = pack.prices["usd"] * 2
        pack.save(update_fields=["prices"])
    catalogue_cache.changed()


def check(account: Account, **after: float) -> str:
    return auto_top_up.buy_if_low(account.pk, MIDMONTH + timedelta(**after))


def earlier(account: Account, *, amount: int, **fields: Any) -> Purchase:
    """An automatic top-up of this month."""
    values: dict[str, Any] = {"kind": "pack", "origin": "auto_top_up", "offer": "x", "label": "-"}
    values |= {"status": "paid", "paid_at": MIDMONTH, "currency": "usd", "created_at": MIDMONTH}
    values |= {"amount": amount, "list_amount": amount, "idempotency_key": f"k{Purchase.objects.count()}"}
    return Purchase.objects.create(account=account, **values | fields)


@pytest.mark.parametrize(("above", "outcome"), [("0.000001", "paid"), ("0", ""), ("-0.000001", "")])
@pytest.mark.parametrize("enabled", [True, False])
def test_the_threshold_is_exact_and_the_switch_counts(
    enable: Callable[..., AutoTopUp], account: Account, enabled: bool, above: str, outcome: str
) -> None:
    available = ledger.balance(account.pk, MIDMONTH).available
    enable(below=available + Decimal(above), enabled=enabled)
    assert auto_top_up.buy_for_low_accounts(MIDMONTH) == (1 if enabled and outcome else 0)
    saved = AutoTopUp.objects.get()
    assert saved.last_outcome == (outcome if enabled else "")
    assert saved.last_looked_at == (MIDMONTH if enabled and outcome else None)
    assert check(account, seconds=1) == ""


def test_nothing_is_bought_while_everyone_who_may_buy_is_deactivated(
    enable: Callable[..., AutoTopUp], account: Account, alice: User, bob: User
) -> None:
    enable()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert auto_top_up.buy_for_low_accounts(MIDMONTH) == 1
    assert (check(account), Purchase.objects.count()) == ("", 0)
    membership = Membership.objects.create(account=account, user=bob, role=Membership.Role.MEMBER)
    assert check(account) == ""
    membership.role = Membership.Role.BILLING
    membership.save()
    assert check(account) == "paid"


@pytest.mark.parametrize(("period", "outcome"), [("month", ""), ("day", "paid")])
def test_a_renewal_under_way_stops_a_top_up_only_if_its_payment_brings_credits(
    enable: Callable[..., AutoTopUp], account: Account, period: str, outcome: str
) -> None:
    enable()
    Plan.objects.filter(key="starter").update(allowances=[allowance("credits", 5) | {"period": period}])
    Subscription.objects.filter(account=account).update(
        plan="starter", stripe_subscription_id="sub_1", paid_until=MIDMONTH - timedelta(minutes=30)
    )
    assert check(account) == outcome


def test_an_account_without_members_is_topped_up(enable: Callable[..., AutoTopUp], account: Account) -> None:
    enable()
    Membership.objects.all().delete()
    assert check(account) == "paid"


def test_credits_for_some_services_do_not_count_as_available(
    enable: Callable[..., AutoTopUp], account: Account
) -> None:
    enable(below=Decimal(500))
    facts = {"account_id": account.pk, "credits": Decimal(1000), "label": "-", "now": MIDMONTH}
    ledger.grant(kind="bonus", key="limited", services=["gpt-4o"], **facts)
    assert auto_top_up.buy_for_low_accounts(MIDMONTH) == 1
    assert AutoTopUp.objects.get().last_outcome == "paid"


def test_only_accounts_that_may_be_low_or_wait_for_an_answer_are_looked_at(
    enable: Callable[..., AutoTopUp], account: Account
) -> None:
    enable(below=Decimal(1))
    facts = {"account_id": account.pk, "credits": Decimal(5), "label": "-", "now": MIDMONTH}
    ledger.grant(kind="bonus", key="ended", services=["gpt-4o"], expires_at=MIDMONTH + TICK, **facts)
    ledger.settle([account.pk], MIDMONTH + TICK)
    earlier(account, amount=1, origin="page", status="created")
    assert auto_top_up.buy_for_low_accounts(MIDMONTH + TICK) == 0
    earlier(account, amount=1, status="created")
    assert auto_top_up.buy_for_low_accounts(MIDMONTH + TICK) == 1


@pytest.mark.parametrize(
    ("failures", "outcome", "pause"),
    [
        (0, "cooling", timedelta(seconds=30)),
        (1, "declined", timedelta(hours=1)),
        (2, "declined", timedelta(hours=6)),
        (3, "declined", timedelta(hours=24)),
        (4, "declined", timedelta(hours=24)),
    ],
)
def test_a_pause_ends_at_its_exact_instant(
    enable: Callable[..., AutoTopUp],
    account: Account,
    failures: int,
    outcome: str,
    pause: timedelta,
) -> None:
    last = "declined" if failures else "paid"
    enable(failures=failures, last_outcome=last, last_tried_at=MIDMONTH)
    assert auto_top_up.buy_if_low(account.pk, MIDMONTH + pause - TICK) == outcome
    assert auto_top_up.buy_if_low(account.pk, MIDMONTH + pause) == "paid"
    saved = AutoTopUp.objects.get()
    assert (saved.failures, saved.last_outcome, saved.last_tried_at) == (0, "paid", MIDMONTH + pause)


@pytest.mark.parametrize(
    ("bought", "limits", "outcome"),
    [
        ([], {"monthly_count": 1}, "paid"),
        ([{}], {"monthly_count": 2}, "paid"),
        ([{}], {"monthly_count": 1}, "ceiling_count"),
        ([{"status": "failed"}], {"monthly_count": 1}, "paid"),
        ([{"status": "cancelled"}], {"monthly_count": 1}, "paid"),
        ([{"status": "quarantined"}], {"monthly_count": 1}, "ceiling_count"),
        ([{"origin": "page"}], {"monthly_count": 1}, "paid"),
        ([{"origin": "api"}], {"monthly_amount": "price"}, "paid"),
        ([{"created_at": MIDMONTH.replace(day=1, hour=0)}], {"monthly_count": 1}, "ceiling_count"),
        ([{"created_at": MIDMONTH.replace(day=1, hour=0) - TICK}], {"monthly_count": 1}, "paid"),
        ([], {"monthly_amount": "price"}, "paid"),
        ([], {"monthly_amount": "less"}, "ceiling_money"),
        ([{}], {"monthly_amount": "twice"}, "paid"),
        ([{}], {"monthly_amount": "twice less"}, "ceiling_money"),
        ([{"currency": "jpy", "amount": 10**6}], {"monthly_amount": "price"}, "paid"),
        ([{"currency": "jpy"}], {"monthly_count": 1}, "ceiling_count"),
    ],
    ids=str,
)
@pytest.mark.parametrize("currency", ["usd", "jpy"])
def test_the_limits_of_a_calendar_month(
    enable: Callable[..., AutoTopUp],
    account: Account,
    bob: User,
    account_of: Callable[[User], Account],
    yen: None,
    bought: list[dict[str, Any]],
    limits: dict[str, Any],
    outcome: str,
    currency: str,
) -> None:
    price = Pack.objects.get(key=smallest_pack()).prices[currency]
    amounts = {"price": price, "less": price - 1, "twice": 2 * price, "twice less": 2 * price - 1}
    saved = enable(currency=currency, **{name: amounts.get(value, value) for name, value in limits.items()})
    other = {"usd": "jpy", "jpy": "usd"}[currency]
    for fields in bought:
        named = {"currency": other if "currency" in fields else currency}
        earlier(account, **{"amount": price} | fields | named)
    earlier(account_of(bob), amount=10**6, currency=currency)
    assert check(account) == outcome
    assert AutoTopUp.objects.get(pk=saved.pk).last_outcome == outcome


def test_a_top_up_has_the_price_of_the_sale_and_the_terms_of_the_pack(
    enable: Callable[..., AutoTopUp], account: Account, alice: User, stripe_api: Any
) -> None:
    pack = Pack.objects.get(key=smallest_pack())
    Pack.objects.filter(pk=pack.pk).update(lasts="3 months")
    Sale.objects.create(
        key="s", pack=pack, label="-", prices={"usd": 77}, starts_at=MIDMONTH, ends_at=MIDMONTH + timedelta(1)
    )
    enable(set_by=alice, monthly_amount=77)
    assert check(account) == "paid"
    bought = Purchase.objects.get()
    assert (bought.amount, bought.list_amount, bought.currency) == (77, pack.prices["usd"], "usd")
    assert (bought.credits, bought.quantity, bought.lasts, bought.buyer) == (
        pack.credits,
        1,
        "3 months",
        alice,
    )
    assert (bought.offer, bought.kind, bought.created_at) == (pack.key, "pack", MIDMONTH)
    [intent] = stripe_api.payment_intents.list({}).data
    assert (intent.amount, intent.currency, intent.description) == (77, "usd", bought.label)
    assert intent.metadata["purchase"] == bought.public_id
    assert intent.metadata["account"] == account.public_id


@pytest.mark.parametrize("gone", ["retired", "currency", "paid plans"])
def test_a_pack_that_is_not_sold_any_more_is_not_bought(
    enable: Callable[..., AutoTopUp], account: Account, gone: str
) -> None:
    enable()
    changes = {"retired": {"retired_at": MIDMONTH}, "currency": {"prices": {"eur": 1}}}
    Pack.objects.update(**changes.get(gone, {"paid_plans_only": True}))
    assert check(account) == "offer_gone"
    assert not Purchase.objects.exists()
    saved = AutoTopUp.objects.get()
    assert top_up_settings.consent(saved, MIDMONTH) is None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ({}, "declined"),
        ({"code": "card_declined", "decline_code": "insufficient_funds"}, "declined"),
        ({"code": "card_declined", "decline_code": "lost_card"}, "suspended"),
        ({"code": "expired_card"}, "suspended"),
        ({"code": "card_declined", "decline_code": "authentication_required"}, "authenticate"),
        ({"code": "authentication_required"}, "authenticate"),
        ({"code": "card_declined", "advice_code": "do_not_try_again"}, "suspended"),
        ({"code": "card_declined", "advice_code": "confirm_card_data"}, "suspended"),
        ({"code": "card_declined", "advice_code": "try_again_later"}, "declined"),
    ],
)
def test_how_a_decline_is_handled(error: dict[str, str], outcome: str) -> None:
    assert top_up_failures.outcome_of(error) == outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (stripe_gateway.CardDeclined("lost_card", "", {}), "suspended"),
        (stripe_gateway.CardDeclined("insufficient_funds", "", {}), "declined"),
        (
            stripe_gateway.CardDeclined(
                "generic_decline", "", {"last_payment_error": {"advice_code": "do_not_try_again"}}
            ),
            "suspended",
        ),
        (stripe_gateway.AuthenticationRequired("generic_decline", "", {"id": "pi_1"}), "authenticate"),
    ],
)
def test_a_refused_request_is_handled_like_its_decline(
    enable: Callable[..., AutoTopUp],
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    error: stripe_gateway.CardDeclined,
    outcome: str,
) -> None:
    def refuse(**_arguments: Any) -> Any:
        raise error

    enable()
    monkeypatch.setattr(stripe_gateway, "create_off_session_payment", refuse)
    assert check(account) == outcome
    saved = AutoTopUp.objects.get()
    assert (saved.last_outcome, saved.failures) == (outcome, 1)
    assert saved.payment_to_confirm == ("pi_1" if outcome == "authenticate" else "")
    assert Purchase.objects.get().status == "failed"


@pytest.fixture
def change(stripe_api: Any, account: Account) -> Callable[..., AutoTopUp]:
    """Save valid settings with a card: `change(below=Decimal(5))`."""
    change_policies(auto_top_up={"largest_monthly_packs": 5, "assumed": False, "reason": ""})
    stripe_sandbox.save_card(account)

    def save(**changes: Any) -> AutoTopUp:
        settings: dict[str, Any] = {
            "enabled": True,
            "below": Decimal(1),
            "pack": smallest_pack(),
            "user": None,
        }
        settings |= {"currency": "usd", "monthly_amount": 10**6, "monthly_count": 2}
        return top_up_settings.change(account_id=account.pk, now=timezone.now(), **settings | changes)

    return save


def refusal(change: Callable[..., Any], **changes: Any) -> tuple[str, str] | None:
    try:
        change(**changes)
    except top_up_settings.SettingsInvalid as error:
        assert error.status == 400
        return error.field, error.code
    return None


def test_settings_are_accepted_up_to_their_limits(
    change: Callable[..., AutoTopUp], account: Account, alice: User, yen: None
) -> None:
    pack = Pack.objects.get(key=smallest_pack())
    price, credits, cent = pack.prices["usd"], pack.credits, Decimal("0.000001")
    above = ("below", "above_pack")
    count = ("monthly_count", "out_of_range")
    rows: list[tuple[dict[str, Any], tuple[str, str] | None]] = [
        ({"below": credits}, None),
        ({"below": credits + cent}, above),
        ({"monthly_count": 1}, None),
        ({"monthly_count": 5}, None),
        ({"monthly_count": 0}, count),
        ({"monthly_count": 6}, count),
        ({"monthly_amount": price}, None),
        ({"monthly_amount": price - 1}, ("monthly_amount", "below_price")),
        ({"currency": "jpy", "monthly_amount": price}, ("monthly_amount", "below_price")),
        ({"currency": "jpy", "monthly_amount": 2 * price}, None),
        ({"pack": ""}, ("pack", "required")),
        ({"pack": "nothing"}, ("pack", "unknown_offer")),
        ({"pack": "nothing", "enabled": False}, ("pack", "unknown_offer")),
        ({"pack": "", "enabled": False}, None),
        ({"currency": "gbp"}, ("currency", "unknown_currency")),
        ({"enabled": False, "monthly_count": 6, "monthly_amount": 0, "below": credits * 2}, None),
    ]
    assert [refusal(change, **changes) for changes, _expected in rows] == [expected for _, expected in rows]
    Pack.objects.update(paid_plans_only=True)
    assert refusal(change) == ("pack", "paid_plan_required")
    Pack.objects.update(paid_plans_only=False)
    change_policies(auto_top_up=None)
    assert refusal(change) == ("enabled", "not_offered")
    assert top_up_settings.max_monthly_count() == 0
    assert refusal(change, enabled=False) is None


def test_what_is_saved_is_what_was_sent_and_later_settings_replace_it(
    change: Callable[..., AutoTopUp], account: Account, alice: User, yen: None
) -> None:
    change(below=Decimal("2.5"), currency="jpy", monthly_amount=9999, monthly_count=4, user=alice)
    saved = top_up_settings.get(account.pk)
    assert (saved.enabled, saved.below, saved.pack) == (True, Decimal("2.5"), smallest_pack())
    assert (saved.currency, saved.monthly_amount, saved.monthly_count) == ("jpy", 9999, 4)
    assert saved.set_by == alice
    price = Pack.objects.get(key=smallest_pack()).prices["jpy"]
    consent = top_up_settings.consent(saved, timezone.now())
    assert consent is not None and (consent.offer.amount, consent.most) == (price, min(9999, 4 * price))
    saved.monthly_amount = 4 * price - 1
    assert top_up_settings.consent(saved, timezone.now()).most == 4 * price - 1  # type: ignore[union-attr]
    change(enabled=False)
    assert top_up_settings.consent(top_up_settings.get(account.pk), timezone.now()) is None
    assert AutoTopUp.objects.count() == 1


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("currency", "typed", "saved"),
    [("usd", "100.50", 10_050), ("jpy", "9000", 9000), ("jpy", "9000.5", None), ("usd", "100.005", None)],
)
def test_the_page_takes_money_in_the_units_of_the_currency(
    change: Callable[..., AutoTopUp],
    alice: User,
    signed_in: Callable[[User], Client],
    yen: None,
    currency: str,
    typed: str,
    saved: int | None,
) -> None:
    change(currency=currency, monthly_amount=10**6 - 10**6 % 100)
    browser = signed_in(alice)
    form = browser.get("/billing/auto-top-up/").context["form"]
    assert Decimal(form.initial["monthly_amount"]) == (
        Decimal(10**6) if currency == "jpy" else Decimal(10**4)
    )
    sent = {**form.initial, "enabled": "on", "monthly_amount": typed}
    answer = browser.post("/billing/auto-top-up/", sent)
    assert answer.status_code == (302 if saved else 422)
    assert AutoTopUp.objects.get().monthly_amount == (saved or 10**6)


@pytest.mark.fault("P11")
def test_a_limit_in_a_currency_that_is_no_longer_sold_is_not_shown_in_another(
    change: Callable[..., AutoTopUp], alice: User, signed_in: Callable[[User], Client], yen: None
) -> None:
    change(currency="jpy", monthly_amount=9000, monthly_count=2)
    Catalogue.objects.update(currencies=["usd"])
    catalogue_cache.changed()
    form = signed_in(alice).get("/billing/auto-top-up/").context["form"]
    price = Decimal(Pack.objects.get(key=smallest_pack()).prices["usd"]).scaleb(-2)
    assert (form.initial["enabled"], Decimal(form.initial["monthly_amount"])) == (True, 2 * price)
