"""Fixtures of the races."""

from tests.integration.races.concurrency import committed

__all__ = ["committed"]
