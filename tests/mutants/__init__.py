"""Faults put into the ledger one at a time, to check that a test fails for each."""
