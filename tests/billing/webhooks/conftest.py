"""Fixtures of the webhook tests."""

from collections.abc import Callable
from typing import Any

import pytest

from billing.models import Purchase


@pytest.fixture
def completed(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any], events: Callable[..., Any]
) -> dict[str, Any]:
    """The event of a paid purchase, which has not been delivered yet."""
    pay(new_purchase())
    [event] = events("checkout.session.completed")
    return dict(event)
