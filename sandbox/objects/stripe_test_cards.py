"""Stripe's test cards, and the validation of card forms.

Invariant: any other number is refused, as real cards are in test mode. Card numbers are not stored, only the
last four digits and the name of the test card. https://docs.stripe.com/testing
"""

import dataclasses
import re
from typing import Any, Literal

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

Authentication = Literal["never", "unless_set_up", "always"]


@dataclasses.dataclass(frozen=True)
class TestCard:
    """The behaviour of a test card; `decline` is Stripe's decline code (https://docs.stripe.com/declines/codes)."""

    name: str
    number: str
    brand: str = "visa"
    country: str = "US"
    authentication: Authentication = "never"
    decline: str = ""
    off_session_decline: str = ""
    after_payment: Literal["", "dispute", "inquiry", "refund_fails", "refund_waits"] = ""
    description: Any = ""  # translated when it is shown

    @property
    def grouped(self) -> str:
        return " ".join(re.findall(r".{1,4}", self.number))


CARDS = (
    TestCard("visa", "4242424242424242", description=gettext_lazy("Succeeds")),
    TestCard("mastercard", "5555555555554444", brand="mastercard", description=gettext_lazy("Succeeds")),
    TestCard(
        "amex",
        "378282246310005",
        brand="amex",
        description=gettext_lazy("Succeeds; the security code has four digits"),
    ),
    TestCard(
        "chargeDeclined", "4000000000000002", decline="generic_decline", description=gettext_lazy("Declined")
    ),
    TestCard(
        "chargeDeclinedInsufficientFunds",
        "4000000000009995",
        decline="insufficient_funds",
        description=gettext_lazy("Declined: insufficient funds"),
    ),
    TestCard(
        "chargeDeclinedLostCard",
        "4000000000009987",
        decline="lost_card",
        description=gettext_lazy("Declined: lost card"),
    ),
    TestCard(
        "chargeDeclinedExpiredCard",
        "4000000000000069",
        decline="expired_card",
        description=gettext_lazy("Declined: expired card"),
    ),
    TestCard(
        "chargeDeclinedIncorrectCvc",
        "4000000000000127",
        decline="incorrect_cvc",
        description=gettext_lazy("Declined: incorrect security code"),
    ),
    TestCard(
        "chargeDeclinedProcessingError",
        "4000000000000119",
        decline="processing_error",
        description=gettext_lazy("Declined: processing error"),
    ),
    TestCard(
        "authenticationRequiredOnSetup",
        "4000002500003155",
        country="GB",
        authentication="unless_set_up",
        description=gettext_lazy("Requires 3-D Secure once; off-session payments succeed afterwards"),
    ),
    TestCard(
        "authenticationRequired",
        "4000002760003184",
        country="DE",
        authentication="always",
        description=gettext_lazy("Requires 3-D Secure for every payment; off-session payments fail"),
    ),
    TestCard(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        authentication="always",
        decline="insufficient_funds",
        description=gettext_lazy("Requires 3-D Secure, then declined: insufficient funds"),
    ),
    TestCard(
        "chargeCustomerFail",
        "4000000000000341",
        off_session_decline="generic_decline",
        description=gettext_lazy("Succeeds and can be saved; off-session payments are declined"),
    ),
    TestCard(
        "createDispute",
        "4000000000000259",
        after_payment="dispute",
        description=gettext_lazy("Succeeds, then is disputed as fraudulent"),
    ),
    TestCard(
        "createDisputeInquiry",
        "4000000000001976",
        after_payment="inquiry",
        description=gettext_lazy("Succeeds, then the bank opens an inquiry"),
    ),
    TestCard(
        "refundFail",
        "4000000000005126",
        after_payment="refund_fails",
        description=gettext_lazy("Succeeds; a refund fails after a few seconds"),
    ),
    TestCard(
        "pendingRefund",
        "4000000000007726",
        after_payment="refund_waits",
        description=gettext_lazy("Succeeds; a refund is pending, then succeeds"),
    ),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_NAME = {card.name: card for card in CARDS}

DECLINES = {
    "generic_decline": ("card_declined", "Your card was declined."),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "do_not_honor": ("card_declined", "Your card was declined."),
    "lost_card": ("card_declined", "Your card has been declined."),
    "stolen_card": ("card_declined", "Your card has been declined."),
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

# What the issuer advises; absent when it advises nothing.
# https://docs.stripe.com/declines/card#retrying-issuer-declines
ADVICE = {
    "insufficient_funds": "try_again_later",
    "lost_card": "do_not_try_again",
    "stolen_card": "do_not_try_again",
    "expired_card": "confirm_card_data",
}


@dataclasses.dataclass(frozen=True)
class Entered:
    """The valid content of a card form."""

    card: TestCard
    exp_month: int
    exp_year: int


def read_form(
    *, number: str, expiry: str, cvc: str, year: int, month: int
) -> tuple[Entered | None, dict[str, str]]:
    """The card of a form, or the errors by field name. `year` and `month` are the current ones."""
    invalid: dict[str, str] = {}
    digits = re.sub(r"[\s-]", "", number)
    card = BY_NUMBER.get(digits)
    if not digits:
        invalid["number"] = _("Enter the card number.")
    elif not digits.isascii() or not digits.isdigit() or not luhn(digits):
        invalid["number"] = _("This card number is not valid.")
    elif card is None:
        invalid["number"] = _("Only test cards are accepted. Use one of the cards listed below.")
    valid_until = _expiry(expiry)
    if valid_until is None:
        invalid["expiry"] = _("Enter the expiry date as month and year, for example 12 / 34.")
    elif valid_until < (year, month):
        invalid["expiry"] = _("This card has expired.")
    length = 4 if card and card.brand == "amex" else 3
    if not re.fullmatch(rf"[0-9]{{{length}}}", cvc.strip(), re.ASCII):
        invalid["cvc"] = _("Enter the security code (%(count)s digits).") % {"count": length}
    if invalid or card is None or valid_until is None:
        return None, invalid
    return Entered(card, valid_until[1], valid_until[0]), {}


def luhn(digits: str) -> bool:
    """Whether the check digit of a card number is correct."""
    if not 12 <= len(digits) <= 19:
        return False
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _expiry(text: str) -> tuple[int, int] | None:
    """(year, month) of "12 / 34", "1234" or "12/2034"."""
    found = re.fullmatch(r"(0?[1-9]|1[0-2])\s*/?\s*(?:20)?([0-9]{2})", text.strip(), re.ASCII)
    return (2000 + int(found[2]), int(found[1])) if found else None
