"""Payments: what a payment, a refund or a dispute does to a purchase and its credits, each exactly once."""
