"""What is known of an account as a buyer: its customer at Stripe, its saved card, what its invoices say.

Invariant: card numbers never come here; what is kept of a card is what a person recognises it by, and its
fingerprint, by which automatic top-up knows that the card has changed.
"""

from django.db import models

from accounts.models import Account


class BillingProfile(models.Model):
    """An account as a buyer; made at its first contact with Stripe."""

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.PROTECT, related_name="billing_profile"
    )
    stripe_customer_id = models.CharField(max_length=255, null=True, unique=True)
    invoice_name = models.CharField(max_length=200, blank=True)
    invoice_address = models.TextField(max_length=500, blank=True)
    tax_id = models.CharField(max_length=60, blank=True)
    card_id = models.CharField(max_length=255, blank=True, help_text="The saved payment method at Stripe.")
    card_brand = models.CharField(max_length=30, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True)
    card_expires = models.CharField(max_length=7, blank=True, help_text="MM/YYYY")
    card_fingerprint = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"buyer {self.account_id}"
