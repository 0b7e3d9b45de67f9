"""The account's Stripe customer, saved card and invoice details.

Invariant: no card numbers are stored; only brand, last digits and expiry for display, and the fingerprint,
by which automatic top-up detects a changed card.
"""

from django.db import models

from accounts.models import Account


class BillingProfile(models.Model):
    """The billing details of an account; created at its first request to Stripe."""

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
