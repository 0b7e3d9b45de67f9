"""Fixtures of the tests of the admin: a signed-in member of staff."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User


@pytest.fixture
def staff_client(stripe_api: Any, staff: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(staff)
