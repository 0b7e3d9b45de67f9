"""Stripe events: stored before they are answered, applied once, and completed by reconciliation."""
