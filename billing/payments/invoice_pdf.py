"""An invoice as a PDF, with the same texts and amounts as its page.

Invariant: it shows what was stored when the invoice number was assigned; nothing is recomputed.
"""

from django.utils import formats
from django.utils.translation import gettext as _
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing.models import Purchase
from core.templatetags.money import money
from pricing.catalogue import cache as catalogue_cache

_NEXT: dict[str, XPos | YPos] = {"new_x": XPos.LMARGIN, "new_y": YPos.NEXT}


def render(purchase: Purchase) -> bytes:
    """The PDF of an invoiced purchase."""
    catalogue = catalogue_cache.current()
    page = FPDF(format="A4", unit="mm")
    page.set_title(_text(_("Invoice %(number)s") % {"number": purchase.invoice_number}))
    page.set_margin(20)
    page.add_page()
    page.set_font("Helvetica", "B", 18)
    page.cell(h=10, text=_text(catalogue.brand.name if catalogue.brand else "Refill"), **_NEXT)
    page.set_font("Helvetica", "", 10)
    if catalogue.wording:
        page.cell(h=5, text=_text(catalogue.wording.support_email), **_NEXT)
    page.ln(10)
    _head(page, purchase)
    _lines(page, purchase)
    return bytes(page.output())


def _head(page: FPDF, purchase: Purchase) -> None:
    page.set_font("Helvetica", "B", 13)
    page.cell(h=8, text=_text(_("Invoice %(number)s") % {"number": purchase.invoice_number}), **_NEXT)
    page.set_font("Helvetica", "", 10)
    if purchase.paid_at:
        day = formats.date_format(purchase.paid_at, "j F Y")
        page.cell(h=5, text=_text(_("Paid on %(day)s") % {"day": day}), **_NEXT)
    page.cell(h=5, text=_text(purchase.public_id), **_NEXT)
    page.ln(6)
    buyer = purchase.billed_to
    for line in [buyer.get("name"), *str(buyer.get("address") or "").splitlines(), buyer.get("email")]:
        if line:
            page.cell(h=5, text=_text(line), **_NEXT)
    if buyer.get("tax_id"):
        page.cell(h=5, text=_text(_("Tax ID: %(id)s") % {"id": buyer["tax_id"]}), **_NEXT)
    page.ln(8)


def _lines(page: FPDF, purchase: Purchase) -> None:
    lines = [(purchase.label, money(purchase.list_amount, purchase.currency))]
    if purchase.price != purchase.list_amount:
        discount = purchase.price - purchase.list_amount
        name = purchase.promotion_code or _("Sale")
        lines.append((_("Discount (%(name)s)") % {"name": name}, money(discount, purchase.currency)))
    if purchase.tax and purchase.total != purchase.price:
        lines.append((_("Tax"), money(purchase.tax, purchase.currency)))
    lines.append((_("Total"), money(purchase.total, purchase.currency)))
    if purchase.tax and purchase.total == purchase.price:
        lines.append((_("Tax included in the total"), money(purchase.tax, purchase.currency)))
    if purchase.balance_used:
        lines.append((_("Paid from your credit balance"), money(-purchase.balance_used, purchase.currency)))
        lines.append((_("Paid"), money(purchase.amount, purchase.currency)))
    if purchase.refunded:
        lines.append((_("Refunded"), money(-purchase.refunded, purchase.currency)))
    for number, (name, amount) in enumerate(lines):
        page.set_font("Helvetica", "B" if number == len(lines) - 1 else "", 10)
        page.cell(120, 8, _text(name), border="B")
        page.cell(0, 8, _text(amount), border="B", align="R", **_NEXT)


def _text(value: object) -> str:
    """Text in Latin-1, which is all the core fonts have: other characters become a currency code or "?"."""
    plain = (
        str(value).replace("\u00a0", " ").replace("\u202f", " ").replace("€", "EUR ").replace("CN¥", "CNY ")
    )
    return plain.encode("latin-1", "replace").decode("latin-1")
