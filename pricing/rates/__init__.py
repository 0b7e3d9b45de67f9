"""Rates and the price of a use: pure functions on plain values, without the database."""
