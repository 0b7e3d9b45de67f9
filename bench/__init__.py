"""Benchmarks of the ledger against the least PostgreSQL must do for the same durable writes (the floor)."""
