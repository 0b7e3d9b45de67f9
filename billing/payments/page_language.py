"""The language of Stripe's pages: that of the buyer's setting, else that of the browser.

The parameter `locale` of Checkout and of the customer portal: https://docs.stripe.com/js/appendix/supported_locales
"""

from billing.stripe_gateway import StripeObject

_LOCALES = {"en": "en", "zh-hans": "zh"}


def params(language: str) -> StripeObject:
    """The parameter for a chosen language; none for "", where Stripe follows the browser."""
    locale = _LOCALES.get(language)
    return {"locale": locale} if locale else {}
