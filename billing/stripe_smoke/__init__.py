"""Checks of Stripe with a test key: what Refill relies on, expected and actual."""
