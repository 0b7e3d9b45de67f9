"""Fixtures of the crashes."""

from tests.integration.races.concurrency import committed

__all__ = ["committed"]
