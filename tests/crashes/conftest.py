"""Fixtures of the crashes."""

from tests.races.stage import committed

__all__ = ["committed"]
