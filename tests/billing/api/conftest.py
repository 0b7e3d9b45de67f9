"""Every response is validated against the OpenAPI document."""

from collections.abc import Iterator

import pytest

from tests import openapi


@pytest.fixture(autouse=True)
def every_response_matches_the_document() -> Iterator[None]:
    with openapi.every_answer_agrees():
        yield
