"""Fixtures of tests that commit."""

from tests.integration.races.concurrency import committed

__all__ = ["committed"]
