"""How much of a withdrawn plan payment is taken from the balance, by its invoices at Stripe."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Purchase
from billing.refunds import credit_balances

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P22", "P25")]
START, END = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
Invoice = dict[str, Any]


@pytest.fixture
def payment(account: Account) -> Callable[..., Purchase]:
    """The payment of a year, by invoice in_1: `payment(period_start=None)`."""

    def make(**fields: Any) -> Purchase:
        values: dict[str, Any] = {"kind": "plan", "origin": "page", "idempotency_key": "k", "currency": "usd"}
        values |= {"credits": Decimal(0), "amount": 9900, "list_amount": 9900, "status": "paid"}
        values |= {"paid_at": START, "created_at": START, "period_start": START, "period_end": END}
        values |= {"stripe_invoice_id": "in_1", "stripe_subscription_id": "sub_1"}
        return Purchase.objects.create(account=account, **values | fields)

    return make


def invoice(total: int, *lines: dict[str, Any] | None, status: str = "paid") -> Invoice:
    return {"total": total, "status": status, "lines": {"data": [one for one in lines if one]}}


def unused(amount: int, credited: str | None = "in_1", end: datetime = END) -> dict[str, Any]:
    """A line that credits unused time. Older lines do not name the invoice."""
    details = {"proration_details": {"credited_items": {"invoice": credited} if credited else None}}
    line = {"amount": -amount, "period": {"end": int(end.timestamp())}}
    return line | {"parent": {"subscription_item_details": details} if credited else None}


OTHER_END = datetime(2027, 2, 1, tzinfo=UTC)
# invoices since the payment, newest first: what the payment left in the balance
LEFT: list[tuple[list[Invoice], int]] = [
    ([], 0),
    ([invoice(990)], 0),
    ([invoice(-6930, unused(7920))], 6930),
    ([invoice(-6930, unused(7920), {"amount": 990})], 6930),
    ([invoice(-6930, unused(7920, None))], 6930),
    ([invoice(-6930, unused(7920, None, OTHER_END))], 0),
    ([invoice(-6930, unused(7920, "in_2"))], 0),
    ([invoice(-6930, unused(7920), status="open")], 0),
    ([invoice(-6930, {"amount": 0, "period": {"end": int(END.timestamp())}})], 0),
    # later months, which the balance or the card has paid
    ([invoice(990), invoice(990), invoice(-6930, unused(7920))], 6930),
    # it paid a larger plan, whose unused time a later invoice returned
    ([invoice(11980, unused(7920))], 0),
    ([invoice(-17910, unused(19900, "in_2")), invoice(11980, unused(7920))], 7920),
    ([invoice(-5000, unused(19900, "in_2")), invoice(11980, unused(7920))], 5000),
    ([invoice(-100, unused(1, "in_2")), invoice(-6930, unused(7920))], 6930),
    ([invoice(0, unused(7920))], 0),
    ([invoice(-17910, unused(19900, "in_2")), invoice(0, unused(7920))], 7920),
    ([invoice(-1, unused(1))], 1),
]


class Balance:
    """The customer's balance at Stripe: transactions, and what the subscription's invoices are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.invoices: list[Invoice] = []
        self.transactions: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.since: list[tuple[str, datetime]] = []
        subscription = {"customer": "cus_1"}
        monkeypatch.setattr(stripe_gateway, "retrieve_subscription", lambda _id: subscription)
        monkeypatch.setattr(stripe_gateway, "list_balance_transactions", lambda _id: list(self.transactions))
        monkeypatch.setattr(stripe_gateway, "list_invoices_since", self._list)
        monkeypatch.setattr(stripe_gateway, "change_balance", self._change)

    def _list(self, subscription: str, since: datetime) -> list[Invoice]:
        self.since.append((subscription, since))
        return self.invoices

    def _change(self, **request: Any) -> None:
        self.requests.append(request)
        self.transactions.insert(0, {"amount": request["amount"], "metadata": request["metadata"]})


@pytest.fixture
def balance(monkeypatch: pytest.MonkeyPatch) -> Balance:
    return Balance(monkeypatch)


@pytest.mark.parametrize(("invoices", "left"), LEFT, ids=str)
def test_what_the_payment_left_is_taken_once_and_returned_once(
    payment: Callable[..., Purchase], balance: Balance, invoices: list[Invoice], left: int
) -> None:
    purchase = payment()
    balance.invoices = invoices
    for withdrawn in (False, True, True, False, False, True):
        credit_balances.bring_in_line(purchase, "sub_1", withdrawn=withdrawn)
    assert [request["amount"] for request in balance.requests] == ([left, -left, left] if left else [])
    assert set(balance.since) == {("sub_1", START)}
    keys = [request["key"] for request in balance.requests]
    assert keys == [f"withdrawn:{purchase.pk.hex}:{number}" for number in range(len(keys))]
    for request, word in zip(balance.requests, ("withdrawn", "returned", "withdrawn"), strict=bool(left)):
        assert (request["customer"], request["currency"]) == ("cus_1", "usd")
        assert request["description"] == f"Payment {purchase.public_id} {word}"
        assert request["metadata"] == {"purchase": purchase.public_id, "subscription": "sub_1"}


@pytest.mark.parametrize(
    ("subscription", "taken", "expected"),
    [
        ("sub_1", 0, [5000]),
        ("sub_1", 2000, [3000]),
        ("sub_1", 5000, []),
        ("sub_1", 6000, []),  # never more than all payments together have left
        ("sub_2", 2000, [5000]),
        (None, 2000, [5000]),  # a change by staff
    ],
)
def test_what_was_taken_for_other_payments_of_the_subscription_is_not_taken_again(
    payment: Callable[..., Purchase],
    balance: Balance,
    subscription: str | None,
    taken: int,
    expected: list[int],
) -> None:
    balance.invoices = [invoice(-5000, unused(19900, "in_2")), invoice(11980, unused(7920))]
    metadata = {"purchase": "pur_other", "subscription": subscription} if subscription else None
    balance.transactions = [{"amount": taken, "metadata": metadata}]
    credit_balances.bring_in_line(payment(), "sub_1", withdrawn=True)
    assert [request["amount"] for request in balance.requests] == expected


@pytest.mark.parametrize(
    ("fields", "since"),
    [
        ({"period_start": None}, START.replace(day=2)),
        ({"period_start": None, "paid_at": None, "status": "created"}, None),
        ({"stripe_invoice_id": None}, None),
        ({}, START),
    ],
    ids=str,
)
def test_invoices_are_read_since_the_payments_period_began(
    payment: Callable[..., Purchase], balance: Balance, fields: dict[str, Any], since: datetime | None
) -> None:
    balance.invoices = [invoice(-6930, unused(7920))]
    purchase = payment(**{"paid_at": START.replace(day=2)} | fields)
    credit_balances.bring_in_line(purchase, "sub_1", withdrawn=True)
    assert balance.since == ([("sub_1", since)] if since else [])
    assert len(balance.requests) == len(balance.since)
