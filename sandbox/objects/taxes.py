"""Stripe Tax: a table of rates by country, and the tax of the lines of a session or an invoice.

The rates are the standard rates of these countries in 2026; the sandbox's account is registered in all of
them and collects nothing elsewhere. Invariant: an inclusive tax is part of the line's amount, an exclusive
one is added to it. A business with a tax id in the European Union or the United Kingdom accounts for the tax
itself (reverse charge). https://docs.stripe.com/tax/checkout and https://docs.stripe.com/tax/calculating
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox import errors, store
from sandbox.objects import amounts
from sandbox.store import Body

PERCENT = {
    **{
        "AT": "20",
        "BE": "21",
        "DE": "19",
        "ES": "21",
        "FR": "20",
        "IE": "23",
        "IT": "22",
        "NL": "21",
        "PL": "23",
    },
    **{"AU": "10", "CA": "5", "CH": "8.1", "GB": "20", "JP": "10", "NZ": "15", "SG": "9"},
}
REVERSE_CHARGE = {"AT", "BE", "DE", "ES", "FR", "GB", "IE", "IT", "NL", "PL"}
TAX_ID_TYPES = {
    "GB": "gb_vat",
    "AU": "au_abn",
    "CH": "ch_vat",
    "JP": "jp_trn",
    "NZ": "nz_gst",
    "SG": "sg_gst",
}


def tax_ids(country: str, value: str) -> list[dict[str, str]]:
    """The tax ids of a customer who entered `value`. https://docs.stripe.com/tax/checkout/tax-ids"""
    return [{"type": TAX_ID_TYPES.get(country, "eu_vat"), "value": value}] if value else []


def check_session(params: dict[str, Any], customer: Body) -> None:
    """Raise StripeError where Checkout could not save what it collects to an existing customer.

    https://docs.stripe.com/tax/checkout#existing-customers
    """
    update = params.get("customer_update") or {}
    automatic = (params.get("automatic_tax") or {}).get("enabled")
    if automatic and update.get("address") != "auto" and not country_of(customer):
        raise errors.StripeError(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid"
            " address to the Customer or set either `customer_update[address]` to 'auto' or"
            " `customer_update[shipping]` to 'auto' to save the address entered in Checkout to the Customer.",
            code="customer_tax_location_invalid",
        )
    if (params.get("tax_id_collection") or {}).get("enabled") and update.get("name") != "auto":
        raise errors.StripeError(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection"
            " for an existing customer, please set `customer_update[name]` to `auto`."
        )


def country_of(customer: Body) -> str:
    return str((customer.get("address") or {}).get("country") or "")


def tax_of(amount: int, currency: str, price: Body, country: str, ids: list[Any]) -> dict[str, Any]:
    """The tax of a line: an entry of its `taxes`. Raises StripeError for a price without tax behaviour."""
    behaviour = price["tax_behavior"]
    if behaviour == "unspecified":
        raise errors.StripeError(
            f"You must specify `tax_behavior` on the price {price['id']} to use automatic tax.",
            param="automatic_tax",
        )
    percent = Decimal(PERCENT.get(country, "0"))
    reason = "standard_rated" if percent else "not_collecting"
    if percent and ids and country in REVERSE_CHARGE:
        percent, reason = Decimal(0), "reverse_charge"
    base = Decimal(amount)
    tax = base * percent / (100 + percent) if behaviour == "inclusive" else base * percent / 100
    step = amounts.step(currency)
    rounded = int((tax / step).quantize(Decimal(1), ROUND_HALF_UP)) * step
    return {
        "amount": rounded,
        "tax_behavior": behaviour,
        "tax_rate_details": {"tax_rate": f"txr_sandbox_{country or 'none'}"},
        "taxability_reason": reason,
        "taxable_amount": amount - (rounded if behaviour == "inclusive" else 0),
        "type": "tax_rate_details",
    }


def added(tax: dict[str, Any]) -> int:
    """The part of a tax that is not within the line's amount."""
    return int(tax["amount"]) if tax["tax_behavior"] == "exclusive" else 0


def apply_to_session(session: Body, country: str, ids: list[Any]) -> None:
    """Tax the lines of a session whose buyer has entered an address, and compute its totals again."""
    if not session["automatic_tax"]["enabled"]:
        return
    if not country:
        raise errors.StripeError("Enter your country.", code="customer_tax_location_invalid")
    for line in session["_line_items"]:
        tax = tax_of(line["amount_subtotal"], line["currency"], line["price"], country, ids)
        line |= {"amount_tax": tax["amount"], "amount_total": line["amount_subtotal"] + added(tax)}
    session["automatic_tax"]["status"] = "complete"
    session["amount_total"] = sum(line["amount_total"] for line in session["_line_items"])
    session["total_details"]["amount_tax"] = sum(line["amount_tax"] for line in session["_line_items"])
    store.save(session)


def apply_to_invoice(invoice: Body) -> None:
    """Tax the lines of an invoice of a subscription with automatic tax by its customer's address.

    https://docs.stripe.com/tax/subscriptions
    """
    if not invoice["automatic_tax"]["enabled"]:
        return
    customer = store.get("customer", invoice["customer"])
    country, ids = country_of(customer), customer.get("_tax_ids") or []
    totals: dict[tuple[str, str], dict[str, Any]] = {}
    for line in invoice["lines"]["data"]:
        price = store.get("price", line["pricing"]["price_details"]["price"])
        tax = tax_of(line["amount"], line["currency"], price, country, ids)
        line["taxes"] = [tax]
        key = (tax["tax_behavior"], tax["taxability_reason"])
        if key not in totals:
            totals[key] = tax | {"amount": 0, "taxable_amount": 0}
        for name in ("amount", "taxable_amount"):
            totals[key][name] += tax[name]
    invoice |= {"total_taxes": list(totals.values()), "customer_tax_ids": list(ids)}
    invoice["automatic_tax"]["status"] = "complete" if country else "requires_location_inputs"
