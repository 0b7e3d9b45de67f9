"""Stripe's test cards: which number does what, and what a card form must be told.

Invariant: a number that is not in this table is refused as a real card would be in test mode; no card
number is ever stored, only its last four digits and the name of its behaviour.
"""

import dataclasses
import re
from typing import Any, Literal

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

Authentication = Literal["never", "unless_set_up", "always"]


@dataclasses.dataclass(frozen=True)
class TestCard:
    """How one test card behaves; `decline` is Stripe's decline code, `later` what happens after it paid."""

    name: str
    number: str
    brand: str = "visa"
    country: str = "US"
    authentication: Authentication = "never"
    decline: str = ""
    off_session_decline: str = ""
    later: Literal["", "dispute", "refund_fails", "refund_waits"] = ""
    about: Any = ""  # translated when it is shown

    @property
    def grouped(self) -> str:
        return " ".join(re.findall(r".{1,4}", self.number))


CARDS = (
    TestCard("visa", "4242424242424242", about=gettext_lazy("Pays")),
    TestCard("mastercard", "5555555555554444", brand="mastercard", about=gettext_lazy("Pays")),
    TestCard(
        "amex", "378282246310005", brand="amex", about=gettext_lazy("Pays; its security code has four digits")
    ),
    TestCard(
        "chargeDeclined", "4000000000000002", decline="generic_decline", about=gettext_lazy("Is declined")
    ),
    TestCard(
        "chargeDeclinedInsufficientFunds",
        "4000000000009995",
        decline="insufficient_funds",
        about=gettext_lazy("Is declined: insufficient funds"),
    ),
    TestCard(
        "chargeDeclinedLostCard",
        "4000000000009987",
        decline="lost_card",
        about=gettext_lazy("Is declined: lost card"),
    ),
    TestCard(
        "chargeDeclinedExpiredCard",
        "4000000000000069",
        decline="expired_card",
        about=gettext_lazy("Is declined: expired"),
    ),
    TestCard(
        "chargeDeclinedIncorrectCvc",
        "4000000000000127",
        decline="incorrect_cvc",
        about=gettext_lazy("Is declined: wrong security code"),
    ),
    TestCard(
        "chargeDeclinedProcessingError",
        "4000000000000119",
        decline="processing_error",
        about=gettext_lazy("Is declined: processing error"),
    ),
    TestCard(
        "authenticationRequiredOnSetup",
        "4000002500003155",
        country="GB",
        authentication="unless_set_up",
        about=gettext_lazy("Asks for 3-D Secure once, then pays off-session"),
    ),
    TestCard(
        "authenticationRequired",
        "4000002760003184",
        country="DE",
        authentication="always",
        about=gettext_lazy("Asks for 3-D Secure every time; off-session payments fail"),
    ),
    TestCard(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        authentication="always",
        decline="insufficient_funds",
        about=gettext_lazy("Asks for 3-D Secure, then is declined: insufficient funds"),
    ),
    TestCard(
        "chargeCustomerFail",
        "4000000000000341",
        off_session_decline="generic_decline",
        about=gettext_lazy("Pays now and can be saved, but is declined off-session"),
    ),
    TestCard(
        "createDispute",
        "4000000000000259",
        later="dispute",
        about=gettext_lazy("Pays, then is disputed as fraudulent"),
    ),
    TestCard(
        "refundFail",
        "4000000000005126",
        later="refund_fails",
        about=gettext_lazy("Pays; a refund fails some seconds later"),
    ),
    TestCard(
        "pendingRefund",
        "4000000000007726",
        later="refund_waits",
        about=gettext_lazy("Pays; a refund waits, then succeeds"),
    ),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_NAME = {card.name: card for card in CARDS}

DECLINES = {
    "generic_decline": ("card_declined", "Your card was declined."),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "lost_card": ("card_declined", "Your card has been declined."),
    "expired_card": ("expired_card", "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", "Your card's security code is incorrect."),
    "processing_error": (
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
}


@dataclasses.dataclass(frozen=True)
class Entered:
    """What a card form yields when nothing is wrong with it."""

    card: TestCard
    exp_month: int
    exp_year: int


def read_form(
    *, number: str, expiry: str, cvc: str, year: int, month: int
) -> tuple[Entered | None, dict[str, str]]:
    """The card of a form, or the errors by field name. `year` and `month` are today's."""
    wrong: dict[str, str] = {}
    digits = re.sub(r"[\s-]", "", number)
    card = BY_NUMBER.get(digits)
    if not digits:
        wrong["number"] = _("Enter the card's number.")
    elif not digits.isascii() or not digits.isdigit() or not luhn(digits):
        wrong["number"] = _("This is not a card number: check its digits.")
    elif card is None:
        wrong["number"] = _("Only test cards work here: use one of those listed below.")
    valid_until = _expiry(expiry)
    if valid_until is None:
        wrong["expiry"] = _("Enter the expiry as month and year, for example 12 / 34.")
    elif valid_until < (year, month):
        wrong["expiry"] = _("This card's expiry is in the past.")
    length = 4 if card and card.brand == "amex" else 3
    if not re.fullmatch(rf"[0-9]{{{length}}}", cvc.strip(), re.ASCII):
        wrong["cvc"] = _("Enter the security code: %(count)s digits.") % {"count": length}
    if wrong or card is None or valid_until is None:
        return None, wrong
    return Entered(card, valid_until[1], valid_until[0]), {}


def luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right."""
    if not 12 <= len(digits) <= 19:
        return False
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _expiry(text: str) -> tuple[int, int] | None:
    """(year, month) of "12 / 34", "1234" or "12/2034"."""
    found = re.fullmatch(r"(0?[1-9]|1[0-2])\s*/?\s*(?:20)?([0-9]{2})", text.strip(), re.ASCII)
    return (2000 + int(found[2]), int(found[1])) if found else None
