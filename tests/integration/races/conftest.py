"""Fixtures of the races."""

from tests.integration.races.stage import committed

__all__ = ["committed"]
