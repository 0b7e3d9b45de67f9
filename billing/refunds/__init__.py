"""Refunds and disputes: each object at Stripe counts once, in whatever order its events arrive."""
