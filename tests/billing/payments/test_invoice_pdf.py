"""The PDF of an invoice: its lines, their places on the page, and which of them a purchase has."""

import base64
import re
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils import translation
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from accounts.models import Account
from billing.models import Purchase
from billing.payments import invoice_pdf
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue

pytestmark = pytest.mark.django_db
PAID = datetime(2027, 3, 5, 12, tzinfo=UTC)
ID = UUID("01a738ef-b600-7000-8b45-a29bba325bf5")
BUYER = {"name": "Zoë Łuk", "address": "1 Road\nTown", "email": "z@example.com", "tax_id": "DE1"}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, float, str]]:
    """Of each text of the next invoice: font and size, mm from the left and the upper edge, text."""
    texts: list[tuple[str, float, float, str]] = []

    class Recording(Canvas):
        def drawString(self, x: float, y: float, text: str, *args: Any, **more: Any) -> None:
            font = f"{self._fontname} {self._fontsize:g}"
            texts.append((font, round(x / mm, 1), round((A4[1] - y) / mm, 1), text))
            super().drawString(x, y, text, *args, **more)

    monkeypatch.setattr(invoice_pdf, "Canvas", Recording)
    return texts


def invoice(account: Account, **fields: Any) -> bytes:
    values: dict[str, Any] = {"label": "Small", "currency": "usd", "amount": 1000, "list_amount": 1000}
    values |= {"account": account, "paid_at": PAID, "invoice_number": "2027-000007", "credits": Decimal(1)}
    return invoice_pdf.render(Purchase(**values | fields))


def streams(pdf: bytes) -> bytes:
    """All streams of the file, uncompressed."""
    found = []
    for head, body in re.findall(rb"(<<[^>]*>>)\s*stream\s*\n(.*?)endstream", pdf, re.S):
        data = base64.a85decode(body.strip().removesuffix(b"~>")) if b"ASCII85" in head else body
        found.append(zlib.decompress(data))
    return b"\n".join(found)


REGULAR, BOLD, SONG = "NotoSans 10", "NotoSans-Bold", "STSong-Light 10"
# font and size, mm from the left and the upper edge, text
PAGE = [
    (f"{BOLD} 18", 20.0, 30.0, "Refly"),
    (REGULAR, 20.0, 35.0, "support@refly.example"),
    (f"{BOLD} 13", 20.0, 53.0, "Invoice 2027-000007"),
    (REGULAR, 20.0, 58.0, "Paid on 5 March 2027"),
    (REGULAR, 20.0, 63.0, "pur_01a738efb60070008b45a29bba325bf5"),
    (REGULAR, 20.0, 74.0, "Zoë Łuk"),
    (REGULAR, 20.0, 79.0, "1 Road"),
    (REGULAR, 20.0, 84.0, "Town"),
    (REGULAR, 20.0, 89.0, "z@example.com"),
    (REGULAR, 20.0, 94.0, "Tax ID: DE1"),
]
LINES = [
    ("Small", "$12.00"),
    ("Discount (TENTH)", "-$2.00"),
    ("Tax", "$1.90"),
    ("Total", "$11.90"),
    ("Paid from your credit balance", "-$1.00"),
    ("Paid", "$10.90"),
    ("Refunded", "-$0.50"),
]


def test_an_invoice_with_every_line(account: Account, drawn: list[Any]) -> None:
    amounts = {"tax": 190, "amount": 1090, "list_amount": 1200, "balance_used": 100, "refunded": 50}
    pdf = invoice(
        account, id=ID, billed_to=BUYER, promotion_code="TENTH", tax_behavior="exclusive", **amounts
    )
    assert drawn[:10] == PAGE
    rows = drawn[10:]
    assert [(name[3], amount[3]) for name, amount in pairs(rows)] == LINES
    assert [name[:3] for name, _ in pairs(rows)][:2] == [(REGULAR, 20.0, 110.0), (REGULAR, 20.0, 118.0)]
    assert {font for font, *_ in rows[:-2]} == {REGULAR}
    assert [font for font, *_ in rows[-2:]] == [f"{BOLD} 10"] * 2
    ends = {round(x + stringWidth(text, font.split()[0], 10) / mm) for font, x, _, text in rows[1::2]}
    assert ends == {190}, "amounts end at the right margin"
    assert pdf.startswith(b"%PDF-") and b"Invoice 2027-000007" in pdf


def test_the_day_of_the_payment_is_that_of_the_accounts_zone_as_on_the_page(
    account: Account, drawn: list[Any]
) -> None:
    account.zone = "Asia/Tokyo"
    invoice(account, paid_at=PAID.replace(hour=15))
    assert "Paid on 6 March 2027" in [text for *_rest, text in drawn]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Zażółć Łukaszewicz", [(REGULAR, "Zażółć Łukaszewicz")]),
        ("Иван Ελένη", [(REGULAR, "Иван Ελένη")]),
        (
            "北京 Acme 有限公司",
            [("STSong-Light 10", "北京"), (REGULAR, " Acme "), ("STSong-Light 10", "有限公司")],
        ),
        ("山田", [("STSong-Light 10", "山田")]),
        ("김민수 Kim", [("HYSMyeongJo-Medium 10", "김민수"), (REGULAR, " Kim")]),
        ("\u1100\u1175\u11b7", [("HYSMyeongJo-Medium 10", "김")]),
        ("金 김", [("STSong-Light 10", "金"), (REGULAR, " "), ("HYSMyeongJo-Medium 10", "김")]),
    ],
)
def test_names_are_in_their_own_script(
    account: Account, drawn: list[Any], name: str, parts: list[tuple[str, str]]
) -> None:
    pdf = invoice(account, billed_to={"name": name})
    written = [(font, text) for font, _x, y, text in drawn if y == 74.0]
    assert written == parts
    starts = [x for _font, x, y, _text in drawn if y == 74.0]
    assert starts == sorted(set(starts)), "the parts follow each other"
    assert b"?" not in "".join(text for *_rest, text in drawn).encode()
    assert (b"/STSong-Light" in pdf) == any(font.startswith("STSong") for font, _ in parts)


def test_the_letters_of_a_name_are_embedded_and_can_be_copied(account: Account) -> None:
    pdf = invoice(account, billed_to={"name": "Łukasz"})
    assert b"+NotoSans-Regular" in pdf and b"<0141>" in streams(pdf)
    assert len(pdf) < 100_000, "only the letters that are used"


def pairs(rows: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(rows[::2], rows[1::2], strict=True))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [("Small", "$10.00"), ("Total", "$10.00")]),
        ({"list_amount": 1200}, [("Small", "$12.00"), ("Discount (Sale)", "-$2.00"), ("Total", "$10.00")]),
        (
            {"tax": 100, "tax_behavior": "inclusive"},
            [("Small", "$10.00"), ("Total", "$10.00"), ("Tax included in the total", "$1.00")],
        ),
        (
            {"tax": 100, "amount": 1100, "tax_behavior": "exclusive"},
            [("Small", "$10.00"), ("Tax", "$1.00"), ("Total", "$11.00")],
        ),
        (
            {"period_start": PAID, "period_end": PAID.replace(month=4)},
            [("Small, 5 Mar 2027 – 5 Apr 2027", "$10.00"), ("Total", "$10.00")],
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
    account: Account, drawn: list[Any], fields: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    invoice(account, **fields)
    rows = [text for _font, _x, y, text in drawn if y > 70]
    assert pairs(rows) == expected


def test_the_buyer_may_be_unknown_and_no_catalogue_loaded(account: Account, drawn: list[Any]) -> None:
    Catalogue.objects.all().delete()
    catalogue_cache.changed()
    invoice(account, id=ID, paid_at=None)
    assert [text for *_place, text in drawn][:3] == [
        "Refill",
        "Invoice 2027-000007",
        Purchase(id=ID).public_id,
    ]


def test_an_invoice_is_in_the_language_of_its_reader(account: Account, drawn: list[Any]) -> None:
    with translation.override("zh-hans"):
        invoice(account, label="2 × Small pack (1000 credits)")
    texts = "".join(text for *_rest, text in drawn)
    assert "2027年3月5日" in texts and "小型充值包" in texts and "US$10.00" in texts
    assert {font for font, *_rest, text in drawn if "年" in text} == {SONG}
