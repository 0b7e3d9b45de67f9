"""Refused calls: how they are stored, and how the pages and the API show them."""
