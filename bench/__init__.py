"""Measures the ledger against the least that PostgreSQL must do for the same durable writes."""
