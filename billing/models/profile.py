"""The account's Stripe customer, saved cards and invoice details.

Invariant: no card numbers are stored; only brand, last digits and expiry for display.
"""

from datetime import date, datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Account

# Types of payment methods as pages show them, by Stripe's names.
METHOD_NAMES = {
    "card": _("Card"),
    "sepa_debit": _("SEPA Direct Debit"),
    "customer_balance": _("Bank transfer"),
    "alipay": "Alipay",
    "wechat_pay": "WeChat Pay",
    "link": "Link",
    "us_bank_account": _("Bank account"),
}


class BillingProfile(models.Model):
    """The billing details of an account; created at its first request to Stripe.

    `card_…` is the card that automatic top-up charges, `plan_card_…` the payment method that Stripe charges
    for the running subscription; both are as Stripe had them when it was last asked (billing.payments.cards).
    """

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.PROTECT, related_name="billing_profile"
    )
    stripe_customer_id = models.CharField(max_length=255, null=True, unique=True)
    stripe_account = models.CharField(
        max_length=80, blank=True, help_text="Stripe account and mode of the customer: acct_…/live."
    )
    invoice_name = models.CharField(max_length=200, blank=True)
    invoice_address = models.TextField(max_length=500, blank=True)
    tax_id = models.CharField(max_length=60, blank=True)
    card_id = models.CharField(max_length=255, blank=True, help_text="The saved payment method at Stripe.")
    card_brand = models.CharField(max_length=30, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True)
    card_expires = models.CharField(max_length=7, blank=True, help_text="MM/YYYY")
    plan_card_id = models.CharField(max_length=255, blank=True, help_text="Charged for the subscription.")
    plan_card_brand = models.CharField(
        max_length=30, blank=True, help_text="Brand of the card, or Stripe's type of another method."
    )
    plan_card_last4 = models.CharField(max_length=4, blank=True)
    plan_card_expires = models.CharField(max_length=7, blank=True, help_text="MM/YYYY")
    default_method_id = models.CharField(
        max_length=255, blank=True, help_text="The customer's default payment method at Stripe, of any type."
    )
    cards_version = models.PositiveIntegerField(
        default=0, help_text="Rises with every synchronisation of the cards; 0 before the first."
    )
    card_setup_id = models.CharField(
        max_length=255, blank=True, help_text="The last setup session whose card became the default."
    )
    card_setup_at = models.DateTimeField(null=True, blank=True, help_text="When that session was created.")

    def __str__(self) -> str:
        return f"buyer {self.account_id}"

    @property
    def card_name(self) -> str:
        return self.card_brand.title()

    @property
    def plan_card_name(self) -> str:
        return str(METHOD_NAMES.get(self.plan_card_brand, self.plan_card_brand.title()))

    def card_has_expired(self, now: datetime) -> bool:
        """Whether the month on the card has passed; False when it is unknown."""
        month, _slash, year = self.card_expires.partition("/")
        if not (month.isdigit() and year.isdigit() and int(month)):
            return False
        return (int(year), int(month)) < (now.year, now.month)


def expiry_of(day: date) -> str:
    """The form in which expiry dates are stored: MM/YYYY."""
    return f"{day.month:02d}/{day.year}"
