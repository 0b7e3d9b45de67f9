"""An invoice as a PDF: the same words and figures as its page.

Invariant: it says what was fixed when the invoice got its number; nothing is computed anew.
"""

from django.utils import formats
from django.utils.translation import gettext as _
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing.models import Purchase
from core.templatetags.money import money
from pricing.catalogue import cache as catalogue_cache

_NEXT: dict[str, XPos | YPos] = {"new_x": XPos.LMARGIN, "new_y": YPos.NEXT}


def of(purchase: Purchase) -> bytes:
    """The PDF of an invoiced purchase."""
    opened = catalogue_cache.current()
    page = FPDF(format="A4", unit="mm")
    page.set_title(_text(_("Invoice %(number)s") % {"number": purchase.invoice_number}))
    page.set_margin(20)
    page.add_page()
    page.set_font("Helvetica", "B", 18)
    page.cell(0, 10, _text(opened.brand.name if opened.brand else "Refill"), **_NEXT)
    page.set_font("Helvetica", "", 10)
    if opened.wording:
        page.cell(0, 5, _text(opened.wording.support_email), **_NEXT)
    page.ln(10)
    _head(page, purchase)
    _lines(page, purchase)
    return bytes(page.output())


def _head(page: FPDF, purchase: Purchase) -> None:
    page.set_font("Helvetica", "B", 13)
    page.cell(0, 8, _text(_("Invoice %(number)s") % {"number": purchase.invoice_number}), **_NEXT)
    page.set_font("Helvetica", "", 10)
    if purchase.paid_at:
        day = formats.date_format(purchase.paid_at, "j F Y")
        page.cell(0, 5, _text(_("Paid on %(day)s") % {"day": day}), **_NEXT)
    page.cell(0, 5, _text(purchase.public_id), **_NEXT)
    page.ln(6)
    told = purchase.billed_to
    for line in [told.get("name"), *str(told.get("address") or "").splitlines(), told.get("email")]:
        if line:
            page.cell(0, 5, _text(line), **_NEXT)
    if told.get("tax_id"):
        page.cell(0, 5, _text(_("Tax ID: %(id)s") % {"id": told["tax_id"]}), **_NEXT)
    page.ln(8)


def _lines(page: FPDF, purchase: Purchase) -> None:
    rows = [(purchase.label, money(purchase.list_amount, purchase.currency))]
    if purchase.amount != purchase.list_amount:
        off = purchase.amount - purchase.list_amount
        name = purchase.promotion_code or _("Sale")
        rows.append((_("Discount (%(name)s)") % {"name": name}, money(off, purchase.currency)))
    rows.append((_("Total"), money(purchase.amount, purchase.currency)))
    if purchase.refunded:
        rows.append((_("Refunded"), money(-purchase.refunded, purchase.currency)))
    for number, (name, amount) in enumerate(rows):
        page.set_font("Helvetica", "B" if number == len(rows) - 1 else "", 10)
        page.cell(120, 8, _text(name), border="B")
        page.cell(0, 8, _text(amount), border="B", align="R", **_NEXT)


def _text(words: object) -> str:
    """The core fonts know Latin-1; signs beyond it become their code or a question mark, never an error."""
    plain = (
        str(words).replace("\u00a0", " ").replace("\u202f", " ").replace("€", "EUR ").replace("CN¥", "CNY ")
    )
    return plain.encode("latin-1", "replace").decode("latin-1")
