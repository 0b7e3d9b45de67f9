"""The form of a hosted page where somebody pays or saves a card: fields, what is wrong with them, what
they yield.

Invariant: the card's number and security code live for one request; neither is stored or shown again.
"""

import dataclasses
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import QueryDict
from django.utils.translation import gettext as _

from sandbox.objects import payment_methods, stripe_test_cards
from sandbox.objects.checkout_payments import Buyer
from sandbox.store import Body


@dataclasses.dataclass
class PaymentForm:
    """What the page shows: offered methods, saved cards, values typed so far, errors by field name."""

    kinds: list[str]
    saved: list[Body]
    email: str = ""
    email_is_fixed: bool = False
    asks_email: bool = True
    asks_address: bool = False
    offers_saving: bool = False
    chosen: str = ""
    name: str = ""
    address: dict[str, str] = dataclasses.field(default_factory=dict)
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    refusal: str = ""

    def __post_init__(self) -> None:
        if not self.chosen:
            self.chosen = self.saved[0]["id"] if self.saved else self.kinds[0]

    @property
    def choices(self) -> list[dict[str, Any]]:
        """Saved cards first, then the kinds of method, as radio buttons."""
        found = [
            {"value": method["id"], "label": saved_label(method), "kind": "saved"} for method in self.saved
        ]
        found += [{"value": kind, "label": payment_methods.NAMES[kind], "kind": kind} for kind in self.kinds]
        return [choice | {"checked": choice["value"] == self.chosen} for choice in found]


def saved_label(method: Body) -> str:
    if method["type"] != "card":
        return str(payment_methods.NAMES[method["type"]])
    card = method["card"]
    return _("%(brand)s ending in %(last4)s") % {"brand": card["brand"].title(), "last4": card["last4"]}


ADDRESS = ("line1", "city", "postal_code", "country")


def read(form: PaymentForm, data: QueryDict, now: datetime) -> Buyer | None:
    """What the buyer entered; None when something is wrong, which then stands in `form.errors`."""
    form.chosen = data.get("method", form.chosen)
    form.name = data.get("name", "").strip()[:200]
    if form.asks_email and not form.email_is_fixed:
        form.email = data.get("email", "").strip()
        try:
            validate_email(form.email)
        except ValidationError:
            form.errors["email"] = _("Enter an e-mail address, for the receipt.")
    if form.asks_address:
        form.address = {name: data.get(name, "").strip()[:200] for name in ADDRESS}
        for name in ADDRESS:
            if not form.address[name]:
                form.errors[name] = _("Fill this in: it stands on the invoice.")
    saved = {method["id"]: method for method in form.saved}
    if form.chosen in saved:
        buyer = Buyer(
            email=form.email, kind=saved[form.chosen]["type"], saved=form.chosen, address=form.address or None
        )
        return None if form.errors else buyer
    if form.chosen not in form.kinds:
        form.errors["method"] = _("Choose how to pay.")
        form.chosen = form.kinds[0]
    entered = None
    if form.chosen == "card":
        entered, wrong = stripe_test_cards.read_form(
            number=data.get("number", ""),
            expiry=data.get("expiry", ""),
            cvc=data.get("cvc", ""),
            year=now.year,
            month=now.month,
        )
        form.errors |= wrong
    if form.errors:
        return None
    return Buyer(
        email=form.email,
        kind=form.chosen,
        name=form.name,
        card=entered,
        save_card=form.offers_saving and data.get("save") == "on",
        address=form.address or None,
    )
