"""Fixtures of the races."""

from tests.races.stage import committed

__all__ = ["committed"]
