"""Stripe's messages for declined payments, which it sends in English: marked for translation.

Purchases store the message as it was received; pages and e-mails translate it (pricing.catalogue.texts). One
that is not listed is shown in English. https://docs.stripe.com/declines/codes
"""

from django.utils.translation import gettext_noop

KNOWN = (
    gettext_noop("Your card was declined."),
    gettext_noop("Your card has been declined."),
    gettext_noop("Your card has insufficient funds."),
    gettext_noop("Your card has expired."),
    gettext_noop("Your card number is incorrect."),
    gettext_noop("Your card's security code is incorrect."),
    gettext_noop("Your card's security code is invalid."),
    gettext_noop("Your card's expiration month is invalid."),
    gettext_noop("Your card's expiration year is invalid."),
    gettext_noop("Your card is not supported."),
    gettext_noop("Your card does not support this type of purchase."),
    gettext_noop("Your card was declined. This transaction requires authentication."),
    gettext_noop(
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
    ),
    gettext_noop("An error occurred while processing your card. Try again in a little bit."),
    gettext_noop(
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new"
        " PaymentMethod to attempt to fulfill this PaymentIntent again."
    ),
    gettext_noop(
        "We are unable to authenticate your payment method. Please choose a different payment method and"
        " try again."
    ),
)
