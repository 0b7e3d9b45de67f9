"""Fixtures of the tests of pages: a paid plan."""

from tests.billing.subscriptions.conftest import subscribe as subscribe
