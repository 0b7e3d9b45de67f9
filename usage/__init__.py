"""Charging for usage, and the pages and API that show it."""
