"""The front's application, without a server."""

from collections.abc import Iterator

import pytest

from tests.config.front.rsgi import Front


@pytest.fixture
def front(transactional_db: None) -> Iterator[Front]:
    from config.front.application import Application

    client = Front(Application())
    yield client
    client.close()
