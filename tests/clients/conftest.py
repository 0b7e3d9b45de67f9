"""A portal as in production, and keys for it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from accounts import api_keys
from tests.integration.races.web import serving


@pytest.fixture(scope="session")
def portal(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """The address of a web server on the test database; it sees what tests with real commits create."""
    with django_db_blocker.unblock(), serving(processes=1) as address:
        yield address


@pytest.fixture
def platform_key(transactional_db: None, catalogue: None) -> str:
    """A platform key with all scopes."""
    scopes = ("read", "spend", "manage")
    return api_keys.issue(kind="platform", name="backend", scopes=scopes, now=timezone.now()).secret
