"""The PDF of an invoice: its lines, their places on the page, and which of them a purchase has."""

import re
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from accounts.models import Account
from billing.models import Purchase
from billing.payments import invoice_pdf
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue

pytestmark = pytest.mark.django_db
PAID = datetime(2027, 3, 5, 12, tzinfo=UTC)
ID = UUID("01a738ef-b600-7000-8b45-a29bba325bf5")
BUYER = {"name": "Zoë Łuk", "address": "1 Road\nTown", "email": "z@example.com", "tax_id": "DE1"}


def invoice(account: Account, **fields: Any) -> bytes:
    values: dict[str, Any] = {"label": "Small", "currency": "usd", "amount": 1000, "list_amount": 1000}
    values |= {"account": account, "paid_at": PAID, "invoice_number": "2027-000007", "credits": Decimal(1)}
    return invoice_pdf.render(Purchase(**values | fields))


def shown(pdf: bytes) -> list[tuple[str, float, float, str, float]]:
    """Of each text: font and size, mm from the left and the upper edge, text, mm of its border's end."""
    stream = zlib.decompress(re.findall(rb"stream\n(.*?)\nendstream", pdf, re.S)[0]).decode("latin-1")
    found, font = [], ""
    for line in stream.splitlines():
        if match := re.search(r"/(F\d [\d.]+) Tf", line):
            font = match[1]
        if match := re.search(r"BT ([\d.]+) ([\d.]+) Td \((.*)\) Tj", line):
            border = re.search(r"m ([\d.]+) [\d.]+ l S", line)
            x, y, end = float(match[1]), 841.89 - float(match[2]), float(border[1]) if border else 0
            found.append((font, _mm(x), _mm(y), match[3], _mm(end)))
    return found


def _mm(points: float) -> float:
    return round(points / 72 * 25.4, 1)


def lines(pdf: bytes) -> list[tuple[str, str]]:
    """The names and amounts of the lines with a border."""
    cells = [text for *_place, text, end in shown(pdf) if end]
    return list(zip(cells[::2], cells[1::2], strict=True))


# font and size, mm from the left and the upper edge, text, mm of the border's end
PAGE = [
    ("F1 18.00", 21.0, 26.9, "Refly", 0.0),
    ("F2 10.00", 21.0, 33.6, "support@refly.example", 0.0),
    ("F1 13.00", 21.0, 50.4, "Invoice 2027-000007", 0.0),
    ("F2 10.00", 21.0, 56.6, "Paid on 5 March 2027", 0.0),
    ("F2 10.00", 21.0, 61.6, "pur_01a738efb60070008b45a29bba325bf5", 0.0),
    ("F2 10.00", 21.0, 72.6, "Zoë ?uk", 0.0),
    ("F2 10.00", 21.0, 77.6, "1 Road", 0.0),
    ("F2 10.00", 21.0, 82.6, "Town", 0.0),
    ("F2 10.00", 21.0, 87.6, "z@example.com", 0.0),
    ("F2 10.00", 21.0, 92.6, "Tax ID: DE1", 0.0),
    ("F2 10.00", 21.0, 107.1, "Small", 140.0),
    ("F2 10.00", 178.2, 107.1, "$12.00", 190.0),
    ("F2 10.00", 21.0, 115.1, "Discount \\(TENTH\\)", 140.0),
    ("F2 10.00", 179.0, 115.1, "-$2.00", 190.0),
    ("F2 10.00", 21.0, 123.1, "Tax", 140.0),
    ("F2 10.00", 180.2, 123.1, "$1.90", 190.0),
    ("F2 10.00", 21.0, 131.1, "Total", 140.0),
    ("F2 10.00", 178.2, 131.1, "$11.90", 190.0),
    ("F2 10.00", 21.0, 139.1, "Paid from your credit balance", 140.0),
    ("F2 10.00", 179.0, 139.1, "-$1.00", 190.0),
    ("F2 10.00", 21.0, 147.1, "Paid", 140.0),
    ("F2 10.00", 178.2, 147.1, "$10.90", 190.0),
    ("F1 10.00", 21.0, 155.1, "Refunded", 140.0),
    ("F1 10.00", 179.0, 155.1, "-$0.50", 190.0),
]


def test_an_invoice_with_every_line(account: Account) -> None:
    amounts = {"tax": 190, "amount": 1090, "list_amount": 1200, "balance_used": 100, "refunded": 50}
    pdf = invoice(
        account, id=ID, billed_to=BUYER, promotion_code="TENTH", tax_behavior="exclusive", **amounts
    )
    assert shown(pdf) == PAGE
    assert re.findall(rb"/Title \((.*)\)", pdf) == [b"Invoice 2027-000007"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [("Small", "$10.00"), ("Total", "$10.00")]),
        ({"list_amount": 1200}, [("Small", "$12.00"), (r"Discount \(Sale\)", "-$2.00"), ("Total", "$10.00")]),
        (
            {"tax": 100, "tax_behavior": "inclusive"},
            [("Small", "$10.00"), ("Total", "$10.00"), ("Tax included in the total", "$1.00")],
        ),
        (
            {"tax": 100, "amount": 1100, "tax_behavior": "exclusive"},
            [("Small", "$10.00"), ("Tax", "$1.00"), ("Total", "$11.00")],
        ),
        ({"refunded": 1}, [("Small", "$10.00"), ("Total", "$10.00"), ("Refunded", "-$0.01")]),
        (
            {"balance_used": 1, "amount": 999},
            [
                ("Small", "$10.00"),
                ("Total", "$10.00"),
                ("Paid from your credit balance", "-$0.01"),
                ("Paid", "$9.99"),
            ],
        ),
    ],
    ids=str,
)
def test_an_invoice_has_the_lines_of_its_purchase(
    account: Account, fields: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert lines(invoice(account, **fields)) == expected


def test_the_buyer_may_be_unknown_and_no_catalogue_loaded(account: Account) -> None:
    Catalogue.objects.all().delete()
    catalogue_cache.changed()
    head = [text for *_place, text, end in shown(invoice(account, id=ID, paid_at=None)) if not end]
    assert head == ["Refill", "Invoice 2027-000007", Purchase(id=ID).public_id]
