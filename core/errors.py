"""Base classes of the errors that domain functions raise.

Invariant: each error states its own codes and HTTP status, so that API, pages and the OpenAPI document need
no lists of classes.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar


class DomainError(Exception):
    """An error that the REST API answers with a problem document; core.problems builds it.

    Subclasses set the attributes on the class or in `__init__`, and override the methods. The first paragraph
    of a subclass's docstring describes the error in the OpenAPI document (core.declared_problems).
    """

    code: str = "refused"
    codes: ClassVar[tuple[str, ...]] = ()  # every possible code, where `__init__` sets `code`
    status: int = 409  # HTTP status
    field: str = ""  # the invalid input; with status 400 it is listed in `errors` under `code`

    def detail(self) -> str:
        """The text for users; by default the error's message. Empty with status 404: the standard text."""
        return str(self)

    def extra(self) -> Mapping[str, object]:
        """Members of the problem document beyond the standard ones.

        A method that overrides this returns a TypedDict: its fields are in the OpenAPI document.
        """
        return {}

    def headers(self, now: datetime) -> dict[str, str]:
        """HTTP headers of the response."""
        return {}


class Refusal(DomainError):
    """A request that was understood and is refused; nothing was changed. The message is shown to the user."""
