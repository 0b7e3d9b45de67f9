"""The payment form of the hosted pages: its fields, their validation and the submitted payment method.

Invariant: the number and security code of a card, and an IBAN, are neither stored nor shown again.
"""

import dataclasses
import re
from datetime import datetime
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from sandbox.objects import payment_methods, stripe_test_cards
from sandbox.objects.checkout_payments import Submission
from sandbox.store import Body


@dataclasses.dataclass
class PaymentForm:
    """`types` and `saved` methods to choose from, submitted values, errors by field name.

    `decline` is the message of the last failed attempt.
    """

    types: list[str]
    saved: list[Body]
    email: str = ""
    chosen: str = ""
    name: str = ""
    iban: str = ""
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    decline: str = ""
    asks_country: bool = False
    asks_tax_id: bool = False
    country: str = ""
    tax_id: str = ""

    def __post_init__(self) -> None:
        if not self.chosen:
            self.chosen = self.saved[0]["id"] if self.saved else self.types[0]

    @property
    def choices(self) -> list[dict[str, Any]]:
        """Radio buttons: saved methods first, then the types."""
        found = [
            {"value": method["id"], "label": _saved_label(method), "type": "saved"} for method in self.saved
        ]
        found += [{"value": name, "label": payment_methods.NAMES[name], "type": name} for name in self.types]
        return [choice | {"checked": choice["value"] == self.chosen} for choice in found]

    def read(self, data: QueryDict, now: datetime) -> Submission | None:
        """The submitted payment method; None when `errors` is not empty."""
        self.chosen = data.get("method", self.chosen)
        self.name = data.get("name", "").strip()[:200]
        self.country = data.get("country", "").strip().upper()[:2] if self.asks_country else ""
        self.tax_id = data.get("tax_id", "").strip()[:40] if self.asks_tax_id else ""
        if self.asks_country and not re.fullmatch("[A-Z]{2}", self.country):
            self.errors["country"] = _("Enter the two letters of your country, such as DE.")
        saved = {method["id"]: method for method in self.saved}
        if self.chosen in saved:
            return None if self.errors else self._submission(saved[self.chosen]["type"], saved=self.chosen)
        if self.chosen not in self.types:
            self.errors["method"] = _("Choose a payment method.")
            self.chosen = self.types[0]
        card = None
        if self.chosen == "card":
            card, invalid = stripe_test_cards.read_form(
                number=data.get("number", ""),
                expiry=data.get("expiry", ""),
                cvc=data.get("cvc", ""),
                year=now.year,
                month=now.month,
            )
            self.errors |= invalid
        if self.chosen == "sepa_debit":
            self.iban = re.sub(r"\s", "", data.get("iban", "")).upper()
            if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", self.iban):
                self.errors["iban"] = _("Your IBAN is invalid.")
        if self.errors:
            return None
        return self._submission(self.chosen, name=self.name, card=card, iban=self.iban)

    def _submission(self, kind: str, **fields: Any) -> Submission:
        return Submission(type=kind, country=self.country, tax_id=self.tax_id, **fields)


def _saved_label(method: Body) -> str:
    if method["type"] != "card":
        return str(payment_methods.NAMES[method["type"]])
    card = method["card"]
    return _("%(brand)s ending in %(last4)s") % {"brand": card["brand"].title(), "last4": card["last4"]}
