"""Faults put into the ledger by hand, one at a time, to see that a test notices each."""
