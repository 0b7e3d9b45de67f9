"""Fields that Stripe sends as null or leaves out are read as empty, and no reader of its objects fails."""

from typing import Any

import pytest

from accounts.models import Account
from billing.models import BillingProfile, Purchase, StripePrice, Subscription
from billing.payments import fulfilment, taxes
from billing.subscriptions import invoice_amounts, invoices, prices, stripe_objects

pytestmark = pytest.mark.django_db
START, END = 1_800_000_000, 1_802_678_400


@pytest.fixture
def payload(account: Account) -> dict[str, Any]:
    """Alice's recorded subscription as Stripe has it, with nothing that can be left out."""
    StripePrice.objects.create(
        plan_key="starter", interval="month", currency="usd", amount=900, stripe_price_id="price_1"
    )
    Subscription.objects.filter(account=account).update(stripe_subscription_id="sub_1")
    item = {"id": "si_1", "price": {"id": "price_1"}, "current_period_start": START}
    return {"id": "sub_1", "status": "active", "items": {"data": [item | {"current_period_end": END}]}}


@pytest.mark.parametrize("value", [None, {}])
def test_a_subscription_without_optional_fields_is_that_of_its_recorded_account(
    payload: dict[str, Any], account: Account, value: dict[str, Any] | None
) -> None:
    names = ("metadata", "cancellation_details", "pause_collection", "pending_update", "latest_invoice")

    read = stripe_objects.parse_subscription(payload | dict.fromkeys(names, value))

    assert read == stripe_objects.parse_subscription(payload)
    assert (read.account, read.price.plan_key, read.cancels) == (account, "starter", False)
    assert (read.proration, read.in_force, read.pending, read.paused_until) == (None, None, None, None)
    assert (read.feedback, read.comment, read.pause_behavior, read.invoice) == ("", "", "", {})
    assert stripe_objects.imported_at(payload | {"metadata": value}) == -1


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ("acct_" + "0" * 32, stripe_objects.UnmatchedObject),  # lost after an older backup was restored
        ("acct_of_others", stripe_objects.ForeignObject),
        ("", stripe_objects.ForeignObject),
    ],
)
def test_a_subscription_whose_metadata_have_an_id_of_ours_is_not_that_of_other_software(
    named: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as refusal:
        stripe_objects.account_of({"id": "sub_other", "metadata": {"account": named}})
    assert refusal.type is error


@pytest.mark.parametrize(
    ("fields", "cancels"),
    [
        ({"cancel_at_period_end": False, "cancel_at": None}, False),
        ({"cancel_at_period_end": True, "cancel_at": END}, True),
        ({"cancel_at_period_end": False, "cancel_at": END}, True),  # staff chose a date
    ],
)
def test_a_subscription_that_ends_at_a_date_is_cancelled(
    payload: dict[str, Any], fields: dict[str, Any], cancels: bool
) -> None:
    assert stripe_objects.parse_subscription(payload | fields).cancels == cancels


@pytest.mark.parametrize("items", [None, {}, {"data": None}, {"data": []}])
def test_a_subscription_without_items_matches_none_of_ours(payload: dict[str, Any], items: Any) -> None:
    with pytest.raises(stripe_objects.UnmatchedObject):
        stripe_objects.parse_subscription(payload | {"items": items})
    with pytest.raises(stripe_objects.ForeignObject):
        stripe_objects.account_of({"id": "sub_other", "items": items, "metadata": None})
    older = payload | {"items": items, "current_period_start": START}
    assert stripe_objects.period_start(older) == stripe_objects.as_datetime(START)


def test_an_item_without_a_price_is_none_of_a_plan(payload: dict[str, Any], account: Account) -> None:
    item = payload["items"]["data"][0]
    with pytest.raises(stripe_objects.UnknownPrice):
        stripe_objects.parse_subscription(payload | {"items": {"data": [item | {"price": None}]}})
    BillingProfile.objects.update_or_create(account=account, defaults={"stripe_customer_id": "cus_1"})
    made = payload | {"id": "sub_made_at_stripe", "customer": "cus_1"}
    unpriced = {"id": "si_0", "price": None}
    assert stripe_objects.account_of(made | {"items": {"data": [unpriced, item]}}) == account
    with pytest.raises(stripe_objects.ForeignObject):
        stripe_objects.account_of(made | {"items": {"data": [unpriced]}})


@pytest.mark.parametrize("missing", [None, {}])
def test_a_price_or_product_without_metadata_names_no_plan(catalogue: None, missing: Any) -> None:
    assert prices.recognise({"id": "price_other", "metadata": missing, "product": "prod_1"}) is None
    product = {"id": "prod_1", "metadata": missing}
    assert prices.recognise({"id": "price_other", "metadata": missing, "product": product}) is None


@pytest.mark.parametrize("pending", [{"subscription_items": None}, {"subscription_items": [{"price": None}]}])
def test_a_pending_change_without_a_price_is_none(payload: dict[str, Any], pending: dict[str, Any]) -> None:
    invoice = {"id": "in_1", "status": "open"}
    read = stripe_objects.parse_subscription(
        payload | {"pending_update": pending | {"expires_at": END}, "latest_invoice": invoice}
    )
    assert read.pending is None and read.invoice == invoice


@pytest.mark.parametrize("missing", [None, {}, {"data": None}])
def test_an_invoice_without_lines_payments_or_parent(missing: Any) -> None:
    invoice = {"id": "in_1", "currency": "usd", "total": 900, "lines": missing, "payments": missing}
    assert stripe_objects.last_period_end(invoice) is None
    assert invoices.payment_id(invoice) is None
    assert invoices.payment_id(invoice | {"payment_intent": "pi_1"}) == "pi_1"
    for parent in (None, {}, {"subscription_details": None}):
        assert stripe_objects.invoice_subscription_id(invoice | {"parent": parent}) is None
        older = invoice | {"parent": parent, "subscription": "sub_1"}
        assert stripe_objects.invoice_subscription_id(older) == "sub_1"
    amounts = invoice_amounts.read(invoice | {"starting_balance": None})
    assert (amounts.price, amounts.unused, amounts.due, amounts.balance_after) == (0, 0, 900, 0)
    assert taxes.of_invoice(invoice | {"automatic_tax": None, "total_taxes": None}) is None


def test_a_payment_of_an_invoice_that_names_no_intent_is_passed_over() -> None:
    paid = {"status": "paid", "payment": {"payment_intent": {"id": "pi_1"}}}
    for other in ({"status": "paid", "payment": None}, {"status": "paid", "payment": {}}):
        assert invoices.payment_id({"payments": {"data": [other, paid]}}) == "pi_1"


@pytest.mark.parametrize(
    ("amount", "balance", "due", "after"),
    [
        (0, 0, 0, 0),
        (-300, -100, 0, -400),
        (0, -100, 0, -100),
        (900, -900, 0, 0),
        (900, -851, 0, 49),
        (900, -850, 50, 0),
        (900, -901, 0, -1),
        (1, 0, 0, 1),
        (900, 100, 1000, 0),
    ],
)
def test_what_an_invoice_charges_and_leaves_in_the_customers_balance(
    amount: int, balance: int, due: int, after: int
) -> None:
    lines = {"data": [{"amount": amount + 7}, {"amount": -7}, {"amount": 0}]}
    read = invoice_amounts.read(
        {"currency": "usd", "total": amount, "starting_balance": balance, "lines": lines}
    )
    assert (read.due, read.balance_after) == (due, after)
    assert read.price - read.unused == amount
    assert read.credit_used - read.credit_added == min(0, after) - min(0, balance)
    assert min(read.credit_used, read.credit_added) == 0
    assert read.added_to_next_invoice == max(0, after)


@pytest.mark.parametrize("tax", [None, {}, {"enabled": False}])
def test_a_session_or_invoice_without_stripe_tax_has_none(tax: Any) -> None:
    assert taxes.of_session({"automatic_tax": tax, "total_details": None}) is None
    assert taxes.of_invoice({"automatic_tax": tax}) is None


@pytest.mark.parametrize("missing", [None, {}])
def test_tax_without_an_address_or_amount_is_zero_in_no_country(missing: Any) -> None:
    session = {"automatic_tax": {"enabled": True}, "total_details": missing, "amount_total": None}
    read = taxes.of_session(session | {"customer_details": missing})
    assert read == taxes.Tax(amount=0, added=0, country="", tax_id="")
    session = {"automatic_tax": {"enabled": True}, "amount_subtotal": 900, "amount_total": 1071}
    details = {"amount_tax": 171, "amount_discount": None}
    read = taxes.of_session(
        session | {"total_details": details, "customer_details": {"address": missing, "tax_ids": None}}
    )
    assert read == taxes.Tax(amount=171, added=171, country="", tax_id="")


@pytest.mark.parametrize("metadata", [None, {}, {"purchase": "pur_unknown"}])
def test_a_payment_that_names_no_purchase_of_ours_changes_nothing(db: None, metadata: Any) -> None:
    intent = {"id": "pi_1", "status": "succeeded", "metadata": metadata}
    assert fulfilment.apply_payment_intent(intent, stripe_objects.as_datetime(START)) is None


@pytest.mark.parametrize(
    ("line", "interval"),
    [
        ({"pricing": {"price_details": {"price": "price_2"}}}, "year"),
        ({"price": {"id": "price_2"}}, "year"),  # of an API version before 2025-03-31
        ({"plan": {"id": "price_2"}}, "year"),
        ({"pricing": None}, "month"),
        ({"pricing": {"price_details": {"price": "price_2"}}, "amount": 0}, "month"),
    ],
    ids=str,
)
def test_a_renewals_purchase_has_the_price_that_its_invoice_charges_or_that_of_the_subscription(
    payload: dict[str, Any], line: dict[str, Any], interval: str
) -> None:
    StripePrice.objects.create(
        plan_key="starter", interval="year", currency="usd", amount=9000, stripe_price_id="price_2"
    )
    invoice = {"id": "in_1", "status": "paid", "billing_reason": "subscription_cycle", "currency": "usd"}
    invoice |= {"amount_paid": 9000, "total": 9000}
    lines = [
        {"amount": 0, "period": {"start": START, "end": START + 60}},
        {"amount": 9000, "period": {"start": START + 60, "end": END}} | line,
        {"amount": -100, "period": {"start": START - 60, "end": END + 60}},  # unused time of the one before
    ]
    invoice |= {"lines": {"data": lines}}
    now = stripe_objects.as_datetime(START)

    unpaid = invoice | {"status": "open", "amount_paid": 0}
    assert invoices.record_paid_invoice(unpaid, payload, now) is None
    assert not Purchase.objects.exists()
    purchase = invoices.record_paid_invoice(invoice, payload, now)
    assert purchase is not None and purchase.interval == interval
    purchase.refresh_from_db()
    assert (purchase.period_start, purchase.period_end) == (now, stripe_objects.as_datetime(END))
