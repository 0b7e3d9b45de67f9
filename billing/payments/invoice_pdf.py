"""An invoice as a PDF, with the same texts and amounts as its page.

Invariants: it shows what was stored when the invoice number was assigned, and nothing is recomputed; names
and addresses are shown in their own script: Latin, Greek and Cyrillic letters by an embedded font, Chinese,
Japanese and Korean ones by fonts that PDF readers have or replace (docs/dependencies.md).
"""

import unicodedata
from datetime import datetime
from functools import cache
from io import BytesIO
from itertools import groupby
from zoneinfo import ZoneInfo

import pymupdf_fonts
from django.utils import formats
from django.utils.translation import gettext as _
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from billing.models import Purchase
from core.templatetags.money import money
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import texts

_WIDTH, _HEIGHT = A4
_MARGIN = 20 * mm
_NAMES_WIDTH = 120 * mm
_REGULAR, _BOLD = "NotoSans", "NotoSans-Bold"
_EAST_ASIAN, _KOREAN = "STSong-Light", "HYSMyeongJo-Medium"


def render(purchase: Purchase) -> bytes:
    """The PDF of an invoiced purchase."""
    _register_fonts()
    catalogue = catalogue_cache.current()
    file = BytesIO()
    page = _Page(Canvas(file, pagesize=A4))
    title = _("Invoice %(number)s") % {"number": purchase.invoice_number}
    page.canvas.setTitle(title)
    page.line(catalogue.brand.name if catalogue.brand else "Refill", size=18, height=10, font=_BOLD)
    if catalogue.wording:
        page.line(catalogue.wording.support_email)
    page.skip(10)
    page.line(title, size=13, height=8, font=_BOLD)
    _head(page, purchase)
    rows = _rows(purchase)
    for row in rows:
        page.row(*row, font=_BOLD if row is rows[-1] else _REGULAR)
    page.canvas.save()
    return file.getvalue()


class _Page:
    """A page that is filled from its upper margin down; heights are in millimetres."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.y = _HEIGHT - _MARGIN

    def skip(self, height: float) -> None:
        self.y -= height * mm

    def line(self, text: str, *, size: float = 10, height: float = 5, font: str = _REGULAR) -> None:
        """Write a text at the left margin."""
        self.skip(height)
        self._write(_MARGIN, text, size, font)

    def row(self, name: str, amount: str, *, font: str) -> None:
        """Write a name at the left and an amount at the right margin, with a line below."""
        self.skip(8)
        self._write(_MARGIN, name, 10, font)
        width = sum(pdfmetrics.stringWidth(part, run_font, 10) for run_font, part in _runs(amount, font))
        self._write(_WIDTH - _MARGIN - width, amount, 10, font)
        self.canvas.setLineWidth(0.5)
        self.canvas.line(_MARGIN, self.y - 2.5 * mm, _WIDTH - _MARGIN, self.y - 2.5 * mm)

    def _write(self, x: float, text: str, size: float, font: str) -> None:
        for run_font, part in _runs(text, font):
            self.canvas.setFont(run_font, size)
            self.canvas.drawString(x, self.y, part)
            x += pdfmetrics.stringWidth(part, run_font, size)


@cache
def _register_fonts() -> None:
    for name, key in ((_REGULAR, "notos"), (_BOLD, "notosbo")):
        pdfmetrics.registerFont(TTFont(name, BytesIO(pymupdf_fonts.myfont(key))))
    for name in (_EAST_ASIAN, _KOREAN):
        pdfmetrics.registerFont(UnicodeCIDFont(name))


def _runs(text: str, font: str) -> list[tuple[str, str]]:
    """The text in parts of one font: `font`, or an East Asian one for characters that it lacks.

    Korean letters that are typed as several characters are joined: the Korean font has whole syllables.
    """
    glyphs = pdfmetrics.getFont(font).face.charToGlyph

    def font_of(character: str) -> str:
        if ord(character) in glyphs:
            return font
        return _KOREAN if unicodedata.name(character, "").startswith("HANGUL") else _EAST_ASIAN

    text = unicodedata.normalize("NFC", text)
    return [(run_font, "".join(part)) for run_font, part in groupby(text, font_of)]


def _head(page: _Page, purchase: Purchase) -> None:
    if purchase.paid_at:
        page.line(_("Paid on %(day)s") % {"day": _day(purchase, purchase.paid_at, "DATE_FORMAT")})
    page.line(purchase.public_id)
    page.skip(6)
    buyer = purchase.billed_to
    for line in [buyer.get("name"), *str(buyer.get("address") or "").splitlines(), buyer.get("email")]:
        if line:
            page.line(str(line))
    if buyer.get("tax_id"):
        page.line(_("Tax ID: %(id)s") % {"id": buyer["tax_id"]})
    page.skip(8)


def _day(purchase: Purchase, moment: datetime, form: str) -> str:
    """The date in the zone of the account, as pages show it."""
    return formats.date_format(moment.astimezone(ZoneInfo(purchase.account.zone)), form)


def _rows(purchase: Purchase) -> list[tuple[str, str]]:
    """Names and amounts of the lines."""
    label = texts.translated(purchase.label)
    if purchase.period_start and purchase.period_end:
        since, until = (
            _day(purchase, moment, "SHORT_DATE_FORMAT")
            for moment in (purchase.period_start, purchase.period_end)
        )
        label = f"{label}, {since} – {until}"
    rows = [(label, money(purchase.list_amount, purchase.currency))]
    if purchase.price != purchase.list_amount:
        discount = purchase.price - purchase.list_amount
        name = purchase.promotion_code or _("Sale")
        rows.append((_("Discount (%(name)s)") % {"name": name}, money(discount, purchase.currency)))
    if purchase.tax and purchase.total != purchase.price:
        rows.append((_("Tax"), money(purchase.tax, purchase.currency)))
    rows.append((_("Total"), money(purchase.total, purchase.currency)))
    if purchase.tax and purchase.total == purchase.price:
        rows.append((_("Tax included in the total"), money(purchase.tax, purchase.currency)))
    if purchase.balance_used:
        rows.append((_("Paid from your credit balance"), money(-purchase.balance_used, purchase.currency)))
        rows.append((_("Paid"), money(purchase.amount, purchase.currency)))
    if purchase.refunded:
        rows.append((_("Refunded"), money(-purchase.refunded, purchase.currency)))
    return rows
