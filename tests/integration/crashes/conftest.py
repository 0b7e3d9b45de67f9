"""Fixtures of the crashes."""

from tests.integration.races.stage import committed

__all__ = ["committed"]
